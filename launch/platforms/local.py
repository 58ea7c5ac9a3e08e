"""Processes on this machine, each a launch.run that knows the others.

When one ends badly it is named, and the others are asked to stop and killed
if they do not within a bound: without that they would wait for it.
"""

import contextlib
import dataclasses
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, TypeAlias

from launch import errors
from tooldev_jax.errors import UserError

Say: TypeAlias = Callable[[str], None]

# A process that ended so was stopped from outside, and the run goes on when
# it is started again. (Popen counts signals below zero.)
_INTERRUPTED = (errors.EXIT_PREEMPTED, -signal.SIGKILL, -signal.SIGTERM)


@dataclasses.dataclass(frozen=True)
class Local:
  """This machine.

  Attributes:
    processes: how many.
    grace_s: seconds they have to save when they are stopped.
  """

  JOB_FLAGS: ClassVar = frozenset({"restarts"})

  processes: int = 1
  grace_s: int = 60

  def __post_init__(self) -> None:
    if self.processes < 1:
      raise UserError(f"--processes: {self.processes}; allowed: at least 1")
    if self.grace_s < 1:
      raise UserError(f"--grace_s: {self.grace_s}; allowed: at least 1")

  def commands(self, arguments: Sequence[str], port: int) -> list[list[str]]:
    """One a process.

    Args:
      arguments: of launch.run.
      port: where the first process meets the others.
    """
    command = [sys.executable, "-m", "launch.run", *arguments]
    if self.processes == 1:
      return [command]
    return [
      [
        *command,
        f"--coordinator=localhost:{port}",
        f"--process_count={self.processes}",
        f"--process_index={index}",
      ]
      for index in range(self.processes)
    ]

  def in_words(self, arguments: Sequence[str]) -> str:
    """The commands, as --dry_run prints them."""
    return "\n".join(map(shlex.join, self.commands(arguments, free_port())))

  def run(self, arguments: Sequence[str], restarts: int, say: Say) -> int:
    """Runs all, again up to `restarts` times; returns the exit status."""
    return keep_running(
      lambda: self.commands(arguments, free_port()), restarts, self.grace_s, say
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How processes that ran together ended.

  Attributes:
    process, status: of the first that did not end with 0; status 0 if all did.
    asked: whether this process was asked to stop.
  """

  process: int = 0
  status: int = 0
  asked: bool = False


def keep_running(
  commands: Callable[[], Sequence[Sequence[str]]],
  restarts: int,
  grace_s: float,
  say: Say,
) -> int:
  """Runs commands together, again if they are interrupted.

  Args:
    commands: gives those of a start, one a process.
    restarts: how often they are started again at most.
    grace_s: seconds from asking processes to stop to killing them.
    say: is told what happens, line by line.

  Returns:
    0 if all ended with 0, 75 if they can go on where they were stopped, else
    the status of the first that ended badly.
  """
  for start in range(restarts + 1):
    outcome = run_together(commands(), grace_s, say)
    interrupted = outcome.status in _INTERRUPTED
    if outcome.asked or not interrupted:
      break
    if start < restarts:
      say(f"starting again ({start + 1} of {restarts})")
  if outcome.status and (interrupted or outcome.asked):
    return errors.EXIT_PREEMPTED
  # Shells add a signal's number to 128.
  return outcome.status if outcome.status >= 0 else 128 - outcome.status


def run_together(
  commands: Sequence[Sequence[str]], grace_s: float, say: Say
) -> Outcome:
  """Runs commands until all have ended; SIGTERM and SIGINT are passed on."""
  events: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
  processes: dict[int, subprocess.Popen[bytes]] = {}
  with _signals_to(events), _none_left(processes):
    for index, command in enumerate(commands):
      processes[index] = _start(index, command, events, say)
    return _watch(processes, events, grace_s, say)


def _watch(
  running: dict[int, "subprocess.Popen[bytes]"],
  events: "queue.SimpleQueue[tuple[str, int]]",
  grace_s: float,
  say: Say,
) -> Outcome:
  outcome = Outcome()
  deadline: float | None = None
  killed = False
  while running:
    try:
      wait = None if deadline is None else max(0, deadline - time.monotonic())
      event, value = events.get(timeout=wait)
    except queue.Empty:
      say(f"process {_listed(running)} did not stop in {grace_s:g} s: killed")
      _send(running, signal.SIGKILL)
      deadline, killed = None, True
      continue
    if event == "ended":
      status = running.pop(value).returncode
      if not status or outcome.status:
        continue
      outcome = dataclasses.replace(outcome, process=value, status=status)
      if killed:
        continue
      others = f"; process {_listed(running)} is stopped" if running else ""
      say(f"process {value} ended with {status_in_words(status)}{others}")
    else:
      outcome = dataclasses.replace(outcome, asked=True)
      say(f"{signal.Signals(value).name} is passed on")
    _send(running, signal.SIGTERM)
    deadline = deadline or time.monotonic() + grace_s
  return outcome


def _start(
  index: int,
  command: Sequence[str],
  events: "queue.SimpleQueue[tuple[str, int]]",
  say: Say,
) -> "subprocess.Popen[bytes]":
  # In a session of its own, Ctrl-C reaches it through this process alone.
  process = subprocess.Popen(
    command,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    start_new_session=True,
  )
  pipe = process.stdout
  assert pipe is not None

  def follow() -> None:
    for line in pipe:
      say(f"[{index}] {line.decode(errors='replace').rstrip()}")

  def wait() -> None:
    # The status first: what it started may hold the pipe for longer.
    process.wait()
    reader.join(timeout=1)
    events.put(("ended", index))

  reader = threading.Thread(target=follow, daemon=True)
  reader.start()
  threading.Thread(target=wait, daemon=True).start()
  return process


@contextlib.contextmanager
def _signals_to(events: "queue.SimpleQueue[tuple[str, int]]") -> Iterator[None]:
  def put(number: int, _: object) -> None:
    events.put(("signal", number))

  before = {
    number: signal.signal(number, put)
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def _none_left(
  processes: dict[int, "subprocess.Popen[bytes]"],
) -> Iterator[None]:
  try:
    yield
  finally:
    _send(processes, signal.SIGKILL)
    for process in processes.values():
      process.wait()


def _send(
  processes: dict[int, "subprocess.Popen[bytes]"], number: signal.Signals
) -> None:
  for process in processes.values():
    process.send_signal(number)


def _listed(processes: dict[int, "subprocess.Popen[bytes]"]) -> str:
  return ", ".join(map(str, processes))


def status_in_words(status: int) -> str:
  """An exit status, as the user should read it."""
  if status < 0:
    return signal.Signals(-status).name
  if status == errors.EXIT_PREEMPTED:
    return f"status {status} (stopped on request)"
  return f"status {status}"


def free_port() -> int:
  """A port of this machine that nobody listens on."""
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    port: int = listener.getsockname()[1]
  return port
