"""What a run says about its speed, by a clock that is told the time."""

import pytest
from etils import epath

from tests import pipeline_run
from tooldev_jax import progress
from tooldev_jax.sample.params import RequestOutput, Sample


def _output(tokens):
  sample = Sample(tuple(range(tokens)), "", "stop", None)
  return RequestOutput(0, 5, (sample, sample))


def test_sampling_tells_a_line_now_and_then_and_at_the_end():
  said, now = [], [0.0]
  tell = progress.SamplingProgress("round_1/calls", said.append, lambda: now[0])
  # Of 40 prompts 10 were answered before an interruption.
  for done in range(11, 41):
    now[0] += 1.0
    tell(done, 40, _output(3))
  assert said == [
    "[round_1/calls] 21/40  22 samples  2.0/s  6 tok/s  ETA 0:00:19",
    "[round_1/calls] 31/40  42 samples  2.0/s  6 tok/s  ETA 0:00:09",
    "[round_1/calls] 40/40  60 samples  2.0/s  6 tok/s  ETA 0:00:00",
  ]


def test_few_prompts_are_told_in_one_line():
  said = []
  tell = progress.SamplingProgress("x", said.append, lambda: 0.0)
  tell(1, 2, _output(1))
  tell(2, 2, _output(1))
  assert len(said) == 1 and said[0].startswith("[x] 2/2  4 samples")


def test_the_plan_counts_what_the_config_asks_for():
  counts = {
    "documents": 8,
    "examples": 24,
    "queries": 6,
    "development": 4,
    "test": 4,
  }
  parts = progress.plan(pipeline_run.small_config(), counts)
  assert list(parts) == ["adapt", "decompose", "round 1", "evaluate", "export"]
  assert parts["adapt"] == 8 + 4
  assert parts["decompose"] == 2 * 24 + 4
  assert parts["evaluate"] == 4 * (4 + 2 * 2)
  skipped = pipeline_run.small_config(**{"adapt.epochs": 0})
  assert progress.plan(skipped, counts)["adapt"] == 0
  official = pipeline_run.small_config(
    **{"evaluate.bfcl": "package", "evaluate.bfcl_slice": 50}
  )
  more = progress.plan(official, counts)
  assert more["adapt"] == parts["adapt"] + 50
  assert more["evaluate"] > 2 * 3000


def test_the_clock_adds_up_over_starts_and_foretells_by_speed(tmp_path):
  file = epath.Path(tmp_path) / "clock.json"
  parts = {"adapt": 1.0, "decompose": 3.0, "evaluate": 4.0}
  clock = progress.RunClock(file, "a machine", True)
  assert clock.left(parts, set(), 0.0) is None
  with pytest.raises(KeyError), clock.timed("adapt"):
    raise KeyError("killed")
  again = progress.RunClock(file, "a machine", True)
  assert again.seconds["adapt"] > 0
  with again.timed("adapt"):
    assert again.told().seconds["adapt"] > clock.seconds["adapt"]
  again.seconds = {"adapt": 10.0, "decompose": 50.0}
  # What is only half done tells nothing about speed.
  assert again.left(parts, {"adapt"}, 0.0) == 70.0
  assert again.left(parts, {"adapt", "decompose"}, 0.0) == 60.0
  assert again.left(parts, set(parts), 0.0) == 0.0
  # A budget of 40 seconds holds the first part's slowness back.
  assert again.left(parts, {"adapt"}, 40.0) == pytest.approx(7 * 14 / 1.8)
  other = progress.RunClock(epath.Path(tmp_path) / "none.json", "", False)
  with other.timed("adapt"):
    pass
  assert not other.file.exists()
