"""Checkpoints that are whole, of this run, and on any mesh.

A checkpoint holds the trained tree and the optimizer's state (Orbax), and
beside them the number of updates made, which is also the position in the
data, and the *identity* of the run: config, base fingerprint, data
fingerprint. The base itself is never written. There is no random state: the
step draws no random numbers, and the order of the data and a fresh adapter
follow from the seed in the config.

Orbax renames a finished checkpoint into place, so one that was cut short by a
kill is never seen. One that was damaged afterwards is: each has a checksum of
its values, taken on the devices before saving and again after restoring. The
checksum adds up the bits as integers, so it does not depend on the mesh.

Beside the newest ones, the one with the lowest training loss since the
checkpoint before is kept and named. It is what to look at when a training has
gone wrong; no result is ever chosen by it, since a loss on the data that is
trained says nothing about calls. Those are judged on development examples, at
the end of each stage and round (`pipeline`).
"""

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from tooldev_jax import io
from tooldev_jax.errors import UserError
from tooldev_jax.parallel import processes


class OtherRunError(UserError):
  """A checkpoint or result belongs to another base, config or data."""


class DiskFullError(UserError):
  """A checkpoint does not fit on the disk."""


@contextlib.contextmanager
def _told_once() -> Iterator[None]:
  """Hides tracebacks of Orbax's threads: `save` and `wait` raise the cause.

  Each of them logs it, asyncio logs those whose result nobody awaits any more,
  and reads that end after it find their event loop closed.
  """

  def is_other(record: logging.LogRecord) -> bool:
    where = f"{record.pathname} {record.getMessage()}"
    return not (record.exc_info and f"{os.sep}orbax{os.sep}" in where)

  def show(unraisable: Any) -> None:
    if str(unraisable.exc_value) != "Event loop is closed":
      before(unraisable)

  loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
  before = sys.unraisablehook
  for logger in loggers:
    logger.addFilter(is_other)
  sys.unraisablehook = show
  try:
    yield
  finally:
    sys.unraisablehook = before
    for logger in loggers:
      logger.removeFilter(is_other)


class Checkpoints:
  """The checkpoints of one run, in one folder."""

  def __init__(
    self,
    folder: epath.Path,
    *,
    keep: int,
    identity: Mapping[str, Any],
    say: Callable[[str], None],
  ):
    """Opens or makes the folder and clears what an interrupted save left.

    Args:
      folder: where they are; one subfolder a checkpoint, named by its step.
      keep: newest ones to keep; the one with the lowest loss is kept as well.
      identity: JSON; what a checkpoint must have to be of this run.
      say: called with a sentence when something is worth telling.
    """
    self._folder, self._identity, self._say = folder, dict(identity), say
    self._saved = 0  # losses that some checkpoint holds
    self._quiet = contextlib.ExitStack()
    if processes.is_lead():
      folder.mkdir(parents=True, exist_ok=True)
    processes.barrier("checkpoint folder")
    loss = lambda metrics: metrics["loss"]
    best = preservation_policy.BestN(
      n=1,
      get_metric_fn=loss,
      reverse=True,
      keep_checkpoints_without_metrics=False,
    )
    self._manager = ocp.CheckpointManager(
      folder,
      options=ocp.CheckpointManagerOptions(
        cleanup_tmp_directories=True,
        best_fn=loss,
        best_mode="min",
        preservation_policy=preservation_policy.AnyPreservationPolicy(
          [preservation_policy.LatestN(keep), best]
        ),
      ),
      item_names=("state", "about"),
    )

  def save(
    self, step: int, state: Any, losses: Sequence[float], *, wait: bool = False
  ) -> None:
    """Saves `state` after `step` updates; the writing goes on behind.

    Args:
      step: updates made.
      state: tree of arrays; copied before this returns, so the caller may
        donate it.
      losses: of every update so far; the mean of those since the checkpoint
        before says which one is the best.
      wait: whether to return only when it is on the disk.

    Raises:
      DiskFullError: it does not fit, or the one before did not.
    """
    if step in self._manager.all_steps():
      return
    arrays = named_leaves(state)
    about = {
      "identity": self._identity,
      "checksum": checksum(arrays),
      "losses": list(losses),
    }
    recent = losses[self._saved :] or losses[-1:]
    self._guard_space(arrays)
    io.crash_point(f"before checkpoint {step}")
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about)
        ),
        metrics={"loss": sum(recent) / len(recent)},
        force=True,
      )
    except Exception as error:
      raise self._explained(error, arrays) from error
    self._saved = len(losses)
    if wait:
      self.wait()
    io.crash_point(f"after checkpoint {step}")

  def restore(self, like: Any) -> tuple[Any, list[float]] | None:
    """The newest whole checkpoint: its state and all losses up to it.

    None if there is none. The number of losses is the step.

    Damaged ones are told, removed and passed over.

    Args:
      like: tree of ShapeDtypeStruct with shardings; any mesh will do.

    Raises:
      OtherRunError: the newest is of another base, config or data.
    """
    for step in sorted(self._manager.all_steps(), reverse=True):
      found, why = self._try_restore(step, like)
      whole = processes.all_true(f"restored {step}", found is not None)
      if found is not None and whole:
        self._saved = step
        return found
      self._say(
        f"checkpoint {self._folder / str(step)} is damaged"
        f" ({why or 'on another process'}); going back to the one before"
      )
      self._manager.delete(step)
    return None

  def told(self) -> str:
    """A sentence: which checkpoints are there, and which of them is the best.

    What is still being written counts as well: call `wait` before.
    """
    steps = self._manager.all_steps()
    if not steps:
      return f"{self._folder} has no checkpoint"
    return (
      f"{self._folder} has checkpoints of step"
      f" {', '.join(map(str, sorted(steps)))}; training loss was lowest before"
      f" {self._manager.best_step()}"
    )

  def wait(self) -> None:
    """Returns when everything saved is on the disk.

    Raises:
      DiskFullError: it did not fit.
    """
    try:
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    except Exception as error:
      raise self._explained(error, None) from error

  def __enter__(self) -> "Checkpoints":
    self._quiet.enter_context(_told_once())
    return self

  def __exit__(self, kind: object, *_: object) -> None:
    """Lets go of the folder once nothing is being written any more."""
    try:
      self._manager.close()
    except Exception as error:
      # What ended the run is worth more than what followed from it.
      if kind is None:
        raise self._explained(error, None) from error
    finally:
      self._quiet.close()

  def _try_restore(
    self, step: int, like: Any
  ) -> tuple[tuple[Any, list[float]] | None, str]:
    """What `restore` returns for one step, or why it cannot be read."""
    names = named_leaves(like)
    try:
      about = self._manager.restore(
        step, args=ocp.args.Composite(about=ocp.args.JsonRestore())
      )["about"]
      identity, want = about["identity"], about["checksum"]
      losses = [float(x) for x in about["losses"]]
    except Exception as error:
      return None, _first_line(error)
    check_identity(
      identity, self._identity, f"checkpoint {self._folder / str(step)}"
    )
    try:
      arrays = self._manager.restore(
        step, args=ocp.args.Composite(state=ocp.args.StandardRestore(names))
      )["state"]
    except Exception as error:
      return None, _first_line(error)
    if (got := checksum(arrays)) != want:
      return None, f"checksum {got}, not {want}"
    leaves = [arrays[name] for name in names]
    state = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return (state, losses), ""

  def _guard_space(self, arrays: Mapping[str, jax.Array]) -> None:
    """Refuses before writing when it is plain that it cannot fit."""
    if "://" in str(self._folder):
      return
    need = _bytes(arrays)
    if need > shutil.disk_usage(self._folder).free:
      raise disk_full(self._folder, need)

  def _explained(
    self, error: Exception, arrays: Mapping[str, jax.Array] | None
  ) -> Exception:
    """DiskFullError if that is what `error` is about, else `error`."""
    if not is_disk_full(error):
      return error
    return disk_full(self._folder, _bytes(arrays) if arrays else 0)


def check_identity(
  found: Mapping[str, Any], wanted: Mapping[str, Any], what: str
) -> None:
  """Makes sure that something saved is of this run.

  Raises:
    OtherRunError: it is not; names each field that differs, and both values.
  """
  differ = sorted(
    name for name in {*found, *wanted} if found.get(name) != wanted.get(name)
  )
  if differ:
    lines = [
      f"  {name}: saved {found.get(name)!r}, now {wanted.get(name)!r}"
      for name in differ
    ]
    raise OtherRunError(
      f"{what} belongs to another run:\n"
      + "\n".join(lines)
      + "\nUse the settings it was made with (the rows of a batch follow from"
      " the mesh, too), another name or workdir, or delete it."
    )


@jax.jit
def _sums(arrays: Mapping[str, jax.Array]) -> list[jax.Array]:
  """Two wrapping sums of each leaf's bits; the second knows their places."""
  sums = []
  for index, name in enumerate(sorted(arrays)):
    x = arrays[name]
    width = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(x, width).astype(jnp.uint32)
    place = jnp.full(x.shape, 2 * index + 1, jnp.uint32)
    for axis in range(x.ndim):
      place = place * jnp.uint32(16777619) + jax.lax.broadcasted_iota(
        jnp.uint32, x.shape, axis
      )
    sums += [bits.sum(dtype=jnp.uint32), (bits * place).sum(dtype=jnp.uint32)]
  return sums


def checksum(arrays: Mapping[str, jax.Array]) -> str:
  """16 hex digits over the values of named arrays, on any mesh the same."""
  plain = total = 0
  for i, value in enumerate(jax.device_get(_sums(dict(arrays)))):
    if i % 2:
      total = (total * 31 + int(value)) % 2**32
    else:
      plain = (plain * 31 + int(value)) % 2**32
  return f"{plain:08x}{total:08x}"


def named_leaves(tree: Any) -> dict[str, Any]:
  """Leaves under their path, as files and messages name them."""
  paths = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): leaf
    for path, leaf in paths
  }


def _bytes(arrays: Mapping[str, jax.Array]) -> int:
  return sum(x.size * x.dtype.itemsize for x in arrays.values())


def is_disk_full(error: Exception) -> bool:
  """Whether an error, Python's or the storage's, is about space."""
  signs = ("No space left", "File too large", "quota exceeded")
  return any(sign in str(error) for sign in signs)


def disk_full(folder: epath.Path, need: int) -> DiskFullError:
  """The error that tells what is missing.

  Args:
    folder: that does not take any more.
    need: bytes that were to be written; 0 if that is not known.
  """
  wanted = (
    f"{need / 2**20:,.1f} MiB are to be written" if need else "it is full"
  )
  # Not even the folder may have been made.
  there = next(path for path in (folder, *folder.parents) if path.exists())
  free = shutil.disk_usage(there).free / 2**20
  return DiskFullError(
    f"no space in {folder}: {wanted} and {free:,.1f} MiB are free. Make room"
    " and run the same command again: it goes on from the last whole checkpoint"
  )


def _first_line(error: Exception) -> str:
  return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
