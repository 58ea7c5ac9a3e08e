"""From the names of an array's axes to its sharding.

Models name the axes of every parameter and of a few activations ("embed",
"heads", ...). One frozen table says which mesh axes shard which of them. So
training and sampling shard the same model differently, and the model's code
does not change.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tooldev_jax.errors import UserError

MeshAxes = str | tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class ShardingRules:
  """Mesh axes for each logical axis; None replicates it.

  Attributes:
    batch: rows of a batch.
    length: tokens of a row.
    blocks: the stacked repeats of the layer block.
    embed: the hidden size, in weights.
    heads: query heads x head size, in weights.
    kv_heads: key/value heads x head size, in weights.
    mlp: the width of the MLP, in weights.
    vocab: the vocabulary.
    rank: the rank of a LoRA adapter.
    act_heads: query heads, in activations.
    act_kv_heads: key/value heads, in activations.
    act_mlp: the width of the MLP, in activations.
  """

  batch: MeshAxes = ("data", "fsdp")
  length: MeshAxes = None
  blocks: MeshAxes = None
  embed: MeshAxes = "fsdp"
  heads: MeshAxes = "tensor"
  kv_heads: MeshAxes = "tensor"
  mlp: MeshAxes = "tensor"
  vocab: MeshAxes = "tensor"
  rank: MeshAxes = None
  act_heads: MeshAxes = "tensor"
  act_kv_heads: MeshAxes = "tensor"
  act_mlp: MeshAxes = "tensor"

  def spec(self, axes: Sequence[str | None]) -> PartitionSpec:
    """The PartitionSpec of an array whose axes have these logical names.

    Raises:
      UserError: an axis has no rule, or two axes want the same mesh axis.
    """
    parts: list[MeshAxes] = []
    owner: dict[str, str] = {}
    for axis in axes:
      if axis is None:
        parts.append(None)
        continue
      if not hasattr(self, axis):
        known = ", ".join(f.name for f in dataclasses.fields(self))
        raise UserError(f"no sharding rule for axis {axis!r}; known: {known}.")
      part = getattr(self, axis)
      for name in (part,) if isinstance(part, str) else part or ():
        if name in owner:
          raise UserError(
            f"sharding rules collide: {owner[name]!r} and {axis!r} of one "
            f"array {tuple(axes)} are both split over mesh axis {name!r}."
          )
        owner[name] = axis
      parts.append(part)
    return PartitionSpec(*parts)


# Training shards weights over fsdp as well; each layer is gathered when used.
TRAIN_RULES = ShardingRules()
# Sampling shards weights over the tensor axis only: otherwise decoding would
# gather every layer for every token.
SAMPLE_RULES = ShardingRules(embed=None)


@dataclasses.dataclass(frozen=True)
class Partition:
  """A mesh together with the rules that shard a model over it."""

  mesh: Mesh
  rules: ShardingRules

  def ways(self, axis: str) -> int:
    """How many pieces an axis of this logical name is split into."""
    part = getattr(self.rules, axis)
    names = (part,) if isinstance(part, str) else part or ()
    return math.prod(self.mesh.shape[name] for name in names)

  def sharding(self, axes: Sequence[str | None] = ()) -> NamedSharding:
    """The sharding of an array with these axes; without axes: replicated."""
    return NamedSharding(self.mesh, self.rules.spec(axes))

  def constrain(self, x: jax.Array, axes: Sequence[str | None]) -> jax.Array:
    """Asks the compiler to keep `x` sharded by these axes."""
    return jax.lax.with_sharding_constraint(x, self.sharding(axes))

  def shardings(self, declared: Any) -> Any:
    """A tree of NamedSharding for a tree of declared parameters.

    Args:
      declared: shapes boxed with their logical axes, as
        `models.parameters.declare` returns them.

    Raises:
      UserError: an array does not divide; names the array and the axis.
    """

    def one(path: tuple[Any, ...], box: Any) -> NamedSharding:
      name = jax.tree_util.keystr(path, simple=True, separator="/")
      shape = nn.meta.unbox(box).shape
      sharding = self.sharding(box.names)
      for axis, size in zip(box.names, shape, strict=True):
        if axis is not None and size % self.ways(axis):
          raise UserError(
            f"{name} has {axis}={size}, which the mesh splits "
            f"{self.ways(axis)} ways (over {getattr(self.rules, axis)}); "
            "choose mesh sizes that divide it."
          )
      return sharding

    return jax.tree_util.tree_map_with_path(
      one, declared, is_leaf=lambda x: isinstance(x, nn.meta.AxisMetadata)
    )


def bytes_per_chip(tree: Any) -> float:
  """Bytes of one chip's part of a tree of ShapeDtypeStruct or arrays."""
  return sum(
    float(math.prod(x.sharding.shard_shape(x.shape))) * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
  )
