"""How long the parts of a run took, over several starts."""

import pytest
from etils import epath

from tooldev_jax import io
from tooldev_jax.clock import RunClock


def test_the_clock_adds_up_over_starts(tmp_path):
  file = epath.Path(tmp_path) / "clock.json"
  clock = RunClock(file, "a machine", writes=True)
  with pytest.raises(KeyError), clock.timed("adapt"):
    raise KeyError("killed")
  first = io.read_json(file)["seconds"]["adapt"]
  assert first > 0
  again = RunClock(file, "a machine", writes=True)
  with again.timed("adapt"):
    assert again.read().seconds["adapt"] > first
  with again.timed("evaluate"):
    pass
  assert list(again.read().seconds) == ["adapt", "evaluate"]
  assert again.read().started == io.read_json(file)["started"]


def test_only_one_process_writes_the_clock(tmp_path):
  file = epath.Path(tmp_path) / "none.json"
  clock = RunClock(file, "", writes=False)
  with clock.timed("adapt"):
    pass
  assert clock.read().seconds.keys() == {"adapt"}
  assert not file.exists()
