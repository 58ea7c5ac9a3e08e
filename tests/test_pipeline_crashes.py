"""A crash at any instant, then the same command: the same bytes.

The pipeline is crashed before and after every write, flush and rename in
turn, each time going on from what the crash before it left. `checkpoint`
writes are enumerated by the tests of training.
"""

import jax
import pytest
from etils import epath

from tests import pipeline_run
from tooldev_jax import io


class _Crash(BaseException):
  """Not an Exception: nothing may catch it and tidy up."""


@pytest.fixture(autouse=True)
def _compiled_once(tmp_path_factory):
  """Programs are compiled by the first start and read by all others."""
  cache = tmp_path_factory.getbasetemp() / "compiled"
  before = jax.config.jax_compilation_cache_dir
  jax.config.update("jax_compilation_cache_dir", str(cache))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  yield
  io.observe_crash_points(None)
  jax.config.update("jax_compilation_cache_dir", before)


class _CrashOnce:
  """Crashes at the first crash point that it has not crashed at yet."""

  def __init__(self):
    self.crashed: set[tuple[str, int]] = set()
    self._seen: dict[str, int] = {}

  def restart(self) -> None:
    self._seen = {}

  def __call__(self, label: str) -> None:
    # A label recurs where a file is written again (the clock): the n-th time
    # within one start is a point of its own.
    self._seen[label] = self._seen.get(label, 0) + 1
    point = (label, self._seen[label])
    if point not in self.crashed:
      self.crashed.add(point)
      raise _Crash(label)


def test_a_crash_at_every_write_flush_and_rename_changes_no_byte(
  tmp_path, monkeypatch
):
  pipeline_run.share_model(monkeypatch)
  config = pipeline_run.small_config()
  whole = epath.Path(tmp_path / "whole")
  pipeline_run.run(config, whole)
  expected = pipeline_run.digests(whole)
  assert len(expected) > 30

  broken = epath.Path(tmp_path / "broken")
  crash = _CrashOnce()
  io.observe_crash_points(crash)
  for _ in range(2000):
    crash.restart()
    try:
      pipeline_run.run(config, broken)
      break
    except _Crash:
      continue
  else:
    pytest.fail("the run never came to its end")
  assert pipeline_run.digests(broken) == expected
  labels = {label for label, _ in crash.crashed}
  for kind in ("before write", "before fsync", "before rename", "after rename"):
    for name in ("config.json", "state.json", "ledger.jsonl", "report.html"):
      assert any(x.startswith(kind) and name in x for x in labels), (kind, name)
  assert any(label.startswith("after append") for label in labels)
