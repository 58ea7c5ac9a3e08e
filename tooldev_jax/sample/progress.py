"""Lines about prompts being answered, in the manner of training's."""

import datetime
import time
from collections.abc import Callable

from tooldev_jax.sample.params import RequestOutput

Say = Callable[[str], None]

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
  """Counts outputs and says how far sampling is, every ten seconds.

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
    """Counts one output.

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
    left = (total - done) * seconds / self._prompts
    self._say(
      f"[{self._name}] {done}/{total}"
      f"  {self._samples:,} samples"
      f"  {self._samples / seconds:,.1f}/s"
      f"  {self._tokens / seconds:,.0f} tok/s"
      f"  ETA {datetime.timedelta(seconds=round(left))}"
    )
