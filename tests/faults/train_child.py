"""A small training that can be killed at any change it makes to the disk.

    python -m tests.faults.train_child <workdir> [<n>]

trains and prints {"events": ..., "fingerprint": ...}. With n it sends itself
a real SIGKILL just before the n-th change below <workdir>.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")


@contextmanager
def watching(folder: str, act: Callable[[str], None]) -> Iterator[None]:
  """Calls `act(what)` just before each change that Python makes in `folder`.

  Changes are what the interpreter audits: files opened to be written, folders
  made, renamed and removed; and the crash points of `tooldev_jax.io`,
  which lie after a write and before the next as well.
  """
  from tooldev_jax import io

  on = True

  def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not on:
      return
    if event == "open":
      path, mode, flags = arguments
      writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
      if not writes or not str(path).startswith(folder):
        return
      act(f"open {path} {mode}")
    elif event in CHANGES:
      path = arguments[0]
      path = path.decode() if isinstance(path, bytes) else str(path)
      if path.startswith(folder):
        act(f"{event} {path}")

  # Audit hooks cannot be removed, only told to be quiet.
  sys.addaudithook(hook)
  io.observe_crash_points(act)
  try:
    yield
  finally:
    on = False
    io.observe_crash_points(None)


def main() -> None:
  workdir = os.path.realpath(sys.argv[1])
  kill_at = int(sys.argv[2]) if len(sys.argv) > 2 else 0

  from tests.faults.train_runs import small_fit

  events = 0

  def count(what: str) -> None:
    del what
    nonlocal events
    events += 1
    if events == kill_at:
      os.kill(os.getpid(), signal.SIGKILL)

  with watching(workdir, count):
    result = small_fit(workdir)
  print(json.dumps({"events": events, "fingerprint": result.fingerprint}))


if __name__ == "__main__":
  main()
