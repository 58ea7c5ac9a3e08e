"""Checkpoints: whole or passed over, of this run, and never half a disk."""

import errno
import resource
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from etils import epath

from tooldev_jax.errors import UnreadableError
from tooldev_jax.train import checkpoint
from tooldev_jax.train.checkpoint import Checkpoints, DamagedError
from tooldev_jax.train.identity import OtherRunError, checksum
from tooldev_jax.train.storage import DiskFullError, disk_full

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
    assert "of step 2, 4, 5; " in checkpoints.summary()
    assert checkpoints.summary().endswith("lowest before 2")
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
  assert _steps(tmp_path / "damaged_checkpoints") == [2]


def test_all_checkpoints_damaged_is_an_error_that_leaves_them(tmp_path):
  folder = tmp_path / "c"
  with _open(folder) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, _state(step), [1.0] * step, wait=True)
      (folder / f"{step}/about/metadata").write_bytes(b'{"identity": ')
  with (
    pytest.raises(DamagedError, match=r"(?s)is damaged:.* 2: .* 1: .*Nothing"),
    _open(folder) as checkpoints,
  ):
    checkpoints.restore(_like(_state(0)))
  assert _steps(folder) == [1, 2]


def test_a_second_damaged_checkpoint_of_a_step_is_moved_beside_the_first(
  tmp_path,
):
  folder = tmp_path / "c"
  for _ in range(2):
    with _open(folder) as checkpoints:
      checkpoints.save(1, _state(1), [1.0], wait=True)
      checkpoints.save(2, _state(2), [1.0, 1.0], wait=True)
    (folder / "2/about/metadata").write_bytes(b"")
    with _open(folder) as checkpoints:
      assert len(checkpoints.restore(_like(_state(0)))[1]) == 1
  names = {path.name for path in (tmp_path / "damaged_checkpoints").iterdir()}
  assert names == {"2", "2-again"}


@pytest.mark.parametrize("item", ["about", "state"])
@pytest.mark.parametrize(
  "fault",
  [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    PermissionError(errno.EACCES, "Permission denied"),
    TimeoutError("the server does not answer"),
    MemoryError("Unable to allocate 96 MiB"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
    ValueError("UNKNOWN: Failed to read [os_error_code='5']"),
    ValueError("FAILED_PRECONDITION: Failed to open [os_error_code='21']"),
    ValueError("UNAVAILABLE: try again"),
    RuntimeError("something that nobody has seen before"),
  ],
  ids=repr,
)
def test_a_fault_that_may_pass_is_an_error_and_leaves_every_checkpoint(
  tmp_path, monkeypatch, item, fault
):
  folder, said = tmp_path / "c", []
  with _open(folder, keep=3) as checkpoints:
    for step in (1, 2, 3):
      checkpoints.save(step, _state(step), [1.0] * step, wait=True)
  restore = ocp.CheckpointManager.restore

  def failing(manager, step, *, args):
    if item in args.keys():  # noqa: SIM118  # noqa: SIM118
      # Orbax hides some causes in an error of its own.
      raise Exception("while reading") from fault
    return restore(manager, step, args=args)

  monkeypatch.setattr(ocp.CheckpointManager, "restore", failing)
  with (
    pytest.raises(UnreadableError, match=r"c/3 could not be read.*Nothing was"),
    _open(folder, said, keep=3) as checkpoints,
  ):
    checkpoints.restore(_like(_state(0)))
  assert _steps(folder) == [1, 2, 3] and not said
  monkeypatch.undo()
  with _open(folder, keep=3) as checkpoints:
    assert len(checkpoints.restore(_like(_state(0)))[1]) == 3


def test_no_memory_for_the_checksum_leaves_every_checkpoint(
  tmp_path, monkeypatch
):
  folder = tmp_path / "c"
  with _open(folder) as checkpoints:
    checkpoints.save(1, _state(1), [1.0], wait=True)

  def exhausted(arrays):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

  monkeypatch.setattr(checkpoint, "checksum", exhausted)
  with (
    pytest.raises(UnreadableError, match="RESOURCE_EXHAUSTED"),
    _open(folder) as checkpoints,
  ):
    checkpoints.restore(_like(_state(0)))
  assert _steps(folder) == [1]


def test_each_file_of_a_checkpoint_may_fail_to_open(tmp_path):
  """A link to itself fails to open for Python and for TensorStore alike."""
  folder = tmp_path / "c"
  with _open(folder) as checkpoints:
    checkpoints.save(1, _state(1), [1.0], wait=True)
    checkpoints.save(2, _state(2), [1.0, 1.0], wait=True)
  refused = 0
  for file in sorted(
    path for path in (folder / "2").rglob("*") if path.is_file()
  ):
    content = file.read_bytes()
    file.unlink()
    file.symlink_to(file)
    if file.name == "metadata":
      # Orbax takes it for missing, which is damage; see above.
      file.unlink()
      file.write_bytes(content)
      continue
    try:
      with _open(folder) as checkpoints:
        assert len(checkpoints.restore(_like(_state(0)))[1]) == 2
    except UnreadableError as error:
      assert "symbolic links" in str(error)
      refused += 1
    assert _steps(folder) == [1, 2]
    file.unlink()
    file.write_bytes(content)
  assert refused >= 3
  with _open(folder) as checkpoints:
    assert len(checkpoints.restore(_like(_state(0)))[1]) == 2


def test_too_little_memory_to_restore_leaves_every_checkpoint(tmp_path):
  """A real process with room for 40 of the 96 MiB that it has to read."""
  code = f"""
import resource
import jax
from etils import epath
from tooldev_jax.errors import UnreadableError
from tooldev_jax.train.checkpoint import Checkpoints

state = {{"a": jax.numpy.ones((24, 1024, 1024))}}
like = jax.tree.map(
  lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
)
folder = epath.Path({str(tmp_path / "c")!r})
with Checkpoints(folder, keep=3, identity={{}}, say=print) as checkpoints:
  for step in (1, 2, 3):
    checkpoints.save(step, state, [1.0] * step, wait=True)
  del state
  with open("/proc/self/statm") as f:
    now = int(f.read().split()[0]) * resource.getpagesize()
  resource.setrlimit(resource.RLIMIT_AS, (now + 40 * 2**20, -1))
  try:
    print(checkpoints.restore(like))
  except UnreadableError as error:
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    print("told:", error)
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.stdout.startswith("told: "), done
  assert "Unable to allocate 96.0 MiB" in done.stdout
  assert _steps(tmp_path / "c") == [1, 2, 3]


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
  error = disk_full(epath.Path(tmp_path) / "not/made", 0)
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
  names = {path.name for path in (tmp_path / "c").iterdir()}
  assert "1" in names and "2" not in names


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
