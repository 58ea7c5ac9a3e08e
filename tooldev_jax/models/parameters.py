"""One declaration of the parameters, read back in every form it is needed.

The Flax module declares shape, logical axes and initialiser where it uses a
parameter. From that, and without allocating anything, come the tree of
shapes, the shardings, new parameters, and the names in a Hugging Face
checkpoint.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tooldev_jax.config import LoraConfig
from tooldev_jax.models.config import AttentionSpec, DecoderConfig, LayerGroup
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.sharding import Partition


def _no_attention(
  q: jax.Array, k: jax.Array, v: jax.Array, cache: Any, spec: AttentionSpec
) -> tuple[jax.Array, Any]:
  """Attention is not needed to know the parameters."""
  del k, v, spec
  return q, cache


def _init(decoder: Decoder, key: jax.Array) -> Any:
  token = jnp.zeros((1, 1), jnp.int32)
  keys = {"params": key, "lora": key}
  return decoder.init(keys, token, token, _no_attention)


@functools.cache
def declare(
  config: DecoderConfig,
  lora: LoraConfig | None = None,
  param_dtype: Any = jnp.float32,
) -> Any:
  """Shapes, dtypes and logical axes: {"params": tree[, "lora": tree]}.

  Every leaf is a box of flax.linen with `.names` (logical axes) around a
  `jax.ShapeDtypeStruct`; `flax.linen.meta.unbox` strips the boxes.
  """
  decoder = Decoder(config, lora, param_dtype=param_dtype)
  return jax.eval_shape(functools.partial(_init, decoder), jax.random.key(0))


def abstract(declared: Any, partition: Partition, dtype: Any) -> Any:
  """Shapes with their shardings: a tree of ShapeDtypeStruct.

  Args:
    declared: a collection of what `declare` returns.
    partition: says how each array is sharded.
    dtype: of all leaves.
  """
  like = lambda x, sharding: jax.ShapeDtypeStruct(
    x.shape, dtype, sharding=sharding
  )
  shardings = partition.shardings(declared)
  return jax.tree.map(like, nn.meta.unbox(declared), shardings)


def _make(
  config: DecoderConfig,
  lora: LoraConfig | None,
  key: jax.Array,
  dtype: Any,
  collection: str,
  partition: Partition | None,
) -> Any:
  decoder = Decoder(config, lora, param_dtype=dtype)
  out_shardings = None
  if partition is not None:
    declared = declare(config, lora, dtype)[collection]
    out_shardings = partition.shardings(declared)
  # What is not returned is not computed: an adapter costs no base.
  make = lambda key: nn.meta.unbox(_init(decoder, key)[collection])
  return jax.jit(make, out_shardings=out_shardings)(key)


def init_params(
  config: DecoderConfig,
  key: jax.Array,
  dtype: Any = jnp.float32,
  partition: Partition | None = None,
) -> Any:
  """New base parameters: normal weights, plain norms, zero biases."""
  return _make(config, None, key, dtype, "params", partition)


def init_adapter(
  config: DecoderConfig,
  lora: LoraConfig,
  key: jax.Array,
  partition: Partition | None = None,
) -> Any:
  """A new float32 adapter: A normal, B zero."""
  return _make(config, lora, key, jnp.float32, "lora", partition)


@dataclasses.dataclass(frozen=True)
class StackedLeaf:
  """One parameter array of ours and the checkpoint tensors it is made of.

  Attributes:
    path: keys down the tree, such as ("blocks_0", ..., "q_proj", "kernel").
    shape: our shape; [blocks, ...] if `stacked`.
    stacked: whether the first axis counts the blocks.
    transposed: whether the tensors are [outputs, inputs] to our [in, out].
    names: the tensors, one a block, or one in all.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]
  stacked: bool
  transposed: bool
  names: tuple[str, ...]

  @property
  def tensor_shape(self) -> tuple[int, ...]:
    """The shape of each of the checkpoint's tensors."""
    shape = self.shape[1:] if self.stacked else self.shape
    return shape[::-1] if self.transposed else shape


def stacked_leaves(config: DecoderConfig) -> tuple[StackedLeaf, ...]:
  """Every base parameter with its names in a Hugging Face checkpoint."""
  declared = nn.meta.unbox(declare(config)["params"])
  groups = {group.name: group for group in config.groups}
  leaves = []
  for keys, leaf in jax.tree_util.tree_leaves_with_path(declared):
    path = tuple(key.key for key in keys)
    group = groups.get(path[0])
    names = tuple(
      _tensor_name(path, group, repeat)
      for repeat in range(group.repeats if group else 1)
    )
    leaves.append(
      StackedLeaf(
        path, leaf.shape, group is not None, path[-1] == "kernel", names
      )
    )
  return tuple(leaves)


def module_name(path: tuple[str, ...], group: LayerGroup, repeat: int) -> str:
  """The checkpoint's name of a module in the `repeat`-th block of a group.

  Args:
    path: (group, "layer_<index in the block>", module...).
    group: the group.
    repeat: which repeat of its block.
  """
  within = int(path[1].removeprefix("layer_"))
  index = group.first + repeat * len(group.layers) + within
  return ".".join(("model", "layers", str(index), *path[2:]))


def _tensor_name(
  path: tuple[str, ...], group: LayerGroup | None, repeat: int
) -> str:
  kind = "bias" if path[-1] == "bias" else "weight"
  if group is not None:
    return f"{module_name(path[:-1], group, repeat)}.{kind}"
  module = ".".join(path[:-1])
  return f"{module}.{kind}" if module == "lm_head" else f"model.{module}.{kind}"
