"""The shapes and shardings of a batch, and which meshes can share it."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from tooldev_jax.errors import UserError
from tooldev_jax.parallel.sharding import Partition

Batch = Mapping[str, Any]

# The arrays of a batch and their axes. The first is that of micro-batches.
BATCH_AXES: Mapping[str, tuple[str | None, ...]] = {
  "tokens": (None, "batch", "length"),
  "segment_ids": (None, "batch", "length"),
  "positions": (None, "batch", "length"),
  "target_positions": (None, "batch", None),
  "target_ids": (None, "batch", None),
  "target_weights": (None, "batch", None),
}


def abstract_batch(
  shapes: Mapping[str, tuple[int, ...]], partition: Partition
) -> Batch:
  """A batch of ShapeDtypeStruct with shardings, for global shapes by name."""
  return {
    name: jax.ShapeDtypeStruct(
      shape,
      jnp.float32 if name == "target_weights" else jnp.int32,
      sharding=partition.sharding(BATCH_AXES[name]),
    )
    for name, shape in shapes.items()
  }


def batch_shards(partition: Partition | None) -> int:
  """Parts that the rows of a batch are split into."""
  return 1 if partition is None else partition.ways("batch")


def check_mesh(rows: int, partition: Partition) -> None:
  """Makes sure that no batch shard would hold nothing but padding.

  Args:
    rows: packed rows of a micro-batch, before they are rounded up to a
      multiple of the batch shards.
    partition: of the run.

  Raises:
    UserError: there are more shards than rows; says which meshes would do.
  """
  if rows < batch_shards(partition):
    check_rows(rows, partition)


def check_rows(rows: int, partition: Partition) -> None:
  """Makes sure that every batch shard gets the same number of rows.

  Raises:
    UserError: it does not; says which meshes would do.
  """
  shards = batch_shards(partition)
  if rows % shards == 0:
    return
  axes = partition.rules.batch or ()
  named = axes if isinstance(axes, str) else " × ".join(axes)
  chips = math.prod(partition.mesh.shape.values())
  fits = [n for n in range(1, min(rows, shards) + 1) if chips % n == 0]
  raise UserError(
    f"the mesh has {shards} batch shards ({named}) and a batch has {rows}"
    " packed rows, which do not divide among them. What would fit:"
    f" {named} of {' or '.join(map(str, fits))}, with the other chips on the"
    " tensor axis; shorter rows (data.row_length) or more examples a batch"
    f" (data.batch_examples), so that there are {shards} rows or a multiple; or"
    " fewer micro-batches"
  )
