"""The small modules that a decoder is put together from.

Each declares its parameters where it uses them: shape, logical axes and
initialiser stand in one call. `models.parameters` reads the declaration back.

Dim letters as in transformer.py.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from tooldev_jax.config import LoraConfig
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.parallel.sharding import Partition

Axes = tuple[str | None, ...]


def declare_weight(
  module: nn.Module,
  name: str,
  shape: tuple[int, ...],
  axes: Axes,
  init: Callable[..., jax.Array],
  dtype: Any,
) -> jax.Array:
  """Declares a parameter of `module`, or reads it where it is given.

  Args:
    module: the module whose `__call__` this is called from.
    name: the parameter's name in the module.
    shape: its shape, without the [blocks] axis that the scan adds.
    axes: the logical name of each axis; see parallel.sharding.
    init: initialiser, called with (key, shape, dtype).
    dtype: dtype of a parameter made from scratch.
  """
  boxed = nn.with_logical_partitioning(init, axes)
  return cast(jax.Array, module.param(name, boxed, shape, dtype))


class RmsNorm(nn.Module):
  """Scales to unit mean square in float32.

  Attributes:
    eps: added to the mean square.
    unit_offset: Gemma's form, which multiplies by 1 + scale in float32; the
      others round first and multiply by scale afterwards.
    dtype: compute dtype.
    param_dtype: dtype of a scale made from scratch.
  """

  eps: float
  unit_offset: bool
  dtype: Any
  param_dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    start = nn.initializers.zeros if self.unit_offset else nn.initializers.ones
    scale = declare_weight(
      self, "scale", x.shape[-1:], (None,), start, self.param_dtype
    )
    y = x.astype(jnp.float32)
    y *= jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.eps)
    if self.unit_offset:
      return (y * (1.0 + scale.astype(jnp.float32))).astype(self.dtype)
    return y.astype(self.dtype) * scale.astype(self.dtype)


class Linear(nn.Module):
  """A linear map, with a low-rank update where an adapter targets it.

  Attributes:
    features: outputs.
    axes: logical axes of the kernel [inputs, outputs].
    use_bias: adds a bias.
    std: standard deviation of a kernel made from scratch.
    dtype: compute dtype.
    param_dtype: dtype of a kernel made from scratch.
    lora: the adapter, if it targets this map.
  """

  features: int
  axes: tuple[str, str]
  use_bias: bool
  std: float
  dtype: Any
  param_dtype: Any
  lora: LoraConfig | None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    normal = nn.initializers.normal(self.std)
    kernel_shape = (x.shape[-1], self.features)
    kernel = declare_weight(
      self, "kernel", kernel_shape, self.axes, normal, self.param_dtype
    )
    y = x @ kernel.astype(self.dtype)
    if self.lora is not None and self.lora.targeted(self.name):
      y += self.low_rank(x, kernel_shape, self.lora)
    if self.use_bias:
      zeros = nn.initializers.zeros
      shape, axes = (self.features,), self.axes[1:]
      bias = declare_weight(self, "bias", shape, axes, zeros, self.param_dtype)
      y += bias.astype(self.dtype)
    return y

  def low_rank(
    self, x: jax.Array, kernel_shape: tuple[int, int], lora: LoraConfig
  ) -> jax.Array:
    """scale * (x @ A) @ B, from the float32 factors of the adapter."""

    def factor(name: str, init: Any, shape: Any, axes: Axes) -> jax.Array:
      boxed = nn.with_logical_partitioning(init, axes)
      make = lambda: boxed(self.make_rng("lora"), shape, jnp.float32)
      value = cast(jax.Array, self.variable("lora", name, make).value)
      return value.astype(self.dtype)

    (inputs, outputs), rank = kernel_shape, lora.rank
    normal = nn.initializers.normal(lora.std(inputs))
    zeros = nn.initializers.zeros
    a_DxR = factor("a", normal, (inputs, rank), (self.axes[0], "rank"))
    b_RxD = factor("b", zeros, (rank, outputs), ("rank", self.axes[1]))
    return ((x @ a_DxR) * lora.scale) @ b_RxD


@dataclasses.dataclass(frozen=True)
class Parts:
  """What every part of one decoder is made from.

  Attributes as in `Decoder`; `lora` is None where no adapter is applied.
  """

  config: DecoderConfig
  lora: LoraConfig | None
  dtype: Any
  param_dtype: Any
  partition: Partition | None

  def norm(self, name: str) -> RmsNorm:
    config = self.config
    return RmsNorm(
      config.rms_norm_eps,
      config.unit_offset_norm,
      self.dtype,
      self.param_dtype,
      name=name,
    )

  def linear(
    self, name: str, features: int, axes: tuple[str, str], use_bias: bool
  ) -> Linear:
    std = self.config.initializer_range
    return Linear(
      features,
      axes,
      use_bias,
      std,
      self.dtype,
      self.param_dtype,
      self.lora,
      name=name,
    )

  def constrain(self, x: jax.Array, axes: Axes) -> jax.Array:
    return self.partition.constrain(x, axes) if self.partition else x


class Embed(nn.Module):
  """The embedding table [V, D] and the look-up in it."""

  parts: Parts

  @nn.compact
  def __call__(self, tokens_BxT: jax.Array) -> jax.Array:
    config = self.parts.config
    table_VxD = declare_weight(
      self,
      "embedding",
      (config.vocab_size, config.hidden_size),
      ("vocab", "embed"),
      nn.initializers.normal(config.initializer_range),
      self.parts.param_dtype,
    )
    x_BxTxD = table_VxD[tokens_BxT].astype(self.parts.dtype)
    if config.scale_embeddings:
      # Rounded to the compute dtype first, as Gemma was trained.
      x_BxTxD *= jnp.asarray(math.sqrt(config.hidden_size), self.parts.dtype)
    return x_BxTxD


class Head(nn.Module):
  """Declares an untied head; `Decoder.unembed` uses it."""

  parts: Parts

  @nn.compact
  def __call__(self) -> None:
    config = self.parts.config
    declare_weight(
      self,
      "kernel",
      (config.hidden_size, config.vocab_size),
      ("embed", "vocab"),
      nn.initializers.normal(config.initializer_range),
      self.parts.param_dtype,
    )
