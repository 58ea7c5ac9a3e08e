"""What sampling says about its speed, by a clock that is told the time."""

from tooldev_jax.sample import progress
from tooldev_jax.sample.params import RequestOutput, Sample


def _output(tokens):
  sample = Sample(tuple(range(tokens)), "", "stop", None)
  return RequestOutput(0, 5, (sample, sample))


def test_sampling_tells_a_line_now_and_then_and_at_the_end():
  said, now = [], [0.0]
  count = progress.Progress("round_1/calls", said.append, lambda: now[0])
  # Of 40 prompts 10 were answered before an interruption.
  for done in range(11, 41):
    now[0] += 1.0
    count(done, 40, _output(3))
  assert said == [
    "[round_1/calls] 21/40  22 samples  2.0/s  6 tok/s  ETA 0:00:19",
    "[round_1/calls] 31/40  42 samples  2.0/s  6 tok/s  ETA 0:00:09",
    "[round_1/calls] 40/40  60 samples  2.0/s  6 tok/s  ETA 0:00:00",
  ]


def test_few_prompts_are_told_in_one_line():
  said = []
  count = progress.Progress("x", said.append, lambda: 0.0)
  count(1, 2, _output(1))
  count(2, 2, _output(1))
  assert len(said) == 1 and said[0].startswith("[x] 2/2  4 samples")
