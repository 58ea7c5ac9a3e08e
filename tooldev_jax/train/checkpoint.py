"""Checkpoints that are whole, belong to this run, and restore on any mesh.

A checkpoint holds the trained tree and the optimizer's state (saved by Orbax).
Beside them are the losses of all updates so far, whose number is also the
position in the data, and the identity of the run: config, base and data. The
base itself is never written. There is no random state: the step draws no
random numbers, and the order of the data and a fresh adapter follow from seeds
in the config.

Orbax renames a finished checkpoint into place, so one that was cut short by a
kill is never seen. One that is damaged later is recognised by a checksum of
its values. It is passed over, and moved to `damaged_checkpoints/` once an
older one has been restored. Nothing is deleted because it could not be read:
where memory is short or the disk does not answer, the run stops with an error
and every checkpoint stays where it is.

The newest checkpoints are kept, and the one with the lowest recent training
loss, to look at when a training has gone wrong. No result is chosen by it: a
loss on trained data says nothing about calls.
"""

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from tooldev_jax import io
from tooldev_jax.errors import UnreadableError, UserError, reading, reason
from tooldev_jax.parallel import processes
from tooldev_jax.train.identity import check_identity, checksum, named_leaves
from tooldev_jax.train.storage import disk_full, is_damage, is_disk_full

# The mean loss of so many updates says which checkpoint is the best.
_RECENT = 20


class DamagedError(UserError):
  """Checkpoints are there, and not one of them is whole."""


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
      folder: holds one subfolder a checkpoint, named by its step.
      keep: newest ones to keep; the one with the lowest loss is kept as well.
      identity: JSON; what a checkpoint must have to be of this run.
      say: called with a sentence when something is worth telling.

    Raises:
      UnreadableError: the folder cannot be listed.
    """
    self._folder, self._identity, self._say = folder, dict(identity), say
    self._losses: list[float] = []
    self._quiet = contextlib.ExitStack()
    with reading(folder):
      if processes.is_lead():
        folder.mkdir(parents=True, exist_ok=True)
      processes.barrier("checkpoint folder")
      self._manager = ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(
          cleanup_tmp_directories=True,
          preservation_policy=preservation_policy.AnyPreservationPolicy(
            [preservation_policy.LatestN(keep), _KeepBest(self)]
          ),
        ),
        item_names=("state", "about"),
      )

  def save(
    self, step: int, state: Any, losses: Sequence[float], *, wait: bool = False
  ) -> None:
    """Saves `state` after `step` updates; writing goes on in the background.

    Args:
      step: updates made.
      state: tree of arrays; copied before this returns, so the caller may
        donate it.
      losses: of every update so far.
      wait: whether to return only when the checkpoint is on the disk.

    Raises:
      DiskFullError: it does not fit, or the one before did not.
    """
    if step in self._manager.all_steps():
      return
    self._losses = list(losses)
    arrays = named_leaves(state)
    about = {
      "identity": self._identity,
      "checksum": checksum(arrays),
      "losses": self._losses,
    }
    self._check_space(arrays)
    io.crash_point(f"before checkpoint {step}")
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about)
        ),
        force=True,
      )
    except Exception as error:
      raise self._explain(error, _bytes(arrays)) from error
    if wait:
      self.wait()
    io.crash_point(f"after checkpoint {step}")

  def restore(self, like: Any) -> tuple[Any, list[float]] | None:
    """The newest whole checkpoint: its state and all losses up to it.

    The number of losses is the step. Newer ones that are damaged are moved to
    `damaged_checkpoints`, and that is said.

    Args:
      like: tree of ShapeDtypeStruct with shardings; any mesh will do.

    Returns:
      None if there are no checkpoints.

    Raises:
      OtherRunError: the newest is of another base, config or data.
      UnreadableError: a checkpoint could not be read, for want of memory or by
        a fault of the disk. It may be whole, so nothing is touched.
      DamagedError: there are checkpoints, and all of them are damaged.
    """
    damaged: dict[int, str] = {}
    for step in sorted(self._manager.all_steps(), reverse=True):
      found, why = self._read_on_all(step, like)
      if found is not None:
        for bad, reason in damaged.items():
          self._set_aside(bad, reason)
        self._losses = list(found[1])
        return found
      damaged[step] = why
    if damaged:
      lines = [f"  {step}: {why}" for step, why in damaged.items()]
      raise DamagedError(
        f"every checkpoint in {self._folder} is damaged:\n"
        + "\n".join(lines)
        + "\nNothing was deleted. To train from the beginning, move that folder"
        " away or choose another workdir."
      )
    return None

  def summary(self) -> str:
    """A sentence: which checkpoints are there, and which of them is the best.

    Counts what is still being written: call `wait` before.
    """
    steps = sorted(self._manager.all_steps())
    if not steps:
      return f"{self._folder} has no checkpoint"
    return (
      f"{self._folder} has checkpoints of step {', '.join(map(str, steps))};"
      f" training loss was lowest before {self._best(steps)}"
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
      raise self._explain(error) from error

  def __enter__(self) -> "Checkpoints":
    self._quiet.enter_context(_without_orbax_tracebacks())
    return self

  def __exit__(self, kind: object, *_: object) -> None:
    """Lets go of the folder once nothing is being written any more."""
    try:
      self._manager.close()
    except Exception as error:
      # Another error is already on its way: it is the one to show.
      if kind is None:
        raise self._explain(error) from error
    finally:
      self._quiet.close()

  def _read_on_all(
    self, step: int, like: Any
  ) -> tuple[tuple[Any, list[float]] | None, str]:
    """Reads one checkpoint; every process comes to the same conclusion.

    Returns:
      What `restore` returns, or None and why the checkpoint is damaged.
    """
    name = f"checkpoint {self._folder / str(step)}"
    found, status, fault = None, "whole", None
    try:
      found = self._read(step, like, name)
      if found is None:
        status = "damaged: its values have another checksum"
    except UserError:
      raise
    except Exception as error:
      fault = error
      status = "damaged" if is_damage(error) else "unreadable"
      status += f": {reason(error)}"
    statuses = processes.share(f"restored {step}", status)
    if fault is not None and status.startswith("unreadable"):
      raise UnreadableError.of(name, fault) from fault
    bad = [(i, x) for i, x in enumerate(statuses) if x != "whole"]
    for process, other in bad:
      if other.startswith("unreadable"):
        raise UnreadableError(f"{name} is {other} (process {process})")
    return (None, bad[0][1].removeprefix("damaged: ")) if bad else (found, "")

  def _read(
    self, step: int, like: Any, name: str
  ) -> tuple[Any, list[float]] | None:
    """State and losses of one checkpoint; None if its values have changed."""
    about = self._manager.restore(
      step, args=ocp.args.Composite(about=ocp.args.JsonRestore())
    )["about"]
    check_identity(about["identity"], self._identity, name)
    names = named_leaves(like)
    arrays = self._manager.restore(
      step, args=ocp.args.Composite(state=ocp.args.StandardRestore(names))
    )["state"]
    if checksum(arrays) != about["checksum"]:
      return None
    leaves = [arrays[name] for name in names]
    state = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return state, [float(x) for x in about["losses"]]

  def _set_aside(self, step: int, why: str) -> None:
    """Moves a damaged checkpoint out of the way; it is not deleted."""
    target = self._folder.parent / "damaged_checkpoints" / str(step)
    if processes.is_lead():
      target.parent.mkdir(exist_ok=True)
      while target.exists():
        target = target.parent / f"{target.name}-again"
      (self._folder / str(step)).rename(target)
    processes.barrier(f"checkpoint {step} set aside")
    self._manager.reload()
    self._say(
      f"checkpoint {self._folder / str(step)} is damaged ({why}); it was moved"
      f" to {target.parent}, and the one before is used"
    )

  def _best(self, steps: Sequence[int]) -> int:
    """The step with the lowest mean loss over the updates before it."""

    def mean(step: int) -> float:
      recent = self._losses[max(step - _RECENT, 0) : step]
      return sum(recent) / len(recent) if recent else float("inf")

    return min(steps, key=mean)

  def _check_space(self, arrays: Mapping[str, jax.Array]) -> None:
    """Refuses before writing where it is plain that it cannot fit."""
    if "://" in str(self._folder):
      return
    need = _bytes(arrays)
    if need > shutil.disk_usage(self._folder).free:
      raise disk_full(self._folder, need)

  def _explain(self, error: Exception, need: int = 0) -> Exception:
    """DiskFullError if that is what `error` is about, else `error`."""
    return disk_full(self._folder, need) if is_disk_full(error) else error


class _KeepBest(preservation_policy.PreservationPolicy):
  """Keeps the checkpoint with the lowest recent training loss."""

  def __init__(self, checkpoints: Checkpoints):
    self._checkpoints = checkpoints

  def should_preserve(
    self,
    checkpoints: Sequence[Any],
    *,
    context: preservation_policy.PreservationContext,
  ) -> Sequence[bool]:
    del context
    steps = [checkpoint.step for checkpoint in checkpoints]
    best = self._checkpoints._best(steps) if steps else None
    return [step == best for step in steps]


@contextlib.contextmanager
def _without_orbax_tracebacks() -> Iterator[None]:
  """Hides the tracebacks that Orbax's threads print.

  Each thread logs its error, asyncio logs those whose result nobody awaits,
  and a read that ends late finds its event loop closed. `save` and `wait`
  raise the cause in any case.
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


def _bytes(arrays: Mapping[str, jax.Array]) -> int:
  return sum(x.size * x.dtype.itemsize for x in arrays.values())
