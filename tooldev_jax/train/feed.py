"""From packed rows on the host to arrays over the mesh."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding

from tooldev_jax.errors import UserError
from tooldev_jax.train.identity import named_leaves

Arrays = Mapping[str, np.ndarray]


class TrainData(Protocol):
  """What the loop needs of `data.loader.TrainData`.

  Attributes:
    num_steps: length of the run.
    shapes: of the global batch, by name.
    fingerprint: digest of all that the batches follow from but their shapes.
  """

  num_steps: int
  shapes: Mapping[str, tuple[int, ...]]

  @property
  def fingerprint(self) -> str: ...

  def iterate(
    self, start_step: int, process_index: int = 0, process_count: int = 1
  ) -> Iterator[Arrays]:
    """This process's rows of the batches from `start_step` on, prefetched."""
    ...


class Feed:
  """Batches on the devices, one ahead of the step that uses them."""

  def __init__(
    self,
    data: TrainData,
    like: Mapping[str, jax.ShapeDtypeStruct],
    start_step: int,
  ):
    """Starts reading at `start_step`.

    Args:
      data: the batches.
      like: the global batch's shapes and shardings.
      start_step: index of the first batch.
    """
    self._like = like
    index, count = row_slice(like["tokens"].sharding, like["tokens"].shape)
    self._batches = iter(data.iterate(start_step, index, count))
    self._ahead: tuple[Arrays, dict[str, jax.Array]] | None = None
    self._waited = 0.0

  def next(self) -> tuple[Arrays, dict[str, jax.Array]]:
    """The next batch, on the host (this process's rows) and on the devices."""
    batch = self._ahead or self._read()
    self._ahead = None
    return batch

  def read_ahead(self) -> None:
    """Copies the next batch over while the devices are busy."""
    self._ahead = self._read()

  def take_waited(self) -> float:
    """Seconds spent waiting for the data since this was last called."""
    waited, self._waited = self._waited, 0.0
    return waited

  def _read(self) -> tuple[Arrays, dict[str, jax.Array]]:
    start = time.perf_counter()
    rows = next(self._batches)
    self._waited += time.perf_counter() - start
    arrays = {
      name: jax.make_array_from_process_local_data(
        like.sharding, np.ascontiguousarray(rows[name], like.dtype), like.shape
      )
      for name, like in self._like.items()
    }
    return rows, arrays


def put_like(tree: Any, like: Any) -> Any:
  """Puts a tree on the devices as `like` is sharded, after checking its shapes.

  Raises:
    UserError: names the first leaf that is missing, extra or of another shape.
  """
  have, want = named_leaves(tree), named_leaves(like)
  for name in sorted({*have, *want}):
    found = have[name].shape if name in have else "nothing"
    expected = want[name].shape if name in want else "nothing"
    if found != expected:
      raise UserError(f"{name}: found {found}, and the model has {expected}")
  leaves = [jax.device_put(have[name], x.sharding) for name, x in want.items()]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)


def row_slice(
  sharding: NamedSharding, shape: tuple[int, ...]
) -> tuple[int, int]:
  """Which equal part of a batch's rows this process's devices need.

  Processes that differ only along the tensor axis need the same rows.

  Returns:
    (index, count): part `index` of `count` equal parts.

  Raises:
    UserError: the devices of this process need rows that are not one block.
  """
  rows = shape[1]
  indices = sharding.addressable_devices_indices_map(shape).values()
  needed = [index[1].indices(rows)[:2] for index in indices if index]
  first = min(start for start, _ in needed)
  last = max(stop for _, stop in needed)
  width = last - first
  if sum(stop - start for start, stop in set(needed)) != width or (
    first % width or rows % width
  ):
    raise UserError(
      f"process {jax.process_index()} holds rows {sorted(set(needed))} of"
      f" {rows}, which are not one equal block; choose mesh sizes whose data"
      " and fsdp axes are multiples of the number of processes, or tensor ="
      " devices of one process"
    )
  return first // width, rows // width
