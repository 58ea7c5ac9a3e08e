"""Cross-entropy at the trained positions alone, a slice of them at a time.

Tool data trains between 5 % (invocation) and 90 % (adaption) of its tokens,
and a `[batch, time, vocabulary]` array of logits is the largest thing a step
could build. So the hidden states that predict a trained token are gathered
first, and their product with the head is made in chunks.

The loss is a sum of weighted terms, so the gradient with respect to the hidden
states is known as soon as a chunk's logits are. It is computed in the forward
pass and the logits are dropped: nothing of size V is kept for the backward
pass, and nothing is computed twice. A frozen head costs exactly the two
products of the ideal (one forward, one back) and a trained head three.
Rematerialising the chunks would cost one more of each.

A row has room for as many trained tokens (target slots) as the densest row
needs; its other slots are padding with weight 0. So the used slots of a shard's
rows are moved to the front, and a chunk without any is skipped: the time
follows the number of trained tokens, not of slots.

Dimensions: B rows, T time, C target slots of a row, D width, V vocabulary,
S batch shards, M slots of a shard (B / S * C), N chunks, c slots of a chunk.
"""

import functools

import jax
import jax.numpy as jnp

from tooldev_jax.models.attention_math import soft_cap_and_slope


def selected_token_loss(
  hidden_BxTxD: jax.Array,
  head_DxV: jax.Array,
  positions_BxC: jax.Array,
  ids_BxC: jax.Array,
  weights_BxC: jax.Array,
  *,
  chunk: int,
  train_head: bool,
  soft_cap: float | None = None,
  shards: int = 1,
) -> tuple[jax.Array, jax.Array]:
  """Weighted sum of `-log p(id)` and the sum of the weights, float32 scalars.

  Args:
    hidden_BxTxD: final hidden states, in the compute type.
    head_DxV: the unembedding, in the compute type.
    positions_BxC: for each trained token, the position that predicts it.
    ids_BxC: the trained tokens.
    weights_BxC: their weights; 0 marks a padding slot.
    chunk: slots of one shard whose logits exist at once; rounded so that
      chunks are equal.
    train_head: whether the head gets a gradient. If not, its product is left
      out of the backward pass.
    soft_cap: `cap * tanh(logits / cap)`, as Gemma 2 has it.
    shards: equal parts of the rows that are on different devices. Hidden
      states are gathered within a part, so nothing moves between devices.
  """
  B, T, D = hidden_BxTxD.shape
  with jax.named_scope("loss"):
    rows_SxM, columns_SxM, ids_SxM, weights_SxM = _used_first(
      positions_BxC, ids_BxC, weights_BxC.astype(jnp.float32), shards
    )
    flat_SxM = rows_SxM * T + columns_SxM
    hidden_SxMxD = jnp.take_along_axis(
      hidden_BxTxD.reshape(shards, B // shards * T, D),
      flat_SxM[..., None],
      axis=1,
      mode="clip",
    )
    total = _loss_sum(
      hidden_SxMxD, head_DxV, ids_SxM, weights_SxM, chunk, train_head, soft_cap
    )
    return total, weights_SxM.sum()


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _loss_sum(hidden, head, ids, weights, chunk, train_head, soft_cap):
  """Sum over chunks, without any gradient (evaluation)."""
  del train_head

  def body(total, piece):
    hidden_SxcxD, ids_Sxc, weights_Sxc = piece

    def add():
      losses, _ = _chunk_terms(hidden_SxcxD, head, ids_Sxc, soft_cap)
      return total + (losses * weights_Sxc).sum()

    return jax.lax.cond((weights_Sxc != 0).any(), add, lambda: total), None

  pieces = _split(hidden, ids, weights, chunk)
  return jax.lax.scan(body, jnp.zeros((), jnp.float32), pieces)[0]


def _loss_sum_forward(hidden, head, ids, weights, chunk, train_head, soft_cap):
  def body(carry, piece):
    hidden_SxcxD, ids_Sxc, weights_Sxc = piece

    def add():
      total, d_head = carry
      losses, d_logits = _chunk_terms(hidden_SxcxD, head, ids_Sxc, soft_cap)
      d_logits = (d_logits * weights_Sxc[..., None]).astype(hidden.dtype)
      d_hidden = jnp.einsum("scv,dv->scd", d_logits, head)
      if train_head:
        d_head += jnp.einsum(
          "scd,scv->dv",
          hidden_SxcxD,
          d_logits,
          preferred_element_type=jnp.float32,
        )
      return (total + (losses * weights_Sxc).sum(), d_head), d_hidden

    def skip():
      return carry, jnp.zeros_like(hidden_SxcxD)

    return jax.lax.cond((weights_Sxc != 0).any(), add, skip)

  pieces = _split(hidden, ids, weights, chunk)
  d_head = jnp.zeros(head.shape, jnp.float32) if train_head else None
  start = (jnp.zeros((), jnp.float32), d_head)
  (total, d_head), d_hidden_NxSxcxD = jax.lax.scan(body, start, pieces)
  S, M, D = hidden.shape
  d_hidden = d_hidden_NxSxcxD.swapaxes(0, 1).reshape(S, -1, D)[:, :M]
  kept_head = d_head if train_head else None
  return total, (d_hidden, kept_head, jnp.zeros((0,), head.dtype))


def _loss_sum_backward(chunk, train_head, soft_cap, kept, d_total):
  del chunk, soft_cap
  d_hidden, d_head, like_head = kept
  d_hidden = (d_hidden * d_total).astype(d_hidden.dtype)
  if train_head:
    d_head = (d_head * d_total).astype(like_head.dtype)
  return d_hidden, d_head, None, None


_loss_sum.defvjp(_loss_sum_forward, _loss_sum_backward)


def _chunk_terms(hidden_SxcxD, head_DxV, ids_Sxc, soft_cap):
  """Unweighted losses `[S, c]` and their gradient by the uncapped logits."""
  logits = jnp.einsum(
    "scd,dv->scv", hidden_SxcxD, head_DxV, preferred_element_type=jnp.float32
  )
  logits, slope = soft_cap_and_slope(logits, soft_cap)
  # A comparison rather than a gather: it fuses, and it needs no exchange
  # between devices when the vocabulary is sharded.
  vocabulary = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 2)
  hit = vocabulary == ids_Sxc[..., None]
  top = logits.max(-1, keepdims=True)
  unnormalised = jnp.exp(logits - top)
  sums = unnormalised.sum(-1, keepdims=True)
  losses = (jnp.log(sums) + top)[..., 0] - jnp.where(hit, logits, 0).sum(-1)
  d_logits = unnormalised / sums - hit
  if slope is not None:
    d_logits = d_logits * slope
  return losses, d_logits


def _used_first(positions_BxC, ids_BxC, weights_BxC, shards):
  """Row within its shard, position, id and weight, `[S, M]`, padding last.

  The order of the used slots stays, so sums are added up the same each time.
  """
  B, C = ids_BxC.shape
  rows_BxC = jnp.broadcast_to(jnp.arange(B)[:, None] % (B // shards), (B, C))
  order = jnp.argsort(weights_BxC.reshape(shards, -1) == 0, stable=True)

  def arrange(x_BxC):
    return jnp.take_along_axis(x_BxC.reshape(shards, -1), order, axis=1)

  return tuple(map(arrange, (rows_BxC, positions_BxC, ids_BxC, weights_BxC)))


def _split(hidden_SxMxD, ids_SxM, weights_SxM, chunk):
  """The same with leading axis N: equal chunks of M, padded with weight 0."""
  M = ids_SxM.shape[1]
  pieces = -(-M // chunk)
  width = -(-M // pieces)

  def split(x):
    x = jnp.pad(x, [(0, 0), (0, pieces * width - M)] + [(0, 0)] * (x.ndim - 2))
    x = x.reshape(x.shape[0], pieces, width, *x.shape[2:])
    return jnp.moveaxis(x, 1, 0)

  return split(hidden_SxMxD), split(ids_SxM), split(weights_SxM)
