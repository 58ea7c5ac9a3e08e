"""Checkpoints: whole or passed over, of this run, and never half a disk."""

import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from tooldev_jax.train import checkpoint
from tooldev_jax.train.checkpoint import (
  Checkpoints,
  DiskFullError,
  OtherRunError,
  checksum,
)

IDENTITY = {"base": "b", "train.seed": 0}


def _state(step):
  return {
    "step": jnp.int32(step),
    "trained": {"a": jnp.full((3, 4), 0.5 * step), "b": jnp.arange(5.0) + step},
  }


def _like(state):
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
  )


def _open(folder, said=None, identity=IDENTITY, keep=2):
  said = [] if said is None else said
  return Checkpoints(folder, keep=keep, identity=identity, say=said.append)


def _steps(folder):
  return sorted(int(path.name) for path in folder.iterdir())


def test_restores_what_was_saved_with_its_losses(tmp_path):
  with _open(tmp_path / "c") as checkpoints:
    assert checkpoints.restore(_like(_state(0))) is None
    checkpoints.save(2, _state(2), [3.0, 2.5], wait=True)
    state, losses = checkpoints.restore(_like(_state(0)))
  jax.tree.map(np.testing.assert_array_equal, state, _state(2))
  assert losses == [3.0, 2.5]


def test_keeps_the_newest_and_the_best(tmp_path):
  losses = [5.0, 1.0, 4.0, 3.0, 3.5]
  with _open(tmp_path / "c") as checkpoints:
    for step in range(1, 6):
      checkpoints.save(step, _state(step), losses[:step])
    checkpoints.wait()
    assert "of step 2, 4, 5; " in checkpoints.told()
    assert checkpoints.told().endswith("lowest before 2")
  assert _steps(tmp_path / "c") == [2, 4, 5]


@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "about"])
def test_a_torn_checkpoint_falls_back_and_says_so(tmp_path, damage):
  folder, said = tmp_path / "c", []
  with _open(folder) as checkpoints:
    checkpoints.save(1, _state(1), [1.0])
    checkpoints.save(2, _state(2), [1.0, 1.0], wait=True)
  data = [
    path for path in (folder / "2/state").rglob("*") if path.parent.name == "d"
  ]
  if damage == "about":
    (folder / "2/about/metadata").write_bytes(b'{"identity": ')
  for path in data if damage != "about" else []:
    content = bytearray(path.read_bytes())
    if damage == "cut":
      path.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
      path.unlink()
    else:
      content[len(content) // 2] ^= 1
      path.write_bytes(content)
  with _open(folder, said) as checkpoints:
    state, losses = checkpoints.restore(_like(_state(0)))
  jax.tree.map(np.testing.assert_array_equal, state, _state(1))
  assert len(losses) == 1
  assert len(said) == 1 and "c/2 is damaged" in said[0]
  assert _steps(folder) == [1]


def test_values_changed_behind_a_whole_file_are_seen(tmp_path, monkeypatch):
  """What the storage's own checks let pass, the checksum does not."""
  with _open(tmp_path / "c") as checkpoints:
    checkpoints.save(1, _state(1), [1.0])
    monkeypatch.setattr(checkpoint, "checksum", lambda arrays: "0" * 16)
    checkpoints.save(2, _state(2), [1.0, 1.0], wait=True)
    monkeypatch.undo()
    _, losses = checkpoints.restore(_like(_state(0)))
  assert len(losses) == 1


def test_another_runs_checkpoint_is_refused_with_both_values(tmp_path):
  with _open(tmp_path / "c") as checkpoints:
    checkpoints.save(1, _state(1), [1.0], wait=True)
  other = {"base": "other", "train.seed": 0}
  with (
    pytest.raises(OtherRunError, match="base: saved 'b', now 'other'"),
    _open(tmp_path / "c", identity=other) as checkpoints,
  ):
    checkpoints.restore(_like(_state(0)))


def test_a_disk_too_small_is_told_before_anything_is_written(
  tmp_path, monkeypatch
):
  full = lambda path: type("Usage", (), {"free": 10})
  with _open(tmp_path / "c") as checkpoints:
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", full)
    with pytest.raises(DiskFullError, match=r"to be written and 0\.0 MiB are"):
      checkpoints.save(1, _state(1), [1.0])
  assert _steps(tmp_path / "c") == []


def test_a_disk_too_full_for_a_folder_is_told_as_well(tmp_path):
  error = checkpoint.disk_full(epath.Path(tmp_path) / "not/made", 0)
  assert "it is full and" in str(error)


def test_a_write_that_fails_half_way_is_told_and_leaves_the_last_whole(
  tmp_path, caplog
):
  """Files above a limit fail to grow, as on a disk that fills up."""
  big = {**_state(2), "big": jax.random.normal(jax.random.key(0), (1 << 18,))}
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  with _open(tmp_path / "c") as checkpoints:
    checkpoints.save(1, {**big, "step": jnp.int32(1)}, [1.0], wait=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
      with pytest.raises(DiskFullError, match="goes on from the last whole"):
        checkpoints.save(2, big, [1.0, 1.0], wait=True)
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  with _open(tmp_path / "c") as checkpoints:
    state, losses = checkpoints.restore(_like(big))
  assert len(losses) == 1 and state["step"] == 1
  assert not [record for record in caplog.records if record.exc_info]
  assert _steps(tmp_path / "c") == [1]


def test_the_checksum_sees_every_bit_and_where_it_is():
  x = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.zeros(3)}
  sums = {
    checksum(x),
    checksum({**x, "a": x["a"].at[1, 2].add(1e-6)}),
    checksum({**x, "a": x["a"][::-1]}),
    checksum({**x, "b": jnp.zeros(3).at[0].set(-0.0)}),
    checksum({"b": x["a"], "a": x["b"]}),
  }
  assert len(sums) == 5
