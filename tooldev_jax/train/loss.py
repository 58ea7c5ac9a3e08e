"""Cross-entropy at the trained positions alone, a slice of them at a time.

Tool data trains between 5 % (invocation) and 90 % (adaption) of its tokens,
and a `[batch, time, vocabulary]` array of logits is the largest thing a step
could build. So the hidden states that predict a trained token are gathered
first, and their product with the head is made in chunks.

The loss is a sum of weighted terms, which makes the gradient with respect to
the hidden states known as soon as a chunk's logits are. It is taken there and
then, and the logits are dropped: nothing of size V is kept for the backward
pass and nothing is computed twice. A frozen head thus costs exactly the two
products of the ideal (one forward, one back), a trained head three, where
rematerialising the chunks would cost one more of each.

Dim letters: B rows, T time, C trained positions a row, D width, V vocabulary.
"""

import functools

import jax
import jax.numpy as jnp


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
) -> tuple[jax.Array, jax.Array]:
  """Weighted sum of `-log p(id)` and the sum of the weights, float32 scalars.

  Args:
    hidden_BxTxD: final hidden states, in the compute type.
    head_DxV: the unembedding, in the compute type.
    positions_BxC: for each trained token, the position that predicts it. The
      gather stays inside a row, so it moves nothing between batch shards.
    ids_BxC: the trained tokens.
    weights_BxC: their weights; 0 marks an unused place.
    chunk: trained positions of a row whose logits exist at once; rounded so
      that chunks are equal.
    train_head: whether the head gets a gradient. If not, its product is left
      out of the backward pass.
    soft_cap: `cap * tanh(logits / cap)`, as Gemma 2 has it.
  """
  with jax.named_scope("loss"):
    hidden_BxCxD = jnp.take_along_axis(
      hidden_BxTxD, positions_BxC[..., None], axis=1, mode="clip"
    )
    total = _loss_sum(
      hidden_BxCxD,
      head_DxV,
      ids_BxC,
      weights_BxC.astype(jnp.float32),
      chunk,
      train_head,
      soft_cap,
    )
    return total, weights_BxC.astype(jnp.float32).sum()


def plain_loss(
  hidden_BxTxD: jax.Array,
  head_DxV: jax.Array,
  positions_BxC: jax.Array,
  ids_BxC: jax.Array,
  weights_BxC: jax.Array,
  soft_cap: float | None = None,
) -> tuple[jax.Array, jax.Array]:
  """The same by the book, `[B, T, V]` and all: what tests compare with."""
  logits = jnp.einsum(
    "btd,dv->btv", hidden_BxTxD, head_DxV, preferred_element_type=jnp.float32
  )
  if soft_cap:
    logits = soft_cap * jnp.tanh(logits / soft_cap)
  log_p = jax.nn.log_softmax(logits)
  picked_BxCxV = jnp.take_along_axis(log_p, positions_BxC[..., None], axis=1)
  picked_BxC = jnp.take_along_axis(picked_BxCxV, ids_BxC[..., None], axis=2)
  return -(picked_BxC[..., 0] * weights_BxC).sum(), weights_BxC.sum()


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _loss_sum(hidden, head, ids, weights, chunk, train_head, soft_cap):
  """Sum over chunks, without any gradient (evaluation)."""
  del train_head

  def body(total, piece):
    hidden_BxcxD, ids_Bxc, weights_Bxc = piece
    losses, _ = _chunk_terms(hidden_BxcxD, head, ids_Bxc, soft_cap)
    return total + (losses * weights_Bxc).sum(), None

  pieces = _split(hidden, ids, weights, chunk)
  return jax.lax.scan(body, jnp.zeros((), jnp.float32), pieces)[0]


def _loss_sum_forward(hidden, head, ids, weights, chunk, train_head, soft_cap):
  def body(carry, piece):
    total, d_head = carry
    hidden_BxcxD, ids_Bxc, weights_Bxc = piece
    losses, d_logits = _chunk_terms(hidden_BxcxD, head, ids_Bxc, soft_cap)
    d_logits = (d_logits * weights_Bxc[..., None]).astype(hidden.dtype)
    d_hidden = jnp.einsum("bcv,dv->bcd", d_logits, head)
    if train_head:
      d_head += jnp.einsum(
        "bcd,bcv->dv",
        hidden_BxcxD,
        d_logits,
        preferred_element_type=jnp.float32,
      )
    return (total + (losses * weights_Bxc).sum(), d_head), d_hidden

  pieces = _split(hidden, ids, weights, chunk)
  d_head = jnp.zeros(head.shape, jnp.float32) if train_head else None
  start = (jnp.zeros((), jnp.float32), d_head)
  (total, d_head), d_hidden_NxBxcxD = jax.lax.scan(body, start, pieces)
  B, C, D = hidden.shape
  d_hidden = d_hidden_NxBxcxD.swapaxes(0, 1).reshape(B, -1, D)[:, :C]
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


def _chunk_terms(hidden_BxcxD, head_DxV, ids_Bxc, soft_cap):
  """Unweighted losses `[B, c]` and their gradient by the uncapped logits."""
  logits = jnp.einsum(
    "bcd,dv->bcv", hidden_BxcxD, head_DxV, preferred_element_type=jnp.float32
  )
  slope = None
  if soft_cap:
    tanh = jnp.tanh(logits / soft_cap)
    logits, slope = soft_cap * tanh, 1 - tanh**2
  # A comparison rather than a gather: it fuses, and it needs no exchange
  # between devices when the vocabulary is sharded.
  vocabulary = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 2)
  hit = vocabulary == ids_Bxc[..., None]
  top = logits.max(-1, keepdims=True)
  unnormalised = jnp.exp(logits - top)
  sums = unnormalised.sum(-1, keepdims=True)
  losses = (jnp.log(sums) + top)[..., 0] - jnp.where(hit, logits, 0).sum(-1)
  d_logits = unnormalised / sums - hit
  if slope is not None:
    d_logits = d_logits * slope
  return losses, d_logits


def _split(hidden_BxCxD, ids_BxC, weights_BxC, chunk):
  """The same with leading axis N: equal chunks of C, padded with weight 0."""
  C = ids_BxC.shape[1]
  pieces = -(-C // chunk)
  width = -(-C // pieces)

  def split(x):
    x = jnp.pad(x, [(0, 0), (0, pieces * width - C)] + [(0, 0)] * (x.ndim - 2))
    x = x.reshape(x.shape[0], pieces, width, *x.shape[2:])
    return jnp.moveaxis(x, 1, 0)

  return split(hidden_BxCxD), split(ids_BxC), split(weights_BxC)
