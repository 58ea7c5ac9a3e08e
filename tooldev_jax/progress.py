"""What a run says while it works: how far it is, how fast, how long yet.

Nothing here decides anything: no artefact depends on a clock.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from etils import epath

from tooldev_jax import io, records
from tooldev_jax.config import RunConfig, StageConfig
from tooldev_jax.evaluate.summary import Clock
from tooldev_jax.sample.params import RequestOutput
from tooldev_jax.train.metrics import hms

Say = Callable[[str], None]

_SECONDS_BETWEEN_LINES = 10.0
# Cost of a further sample of a prompt. The unit is one stream trained for one
# epoch, which takes about as long as one prompt answered once: the quickstart
# on 2 CPU cores does 11 to 18 of the former and 13 of the latter a second.
_FURTHER_SAMPLE = 0.25
_ALL_OF_BFCL = 3640
_BUDGET_WEIGHT = 0.1
# Share of a round's queries that is expected to be kept.
_KEPT = 0.5


class SamplingProgress:
  """Lines about prompts being answered, in the manner of training's.

      [round_1/calls] 120/300  960 samples  5.3/s  310 tok/s  ETA 0:00:34

  Args:
    name: what is sampled.
    say: prints a line.
    clock: seconds; for tests.
  """

  def __init__(
    self, name: str, say: Say, clock: Callable[[], float] = time.monotonic
  ):
    self._name, self._say, self._clock = name, say, clock
    self._start = clock()
    self._said = 0.0
    self._prompts = self._samples = self._tokens = 0

  def __call__(self, done: int, total: int, output: RequestOutput) -> None:
    """Counts one output; says a line every ten seconds, and at the end.

    The first line comes ten seconds after the first output: before it most of
    the time went into compiling, which tells nothing of the speed.

    Args:
      done: prompts answered, before an interruption or since.
      total: prompts to answer.
      output: the latest.
    """
    self._prompts += 1
    self._samples += len(output.samples)
    self._tokens += sum(len(s.token_ids) for s in output.samples)
    now = self._clock()
    if self._prompts == 1:
      self._said = now
    if now - self._said < _SECONDS_BETWEEN_LINES and done < total:
      return
    self._said = now
    seconds = max(now - self._start, 1e-9)
    self._say(
      f"[{self._name}] {done}/{total}"
      f"  {self._samples:,} samples"
      f"  {self._samples / seconds:,.1f}/s"
      f"  {self._tokens / seconds:,.0f} tok/s"
      f"  ETA {hms((total - done) * seconds / self._prompts)}"
    )


def plan(config: RunConfig, counts: Mapping[str, int]) -> dict[str, float]:
  """Work of each part of a run, in trained streams or answered prompts.

  Args:
    config: of the run.
    counts: examples by role; see `inputs.Inputs.counts`.
  """
  several = lambda n: 1 + _FURTHER_SAMPLE * (n - 1)
  evolve, evaluate = config.evolve, config.evaluate
  scored = counts["development"]
  if evaluate.bfcl:
    scored += evaluate.bfcl_slice

  def trained(streams: float, stage: StageConfig) -> float:
    return streams * stage.epochs + scored if streams * stage.epochs else 0.0

  labelled = 2.0 * counts["examples"]
  parts = {
    "adapt": trained(counts["documents"], config.adapt),
    "decompose": trained(labelled, config.decompose),
  }
  rounds = config.rounds
  queries = evolve.round_size(counts["queries"])
  for number in range(1, rounds + 1):
    asked = several(evolve.tool_sets)
    asked += evolve.tool_sets * several(evolve.samples)
    fresh = 2 * _KEPT * queries + evolve.replay * labelled
    parts[f"round {number}"] = queries * asked + trained(fresh, config.round)
  tools = 2 * min(evaluate.tool_making, counts["test"])
  parts["evaluate"] = (rounds + 3) * (counts["test"] + tools)
  if evaluate.bfcl:
    parts["evaluate"] += evaluate.bfcl_slice
    parts["evaluate"] += 2 * (evaluate.bfcl_cases or _ALL_OF_BFCL)
  parts["export"] = 0.0
  return parts


@dataclasses.dataclass
class RunClock:
  """Wall time of each part of a run, over all its starts.

  Attributes:
    file: where it is kept between starts.
    machine: what it runs on, in words.
    keeps: whether this process writes the file.
    seconds: by part.
  """

  file: epath.Path
  machine: str
  keeps: bool
  seconds: dict[str, float] = dataclasses.field(default_factory=dict)
  _part: str = ""
  _since: float = 0.0

  def __post_init__(self) -> None:
    kept: dict[str, Any] = {}
    if self.file.exists():
      kept = io.read_json(self.file)
    self._started = kept.get("started", _now())
    self.seconds = kept.get("seconds", {})

  @contextmanager
  def timed(self, part: str) -> Iterator[None]:
    """Adds the time that the context takes, however it ends."""
    self._part, self._since = part, time.monotonic()
    try:
      yield
    finally:
      told = self.told()
      self.seconds, self._part = dict(told.seconds), ""
      if self.keeps:
        io.write_json(self.file, records.to_json(told))

  def told(self) -> Clock:
    """The record of the run so far, with the part that is going on."""
    seconds = dict(self.seconds)
    if self._part:
      going = time.monotonic() - self._since
      seconds[self._part] = seconds.get(self._part, 0.0) + going
    return Clock(self.machine, self._started, _now(), seconds)

  def left(
    self, parts: Mapping[str, float], done: set[str], budget: float
  ) -> float | None:
    """Seconds until the end at the speed so far; None before any work.

    Args:
      parts: of the run, with their work; see `plan`.
      done: the parts that are complete.
      budget: expected seconds of the whole run; 0 if not known. It weighs as
        much as a tenth of the run: the first part alone would tell of
        loading and compiling more than of the speed.
    """
    worked = sum(parts[part] for part in done)
    spent = sum(self.seconds.get(part, 0.0) for part in done)
    if not worked or not spent:
      return None
    if budget:
      worked += _BUDGET_WEIGHT * sum(parts.values())
      spent += _BUDGET_WEIGHT * budget
    ahead = (parts[part] for part in parts.keys() - done)
    return sum(ahead) * spent / worked


def _now() -> str:
  return time.strftime("%Y-%m-%d %H:%M:%S")
