"""Attention over packed rows a block at a time, in plain JAX.

Flash attention (arXiv 2205.14135, 2307.08691) as loops: each block of queries
walks over the blocks of keys from the first that one of its tokens sees to its
own, so that what causality, the window and the borders of segments rule out is
not computed; the softmax is put together as it goes, and the backward pass
makes the weights again instead of keeping them. A CPU takes rows one by one,
since each has its borders elsewhere; elsewhere small steps cost more than what
they save, and all rows go together, as far as the one with the longest walk.

On two CPU cores a LoRA step on ten rows of 2,048 tokens, two segments each, is
1.3 times as fast as one that looks at all keys up to a query's block at once,
in 4.5 instead of 10.7 GiB (6 layers of width 256).

Dim letters as in attention.py, and R query heads of each of G key heads, b
tokens of a block, N blocks of a row.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from tooldev_jax.models.attention_math import (
  MASKED,
  fill_up,
  soft_cap_and_slope,
  visible_TxS,
)
from tooldev_jax.models.config import AttentionSpec

# The longest block. On a CPU, blocks of 128 compute a fifth less and keep two
# cores less busy.
_BLOCK = 256


def blocked_attention(
  q_BxTxHxK: jax.Array,
  k_BxTxGxK: jax.Array,
  v_BxTxGxK: jax.Array,
  segment_ids_BxT: jax.Array,
  spec: AttentionSpec,
) -> jax.Array:
  """softmax(q k) v, [B, T, H, K]; logits and sums in float32."""
  tokens, heads, size = q_BxTxHxK.shape[1:]
  groups = k_BxTxGxK.shape[2]
  # Equal blocks, of a whole number of vectors.
  block = -(-tokens // -(-tokens // _BLOCK))
  block = -(-block // 16) * 16
  q, k, v = (
    fill_up(x, block).transpose(0, 2, 1, 3)
    for x in (q_BxTxHxK * spec.scale, k_BxTxGxK, v_BxTxGxK)
  )
  q = q.reshape(len(q), groups, heads // groups, -1, size)
  rows = (q, k, v, fill_up(segment_ids_BxT, block))
  one_row = lambda row: _one_row(*row, spec, block)
  by_one = jax.default_backend() == "cpu"
  out = jax.lax.map(one_row, rows) if by_one else jax.vmap(one_row)(rows)
  out = out.reshape(len(q), heads, -1, size).transpose(0, 2, 1, 3)
  return out[:, :tokens]


class _Row(NamedTuple):
  """A row and how to cut it."""

  q_GxRxTxK: jax.Array
  k_GxTxK: jax.Array
  v_GxTxK: jax.Array
  ids_T: jax.Array
  spec: AttentionSpec
  block: int

  @property
  def blocks(self) -> int:
    """Blocks of the row."""
    return len(self.ids_T) // self.block

  def cut(self, x: jax.Array, i: jax.Array, axis: int) -> jax.Array:
    """Block i of an array with T at an axis."""
    return jax.lax.dynamic_slice_in_dim(x, i * self.block, self.block, axis)

  def first_seen(self) -> jax.Array:
    """The first block of keys that each block of queries sees, [N]."""
    index_T = jnp.arange(len(self.ids_T))
    begins_T = jnp.diff(self.ids_T, prepend=-1) != 0
    seen_T = jax.lax.cummax(jnp.where(begins_T, index_T, 0))
    if self.spec.window is not None:
      seen_T = jnp.maximum(seen_T, index_T - self.spec.window + 1)
    # Later queries of a block see nothing before what its first one sees.
    return seen_T[:: self.block] // self.block

  def logits(
    self, q_GxRxbxK: jax.Array, i: jax.Array, j: jax.Array
  ) -> tuple[jax.Array, jax.Array | None]:
    """Logits [G, R, b, b] and, where they are capped, the cap's slope."""
    x = jnp.einsum(
      "grtk,gsk->grts",
      q_GxRxbxK,
      self.cut(self.k_GxTxK, j, 1),
      preferred_element_type=jnp.float32,
    )
    x, slope = soft_cap_and_slope(x, self.spec.soft_cap)
    within = jnp.arange(self.block)
    seen = visible_TxS(
      i * self.block + within,
      j * self.block + within,
      self.cut(self.ids_T, i, 0),
      self.cut(self.ids_T, j, 0),
      self.spec.window,
    )
    return jnp.where(seen, x, MASKED), slope


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _one_row(q_GxRxTxK, k_GxTxK, v_GxTxK, ids_T, spec, block):
  return _one_row_forward(q_GxRxTxK, k_GxTxK, v_GxTxK, ids_T, spec, block)[0]


def _forward(row: _Row) -> tuple[jax.Array, jax.Array]:
  """Output [G, R, T, K], and the logarithm of each query's sum [G, R, T]."""
  groups, ratio, tokens, size = row.q_GxRxTxK.shape
  first_N = row.first_seen()

  def queries(i):
    q_GxRxbxK = row.cut(row.q_GxRxTxK, i, 2)

    def keys(j, carry):
      top, total, mixed = carry
      logits, _ = row.logits(q_GxRxbxK, i, j)
      new_top = jnp.maximum(top, logits.max(axis=-1))
      weights = jnp.exp(logits - new_top[..., None])
      shrink = jnp.exp(top - new_top)
      mixed_here = jnp.einsum(
        "grts,gsk->grtk",
        weights.astype(row.v_GxTxK.dtype),
        row.cut(row.v_GxTxK, j, 1),
        preferred_element_type=jnp.float32,
      )
      return (
        new_top,
        total * shrink + weights.sum(axis=-1),
        mixed * shrink[..., None] + mixed_here,
      )

    shape = (groups, ratio, row.block)
    nothing = (
      jnp.full(shape, MASKED, jnp.float32),
      jnp.zeros(shape, jnp.float32),
      jnp.zeros((*shape, size), jnp.float32),
    )
    top, total, mixed = jax.lax.fori_loop(first_N[i], i + 1, keys, nothing)
    out = (mixed / total[..., None]).astype(row.q_GxRxTxK.dtype)
    return out, top + jnp.log(total)

  out, log_sum = jax.lax.map(queries, jnp.arange(row.blocks))
  out = jnp.moveaxis(out, 0, 2).reshape(groups, ratio, tokens, size)
  return out, jnp.moveaxis(log_sum, 0, 2).reshape(groups, ratio, tokens)


def _one_row_forward(q_GxRxTxK, k_GxTxK, v_GxTxK, ids_T, spec, block):
  row = _Row(q_GxRxTxK, k_GxTxK, v_GxTxK, ids_T, spec, block)
  # What a remat policy keeps of it: the output, and the sums beside it.
  out, log_sum = (checkpoint_name(x, "attention") for x in _forward(row))
  return out, (q_GxRxTxK, k_GxTxK, v_GxTxK, ids_T, out, log_sum)


def _one_row_backward(spec, block, kept, d_out_GxRxTxK):
  q_GxRxTxK, k_GxTxK, v_GxTxK, ids_T, out, log_sum_GxRxT = kept
  row = _Row(q_GxRxTxK, k_GxTxK, v_GxTxK, ids_T, spec, block)
  first_N = row.first_seen()
  dtype = q_GxRxTxK.dtype
  pull_GxRxT = jnp.sum(
    out.astype(jnp.float32) * d_out_GxRxTxK.astype(jnp.float32), axis=-1
  )
  product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)

  def queries(d_keys_values, i):
    q, d_out = row.cut(q_GxRxTxK, i, 2), row.cut(d_out_GxRxTxK, i, 2)
    log_sum, pull = (row.cut(x, i, 2) for x in (log_sum_GxRxT, pull_GxRxT))

    def keys(j, carry):
      d_q, d_k_GxTxK, d_v_GxTxK = carry
      logits, slope = row.logits(q, i, j)
      weights = jnp.exp(logits - log_sum[..., None])
      d_weights = product("grtk,gsk->grts", d_out, row.cut(v_GxTxK, j, 1))
      d_logits = weights * (d_weights - pull[..., None])
      if slope is not None:
        d_logits *= slope
      d_logits, weights = d_logits.astype(dtype), weights.astype(dtype)

      def add(total_GxTxK, here_GxbxK):
        here_GxbxK += row.cut(total_GxTxK, j, 1)
        return jax.lax.dynamic_update_slice_in_dim(
          total_GxTxK, here_GxbxK, j * block, axis=1
        )

      return (
        d_q + product("grts,gsk->grtk", d_logits, row.cut(k_GxTxK, j, 1)),
        add(d_k_GxTxK, product("grts,grtk->gsk", d_logits, q)),
        add(d_v_GxTxK, product("grts,grtk->gsk", weights, d_out)),
      )

    start = (jnp.zeros(q.shape, jnp.float32), *d_keys_values)
    d_q, *d_keys_values = jax.lax.fori_loop(first_N[i], i + 1, keys, start)
    return tuple(d_keys_values), d_q.astype(dtype)

  zeros = jnp.zeros(k_GxTxK.shape, jnp.float32)
  (d_k, d_v), d_q = jax.lax.scan(
    queries, (zeros, zeros), jnp.arange(row.blocks)
  )
  d_q = jnp.moveaxis(d_q, 0, 2).reshape(q_GxRxTxK.shape)
  return d_q, d_k.astype(dtype), d_v.astype(dtype), None


_one_row.defvjp(_one_row_forward, _one_row_backward)
