"""The artefact of a training: the trained tree, in bytes that do not vary.

`trained.safetensors` holds the float32 leaves under their paths, `losses.json`
the loss of every update; `manifest.json` is written last, and only what has a
manifest counts. Nothing in them depends on a clock, a mesh or on how often the
run was stopped.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

import jax
import numpy as np
from etils import epath

from tooldev_jax import io
from tooldev_jax.errors import UserError, reading
from tooldev_jax.models.checkpoint import let_go, on_host, to_devices
from tooldev_jax.models.tensor_file import file_pieces, read_header
from tooldev_jax.parallel import processes
from tooldev_jax.train.identity import check_identity, named_leaves

TRAINED = "trained.safetensors"
LOSSES = "losses.json"
MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class FitResult:
  """What training gave.

  Attributes:
    trained: the trained tree, float32, over the mesh.
    steps: updates made.
    last_loss: of the last update.
    history: the loss of every update.
    path: the file with the trained tree.
    fingerprint: SHA-256 of that file.
  """

  trained: Any
  steps: int
  last_loss: float
  history: tuple[float, ...]
  path: epath.Path
  fingerprint: str


def write_result(
  folder: epath.Path,
  identity: Mapping[str, Any],
  trained: Any,
  losses: Sequence[float],
) -> FitResult:
  """Writes the artefact into `folder`/result; all processes must call it.

  Args:
    folder: of the run.
    identity: JSON; the settings that the bytes follow from.
    trained: tree of arrays.
    losses: of every update.
  """
  where = folder / "result"
  leaves = named_leaves(trained)
  sha256 = hashlib.sha256()

  def pieces() -> Iterator[bytes | memoryview]:
    """Of the file. A process holds one whole leaf at a time."""
    for piece in file_pieces(leaves, on_host):
      sha256.update(piece)
      yield piece

  if processes.is_lead():
    io.write_pieces(where / TRAINED, pieces())
  else:
    # Every process has to take part in gathering what they hold together.
    collections.deque(pieces(), maxlen=0)
  fingerprint = sha256.hexdigest()
  if processes.is_lead():
    io.write_json(where / LOSSES, list(losses))
    io.write_json(
      where / MANIFEST,
      {
        "identity": dict(identity),
        "steps": len(losses),
        "last_loss": losses[-1],
        "parameters": sum(x.size for x in leaves.values()),
        "sha256": {TRAINED: fingerprint},
      },
    )
  processes.barrier("result written")
  return FitResult(
    trained=trained,
    steps=len(losses),
    last_loss=losses[-1],
    history=tuple(losses),
    path=where / TRAINED,
    fingerprint=fingerprint,
  )


def read_trained(folder: epath.Path, like: Any) -> tuple[Any, str]:
  """The trained tree in `folder`/result and its fingerprint.

  Args:
    folder: of a finished run.
    like: tree of ShapeDtypeStruct with shardings.

  Raises:
    UserError: the file is not the one that the manifest is about.
    UnreadableError: memory is short or the disk does not answer.
  """
  where = folder / "result"
  expected = _read(where / MANIFEST, ("sha256",))["sha256"][TRAINED]
  with reading(where / TRAINED):
    fingerprint = "nothing"
    if (where / TRAINED).exists():
      with (where / TRAINED).open("rb") as f:
        fingerprint = hashlib.file_digest(f, "sha256").hexdigest()
    if fingerprint != expected:
      raise UserError(
        f"{where / TRAINED} has SHA-256 {fingerprint}, and {MANIFEST} says"
        f" {expected}: it was changed or damaged. Delete {where} to train"
        " again."
      )
    entries = read_header(where / TRAINED)
    arrays = []
    for name, leaf in named_leaves(like).items():
      arrays.append(to_devices(entries[name].read(), leaf.sharding))
      let_go()
  return jax.tree.unflatten(jax.tree.structure(like), arrays), fingerprint


def read_result(
  folder: epath.Path, identity: Mapping[str, Any], like: Any
) -> FitResult | None:
  """The finished result in `folder`; None if there is none yet.

  Args:
    folder: of the run.
    identity: what it must have been made with.
    like: tree of ShapeDtypeStruct with shardings.

  Raises:
    OtherRunError: it was made with other settings, data or base.
    UserError: a file is damaged, or not the one that the manifest is about.
    UnreadableError: memory is short or the disk does not answer.
  """
  where = folder / "result"
  with reading(where):
    if not (where / MANIFEST).exists():
      return None
  manifest = _read(where / MANIFEST, ("identity", "steps", "last_loss"))
  check_identity(manifest["identity"], identity, f"result {where}")
  trained, fingerprint = read_trained(folder, like)
  losses = _read(where / LOSSES)
  return FitResult(
    trained=trained,
    steps=manifest["steps"],
    last_loss=manifest["last_loss"],
    history=tuple(losses),
    path=where / TRAINED,
    fingerprint=fingerprint,
  )


def _read(path: epath.Path, fields: Sequence[str] = ()) -> Any:
  """A JSON file of a result; an object with these fields, if any are named."""
  try:
    with reading(path):
      value: Any = io.read_json(path) if path.exists() else None
    if fields:
      _ = [value[field] for field in fields]
    elif not isinstance(value, list):
      raise ValueError("no list")
  except (ValueError, TypeError, KeyError) as error:
    raise UserError(
      f"{path} is gone or damaged ({error}). Delete {path.parent} to train"
      " again."
    ) from error
  return value


def save_batch(folder: epath.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes this process's part of a batch as `batch-<process>.npz`."""
  buffer = BytesIO()
  np.savez(buffer, allow_pickle=False, **dict(arrays))
  io.write_bytes(folder / f"batch-{jax.process_index()}.npz", buffer.getvalue())
