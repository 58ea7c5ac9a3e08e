"""Wall time of the parts of a run, over all its starts.

Nothing here decides anything: no artefact but `clock.json` and the report's
last lines depend on a clock.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from etils import epath

from tooldev_jax import io, records


@dataclasses.dataclass(frozen=True)
class Clock:
  """All that depends on when and where the run took place.

  Attributes:
    machine: processors and devices, in words.
    started: local time as text.
    finished: local time as text.
    seconds: wall time of each part, in order.
  """

  machine: str = ""
  started: str = ""
  finished: str = ""
  seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)


class RunClock:
  """Keeps a `Clock` in a file, which each start goes on with.

  Args:
    file: where it is kept.
    machine: what the run is on, in words.
    writes: whether this process writes the file.
  """

  def __init__(self, file: epath.Path, machine: str, writes: bool):
    self._file, self._machine, self._writes = file, machine, writes
    kept: dict[str, Any] = io.read_json(file) if file.exists() else {}
    self._started = kept.get("started", _now())
    self._seconds: dict[str, float] = kept.get("seconds", {})
    self._part, self._since = "", 0.0

  @contextmanager
  def timed(self, part: str) -> Iterator[None]:
    """Adds the time that the context takes, however it ends."""
    self._part, self._since = part, time.monotonic()
    try:
      yield
    finally:
      clock = self.read()
      self._seconds, self._part = dict(clock.seconds), ""
      if self._writes:
        io.write_json(self._file, records.to_json(clock))

  def read(self) -> Clock:
    """The run so far, with the part that is going on."""
    seconds = dict(self._seconds)
    if self._part:
      going = time.monotonic() - self._since
      seconds[self._part] = seconds.get(self._part, 0.0) + going
    return Clock(self._machine, self._started, _now(), seconds)


def _now() -> str:
  return time.strftime("%Y-%m-%d %H:%M:%S")
