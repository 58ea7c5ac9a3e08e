"""The decoder: tokens in, hidden states out.

One Flax module is every family; what differs is in `DecoderConfig`. Layers
are scanned over the family's repeating block, so compile time does not grow
with depth and every parameter of a layer is one array [blocks, ...]. What
attention does with keys and values, whether it packs training rows or keeps a
cache, is the caller's: the `attend` callable, called once a layer.

Dim letters: B rows, T tokens, D hidden size, H query heads, G key/value heads,
K head size, F MLP width, V vocabulary, R rank of an adapter.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from tooldev_jax.config import LoraConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models.attention_math import soft_cap
from tooldev_jax.models.config import AttentionSpec, DecoderConfig
from tooldev_jax.models.parts import Embed, Head, Parts
from tooldev_jax.models.rope import rope_angles, rotate
from tooldev_jax.parallel.sharding import Partition

# attend(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, cache_slice, spec)
#   -> (out_BxTxHxK, new_cache_slice)
Attend = Callable[
  [jax.Array, jax.Array, jax.Array, Any, AttentionSpec], tuple[jax.Array, Any]
]

_policies = jax.checkpoint_policies

# What the backward pass keeps of a block, from most memory to least. What
# `attend` calls "attention" is kept with it.
REMAT_POLICIES: dict[str, Callable[..., Any] | None] = {
  # Everything.
  "none": None,
  # Inputs of every matrix product: only cheap elementwise work is done twice.
  "products": _policies.save_only_these_names(
    "q", "k", "v", "attention", "o", "gate", "up"
  ),
  # The widest products and attention itself: its four projections, about a
  # fifth of the weights of a model like Llama 3, are done twice.
  "wide": _policies.save_only_these_names("attention", "gate", "up"),
  # Attention and what feeds it: the MLP's two wide products are done twice.
  "attention": _policies.save_only_these_names("q", "k", "v", "attention", "o"),
  # The block's input alone: the whole forward pass is done twice.
  "full": _policies.nothing_saveable,
}

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  "silu": jax.nn.silu,
  "gelu_pytorch_tanh": lambda x: jax.nn.gelu(x, approximate=True),
}


class Attention(nn.Module):
  """Grouped-query attention around the caller's `attend`."""

  parts: Parts
  spec: AttentionSpec
  attend: Attend

  @nn.compact
  def __call__(
    self, x_BxTxD: jax.Array, angles: Any, cache: Any
  ) -> tuple[jax.Array, Any]:
    config, parts = self.parts.config, self.parts
    rows, tokens, width = x_BxTxD.shape

    def project(name: str, heads: int, axis: str) -> jax.Array:
      features = heads * config.head_dim
      y = parts.linear(name, features, ("embed", axis), config.qkv_bias)(
        x_BxTxD
      )
      y = y.reshape(rows, tokens, heads, config.head_dim)
      return parts.constrain(y, ("batch", "length", f"act_{axis}", None))

    q = project("q_proj", config.num_heads, "heads")
    k = project("k_proj", config.num_kv_heads, "kv_heads")
    v = project("v_proj", config.num_kv_heads, "kv_heads")
    if config.qk_norm:
      q = parts.norm("q_norm")(q)
      k = parts.norm("k_norm")(k)
    q = checkpoint_name(rotate(q, angles), "q")
    k = checkpoint_name(rotate(k, angles), "k")
    v = checkpoint_name(v, "v")
    out, cache = self.attend(q, k, v, cache, self.spec)
    o_proj = parts.linear("o_proj", width, ("heads", "embed"), config.out_bias)
    y = o_proj(out.reshape(rows, tokens, -1))
    return checkpoint_name(y, "o"), cache


class Mlp(nn.Module):
  """The gated MLP."""

  parts: Parts

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
    config, parts = self.parts.config, self.parts

    def widen(name: str) -> jax.Array:
      features, axes = config.intermediate_size, ("embed", "mlp")
      y = parts.linear(f"{name}_proj", features, axes, config.mlp_bias)(x_BxTxD)
      y = parts.constrain(y, ("batch", "length", "act_mlp"))
      return checkpoint_name(y, name)

    gate_BxTxF = _ACTIVATIONS[config.activation](widen("gate"))
    features, axes = config.hidden_size, ("mlp", "embed")
    down_proj = parts.linear("down_proj", features, axes, config.mlp_bias)
    return down_proj(gate_BxTxF * widen("up"))


class Layer(nn.Module):
  """One decoder layer: attention and MLP, each inside a residual."""

  parts: Parts
  spec: AttentionSpec
  attend: Attend

  @nn.compact
  def __call__(
    self, x_BxTxD: jax.Array, angles: Any, cache: Any
  ) -> tuple[jax.Array, Any]:
    norm, constrain = self.parts.norm, self.parts.constrain
    sandwich = self.parts.config.sandwich_norm
    axes = ("batch", "length", None)
    with jax.named_scope("attention"):
      y = norm("input_layernorm")(x_BxTxD)
      attention = Attention(
        self.parts, self.spec, self.attend, name="self_attn"
      )
      y, cache = attention(y, angles, cache)
      if sandwich:
        y = norm("post_attention_layernorm")(y)
      x_BxTxD = constrain(x_BxTxD + y, axes)
    with jax.named_scope("mlp"):
      # Llama calls the norm before the MLP what Gemma calls the one after
      # attention.
      before = "pre_feedforward" if sandwich else "post_attention"
      y = norm(f"{before}_layernorm")(x_BxTxD)
      y = Mlp(self.parts, name="mlp")(y)
      if sandwich:
        y = norm("post_feedforward_layernorm")(y)
      return constrain(x_BxTxD + y, axes), cache


class Block(nn.Module):
  """The layers that repeat: one for Llama, six for Gemma 3."""

  parts: Parts
  specs: tuple[AttentionSpec, ...]
  attend: Attend

  @nn.compact
  def __call__(
    self, x_BxTxD: jax.Array, caches: tuple[Any, ...], angles: tuple[Any, ...]
  ) -> tuple[jax.Array, tuple[Any, ...]]:
    new_caches = []
    for i, spec in enumerate(self.specs):
      layer = Layer(self.parts, spec, self.attend, name=f"layer_{i}")
      x_BxTxD, new_cache = layer(x_BxTxD, angles[i], caches[i])
      new_caches.append(new_cache)
    return x_BxTxD, tuple(new_caches)


class Decoder(nn.Module):
  """The whole decoder.

  Attributes:
    config: the model's shape.
    lora: the adapter's shape; None for the base model alone. An `apply`
      without a "lora" collection is the base model in any case.
    dtype: compute dtype; parameters are cast to it where they are used.
    param_dtype: dtype of parameters made from scratch.
    remat: a key of REMAT_POLICIES.
    unroll: runs the blocks one after the other instead of scanning them:
      slower to compile, sometimes faster to decode.
    partition: mesh and rules that activations are kept to; None on one
      device, or to leave it to the compiler.
  """

  config: DecoderConfig
  lora: LoraConfig | None = None
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32
  remat: str = "none"
  unroll: bool = False
  partition: Partition | None = None

  @nn.compact
  def __call__(
    self,
    tokens_BxT: jax.Array,
    positions_BxT: jax.Array,
    attend: Attend,
    cache: Any = None,
  ) -> tuple[jax.Array, Any]:
    """Runs the layers.

    Args:
      tokens_BxT: token ids, int32.
      positions_BxT: position of each token in its sequence, for RoPE, int32.
      attend: attention, called once a layer; see `Attend`.
      cache: {group.name: tuple of one pytree a layer of the block, leading
        axis group.repeats} for `config.groups`; None if `attend` needs none.

    Returns:
      Hidden states after the final norm [B, T, D] in `dtype`, and what
      `attend` returned for each layer, laid out like `cache`.
    """
    config = self.config
    if self.partition is not None:
      _check_heads(config, self.partition)
    has_adapter = self.is_initializing() or "lora" in self.variables
    parts = Parts(
      config,
      self.lora if has_adapter else None,
      self.dtype,
      self.param_dtype,
      self.partition,
    )
    x_BxTxD = Embed(parts, name="embed_tokens")(tokens_BxT)
    x_BxTxD = parts.constrain(x_BxTxD, ("batch", "length", None))
    angles = {
      rope: rope_angles(rope, config.head_dim, positions_BxT)
      for rope in dict.fromkeys(layer.rope for layer in config.layers)
    }
    block = Block
    if (policy := REMAT_POLICIES[self.remat]) is not None:
      # A scan already keeps the compiler from merging the two passes.
      block = nn.remat(Block, policy=policy, prevent_cse=self.unroll)
    new_cache = {}
    for group in config.groups:
      scanned = nn.scan(
        block,
        variable_axes={"params": 0, "lora": 0},
        split_rngs={"params": True, "lora": True},
        in_axes=(0, nn.broadcast),
        length=group.repeats,
        unroll=group.repeats if self.unroll else 1,
        metadata_params={nn.PARTITION_NAME: "blocks"},
      )
      specs = tuple(layer.attention for layer in group.layers)
      caches = cache[group.name] if cache else (None,) * len(specs)
      x_BxTxD, new_cache[group.name] = scanned(
        parts, specs, attend, name=group.name
      )(x_BxTxD, caches, tuple(angles[layer.rope] for layer in group.layers))
    if not config.tie_embeddings and self.is_initializing():
      Head(parts, name="lm_head")()
    return parts.norm("norm")(x_BxTxD), new_cache

  @nn.nowrap
  def head_kernel(self, params: Any) -> jax.Array:
    """The head [D, V] in its stored dtype; the embedding's where tied."""
    if self.config.tie_embeddings:
      return params["embed_tokens"]["embedding"].T
    return params["lm_head"]["kernel"]

  @nn.nowrap
  def unembed(self, params: Any, hidden_xD: jax.Array) -> jax.Array:
    """Logits [..., V] in float32 of hidden states [..., D]."""
    kernel_DxV = self.head_kernel(params).astype(self.dtype)
    logits = jnp.einsum(
      "...d,dv->...v",
      hidden_xD.astype(self.dtype),
      kernel_DxV,
      preferred_element_type=jnp.float32,
    )
    return soft_cap(logits, self.config.final_soft_cap)


def _check_heads(config: DecoderConfig, partition: Partition) -> None:
  """Refuses a mesh that would cut through a head."""
  for field, axis, heads in (
    ("num_attention_heads", "act_heads", config.num_heads),
    ("num_key_value_heads", "act_kv_heads", config.num_kv_heads),
  ):
    if heads % partition.ways(axis):
      raise UserError(
        f"{field}={heads} cannot be split {partition.ways(axis)} ways by mesh "
        f"axis {getattr(partition.rules, axis)!r}; choose a size that divides "
        "it."
      )
