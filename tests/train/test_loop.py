"""`fit`: resuming gives the same bytes; what does not belong is refused."""

import dataclasses
import json
import os
import signal

import jax
import numpy as np
import pytest

from tests.train import tiny
from tooldev_jax.errors import UnreadableError, UserError
from tooldev_jax.train import result
from tooldev_jax.train.identity import OtherRunError
from tooldev_jax.train.loop import NonFiniteError, Preempted


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """An uninterrupted run."""
  return tiny.run_fit(tmp_path_factory.mktemp("whole"))


def _files(done):
  return {path.name: path.read_bytes() for path in done.path.parent.iterdir()}


def _terminate_at(step):
  def act(at, batch):
    del batch
    if at == step:
      os.kill(os.getpid(), signal.SIGTERM)

  return act


@pytest.mark.parametrize("step", [0, 1, 2])
def test_sigterm_saves_and_the_next_call_ends_in_the_same_bytes(
  tmp_path, whole, step
):
  data = tiny.Interrupted(tiny.make_data(), _terminate_at(step))
  with pytest.raises(Preempted) as stopped:
    tiny.run_fit(tmp_path, data=data)
  checkpoints = {
    path.name for path in (tmp_path / "stage/checkpoints").iterdir()
  }
  assert str(stopped.value.step) in checkpoints
  resumed = tiny.run_fit(tmp_path)
  assert _files(resumed) == _files(whole)
  assert resumed.history == whole.history


def _fail(step, batch):
  raise AssertionError("a finished run read data")


def test_a_finished_result_is_returned_without_training(whole):
  again = tiny.run_fit(
    whole.path.parent.parent.parent,
    data=tiny.Interrupted(tiny.make_data(), _fail),
  )
  assert again.fingerprint == whole.fingerprint
  assert again.history == whole.history
  jax.tree.map(np.testing.assert_array_equal, again.trained, whole.trained)


@pytest.mark.parametrize(
  ("change", "named"),
  [
    ({"base": tiny.make_base(1)}, "base"),
    (
      {"config": dataclasses.replace(tiny.TRAIN, learning_rate=2e-2)},
      "train.learning_rate",
    ),
    ({"data": tiny.make_data(seed=1)}, "data"),
    # As on a mesh that rounds rows up to another multiple.
    ({"data": tiny.make_data(rows=16)}, r"batch\.tokens"),
    ({"lora": dataclasses.replace(tiny.LORA, alpha=9.0)}, "lora.alpha"),
  ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(
  tmp_path, change, named
):
  data = tiny.Interrupted(tiny.make_data(), _terminate_at(1))
  with pytest.raises(Preempted):
    tiny.run_fit(tmp_path, data=data)
  with pytest.raises(OtherRunError, match=f"(?m)^  {named}: saved"):
    tiny.run_fit(tmp_path, **change)


def test_settings_that_decide_nothing_may_change_on_the_way(tmp_path, whole):
  data = tiny.Interrupted(tiny.make_data(), _terminate_at(1))
  with pytest.raises(Preempted):
    tiny.run_fit(tmp_path, data=data)
  changed = dataclasses.replace(
    tiny.TRAIN, remat="full", loss_chunk=4, checkpoint_every=1, log_every=1
  )
  resumed = tiny.run_fit(tmp_path, config=changed)
  np.testing.assert_allclose(resumed.history, whole.history, rtol=1e-5)


def test_a_finished_result_of_another_run_is_refused(whole):
  with pytest.raises(OtherRunError, match=r"train\.beta2"):
    tiny.run_fit(
      whole.path.parent.parent.parent,
      config=dataclasses.replace(tiny.TRAIN, beta2=0.5),
    )


def test_a_changed_result_file_is_refused(tmp_path):
  done = tiny.run_fit(tmp_path)
  data = bytearray(done.path.read_bytes())
  data[-1] ^= 1
  done.path.write_bytes(data)
  with pytest.raises(UserError, match="changed or damaged"):
    tiny.run_fit(tmp_path)


@pytest.mark.parametrize(
  "name", ["trained.safetensors", "losses.json", "manifest.json"]
)
def test_a_torn_result_is_named(tmp_path, name):
  file = tiny.run_fit(tmp_path).path.parent / name
  file.write_bytes(file.read_bytes()[:-9])
  with pytest.raises(UserError, match=rf"{name}.* damaged.*Delete"):
    tiny.run_fit(tmp_path)
  if name != "manifest.json":
    file.unlink()
    with pytest.raises(UserError, match=rf"{name}.* damaged.*Delete"):
      tiny.run_fit(tmp_path)


@pytest.mark.parametrize(
  ("name", "content"),
  [("manifest.json", "{}"), ("manifest.json", "[]"), ("losses.json", "{}")],
)
def test_a_result_file_of_another_form_is_named(tmp_path, name, content):
  file = tiny.run_fit(tmp_path).path.parent / name
  file.write_text(content)
  with pytest.raises(UserError, match=rf"{name}.* damaged.*Delete"):
    tiny.run_fit(tmp_path)


@pytest.mark.parametrize(
  "name", ["trained.safetensors", "losses.json", "manifest.json"]
)
def test_a_result_that_cannot_be_read_is_not_called_damaged(tmp_path, name):
  file = tiny.run_fit(tmp_path).path.parent / name
  content = file.read_bytes()
  file.unlink()
  file.mkdir()  # Opening it is an error of the system.
  with pytest.raises(UnreadableError, match=r"could not be read.*Nothing was"):
    tiny.run_fit(tmp_path)
  file.rmdir()
  file.write_bytes(content)
  tiny.run_fit(tmp_path, data=tiny.Interrupted(tiny.make_data(), _fail))


@pytest.mark.parametrize(
  "fault",
  [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory")],
  ids=repr,
)
def test_a_result_too_large_for_memory_is_not_called_damaged(
  tmp_path, monkeypatch, fault
):
  folder = tiny.run_fit(tmp_path).path.parent

  def exhausted(*arguments):
    raise fault

  monkeypatch.setattr(result, "to_devices", exhausted)
  with pytest.raises(UnreadableError, match="could not be read"):
    tiny.run_fit(tmp_path)
  assert len(list(folder.iterdir())) == 3


def test_not_a_number_stops_with_the_step_and_its_batch(tmp_path):
  def act(step, batch):
    if step != 2:
      return None
    bad = np.full_like(batch["target_weights"], np.nan)
    return {**batch, "target_weights": bad}

  data = tiny.Interrupted(tiny.make_data(), act)
  with pytest.raises(NonFiniteError) as stopped:
    tiny.run_fit(tmp_path, data=data)
  assert stopped.value.step == 3
  assert "checkpoints of step 2; training loss was lowest before 2" in str(
    stopped.value
  )
  with np.load(tmp_path / "stage/stopped_at_3/batch-0.npz") as saved:
    np.testing.assert_array_equal(
      saved["tokens"], tiny.make_data().batch(2)["tokens"]
    )
    assert np.isnan(saved["target_weights"]).all()


def test_metrics_have_one_row_a_step_also_after_a_stop(tmp_path):
  data = tiny.Interrupted(tiny.make_data(), _terminate_at(1))
  with pytest.raises(Preempted):
    tiny.run_fit(tmp_path, data=data)
  log = tmp_path / "stage/metrics.jsonl"
  # What a kill leaves: a row after the checkpoint, and half a row.
  with log.open("a") as f:
    f.write(json.dumps({"step": 99}) + '\n{"step": 1')
  done = tiny.run_fit(tmp_path)
  rows = [json.loads(line) for line in log.read_text().splitlines()]
  assert [row["step"] for row in rows] == list(range(1, done.steps + 1))
  assert [row["loss"] for row in rows] == list(done.history)
  for key in ("tokens_per_s", "padding_share", "input_wait_share", "eta_s"):
    assert all(row[key] >= 0 for row in rows)


def test_full_training_learns_and_leaves_the_initial_tree_as_it_is(tmp_path):
  base = tiny.make_base()
  before = jax.tree.map(np.array, base.params)
  done = tiny.run_fit(tmp_path, base=base, lora=None)
  jax.tree.map(np.testing.assert_array_equal, before, base.params)
  assert done.history[-1] < 0.95 * done.history[0]


def test_profile_steps_writes_a_trace(tmp_path):
  tiny.run_fit(
    tmp_path, config=dataclasses.replace(tiny.TRAIN, profile_steps="2:4")
  )
  assert list((tmp_path / "stage/profile").rglob("*.xplane.pb"))


def test_a_training_may_stop_and_end_within_the_profiled_steps(tmp_path):
  config = dataclasses.replace(tiny.TRAIN, profile_steps="1:99")
  data = tiny.Interrupted(tiny.make_data(), _terminate_at(0))
  with pytest.raises(Preempted):
    tiny.run_fit(tmp_path, data=data, config=config)
  tiny.run_fit(tmp_path, config=config)
  with pytest.raises(RuntimeError, match="No profile"):
    jax.profiler.stop_trace()
