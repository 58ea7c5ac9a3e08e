"""Causal attention over packed rows, one signature for every backend.

A row holds several sequences ("segments") one after the other. A token sees
the tokens of its own segment up to itself, and within the layer's window if
there is one. Segment 0 is padding: it sees only padding, and nothing reads it.

Dim letters: B rows, T query tokens, S key tokens, G key/value heads, R query
heads a key/value head, H = G * R, K head size.
"""

from typing import Any

import jax
import jax.numpy as jnp

from tooldev_jax.models.config import AttentionSpec
from tooldev_jax.models.transformer import Attend, soft_cap

# Finite, so that a row without any visible key would still be a number.
_MASKED = -1e30


def visible_BxTxS(segment_ids_BxT: jax.Array, window: int | None) -> jax.Array:
  """Which keys each query may see."""
  index = jnp.arange(segment_ids_BxT.shape[1])
  distance_TxS = index[:, None] - index[None, :]
  seen_TxS = distance_TxS >= 0
  if window is not None:
    seen_TxS &= distance_TxS < window
  same_BxTxS = segment_ids_BxT[:, :, None] == segment_ids_BxT[:, None, :]
  return same_BxTxS & seen_TxS


def einsum_attention(
  q_BxTxHxK: jax.Array,
  k_BxSxGxK: jax.Array,
  v_BxSxGxK: jax.Array,
  visible_BxTxS: jax.Array,
  spec: AttentionSpec,
) -> jax.Array:
  """Attention as two products and a float32 softmax: the reference."""
  rows, tokens, heads, size = q_BxTxHxK.shape
  groups = k_BxSxGxK.shape[2]
  q = (q_BxTxHxK * spec.scale).reshape(
    rows, tokens, groups, heads // groups, size
  )
  logits = jnp.einsum(
    "btgrk,bsgk->bgrts",
    q,
    k_BxSxGxK,
    preferred_element_type=jnp.float32,
  )
  logits = soft_cap(logits, spec.soft_cap)
  logits = jnp.where(visible_BxTxS[:, None, None], logits, _MASKED)
  weights = jax.nn.softmax(logits, axis=-1).astype(v_BxSxGxK.dtype)
  out = jnp.einsum("bgrts,bsgk->btgrk", weights, v_BxSxGxK)
  return out.reshape(rows, tokens, heads, size)


def packed_attention(
  segment_ids_BxT: jax.Array, backend: str = "auto"
) -> Attend:
  """The `attend` of training: packed rows, no cache.

  Args:
    segment_ids_BxT: int32; 0 is padding.
    backend: "einsum" or "auto".
  """
  del backend

  def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, cache: Any, spec: AttentionSpec
  ) -> tuple[jax.Array, Any]:
    mask = visible_BxTxS(segment_ids_BxT, spec.window)
    return einsum_attention(q, k, v, mask, spec), cache

  return attend
