"""Keys and values in two segments: the prompt's once, each sample's apart.

A slot holds one prompt and the lanes that sample from it. Its cache is

  prompt [blocks, slots, kv_heads, P, head_dim]   written by prefill
  tail   [blocks, slots, kv_heads, lanes, S, head_dim]   column i: token i

so the prompt's keys are read once a prompt and not once a sample, and the
logits of all lanes of a slot are one matrix product. While decoding the prompt
is read-only and stays out of the loop's state.

The lanes of a slot start together, so in every step they write one and the
same column of their tails: one small write a slot, for all layers at once. A
ring that all slots write at one column would save that; but then where a
sample's tokens lie, and so the order in which their values are added up, would
depend on when its prompt was seated, and the last bits with it.

A decode step reads both segments and returns only its own new keys and
values; the token attends to itself without going through the tail.

Dimensions: N slots, R lanes of a slot, G kv heads, M query heads of a kv
head, H = G x M, K head size, P prompt bucket, S tail bucket, B rows, T tokens.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

NEVER = -1e30  # a logit that no softmax notices; -inf would make NaN


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeyValue:
  """Keys and values of one segment of one layer (or of a stack of them)."""

  key: jax.Array
  value: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Segments:
  """What one layer reads in a decode step."""

  prompt: KeyValue  # [N, G, P, K]
  tail: KeyValue  # [N, G, R, S, K]


def prefill_attention(length_B: jax.Array, causal: Callable) -> Callable:
  """The `attend` that runs a batch of prompts and keeps their keys.

  Args:
    length_B: tokens of each prompt; the rest of its row is padding.
    causal: an `attend` for causal attention over the row.

  Returns:
    An `attend` whose new cache slice is a KeyValue [B, G, P, K], where P is
    the row's length or the layer's window, if that is shorter.
  """

  def attend(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, _, spec):
    out, _ = causal(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, None, spec)
    size = k_BxTxGxK.shape[1]
    kept = min(size, spec.window or size)

    def head_major(x_BxTxGxK):
      if kept < size:
        places = kept_positions(length_B, kept)[:, :, None, None]
        x_BxTxGxK = jnp.take_along_axis(x_BxTxGxK, places, axis=1)
      return jnp.swapaxes(x_BxTxGxK, 1, 2)

    return out, KeyValue(head_major(k_BxTxGxK), head_major(v_BxTxGxK))

  return attend


def kept_positions(length_N: jax.Array, kept: int) -> jax.Array:
  """Positions [N, kept] in the prompt that a segment of that size holds.

  All of them, or the last ones where a sliding window looks no further back.
  Positions from `length_N` on are padding.
  """
  first = jnp.maximum(length_N - kept, 0)
  return first[:, None] + jnp.arange(kept)[None, :]


def decode_attention(
  prompt_len_N: jax.Array, age_N: jax.Array, lanes: int
) -> Callable:
  """The `attend` of a decode step, over the cache slice `Segments`.

  Args:
    prompt_len_N: tokens of each slot's prompt.
    age_N: tokens that each slot's lanes have in their tails.
    lanes: lanes of a slot.

  Returns:
    An `attend` for B = N x R rows of one token each, whose new cache slice is
    the KeyValue [N, G, R, 1, K] to be written at column `age_N` before the
    next step.
  """
  slots = age_N.shape[0]

  def attend(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, cache: Segments, spec):
    heads, size = q_BxTxHxK.shape[2:]
    groups = k_BxTxGxK.shape[2]
    by_group = lambda x: jnp.swapaxes(
      x.reshape(slots, lanes, groups, -1, size), 1, 2
    )
    q_NxGxRxMxK, k_NxGxRx1xK, v_NxGxRx1xK = map(
      by_group, (q_BxTxHxK, k_BxTxGxK, v_BxTxGxK)
    )
    kept = cache.prompt.key.shape[2]
    see_prompt = _see_prompt(prompt_len_N, age_N, kept, spec.window)
    see_tail = _see_tail(age_N, cache.tail.key.shape[3], spec.window)

    def logits(equation, key, seen_NxP=None):
      x = spec.scale * jnp.einsum(
        equation, q_NxGxRxMxK, key, preferred_element_type=jnp.float32
      )
      if spec.soft_cap is not None:
        x = spec.soft_cap * jnp.tanh(x / spec.soft_cap)
      if seen_NxP is None:
        return x
      return jnp.where(seen_NxP[:, None, None, None, :], x, NEVER)

    # One softmax over three segments, without ever joining them.
    segments = (
      logits("ngrmk,ngpk->ngrmp", cache.prompt.key, see_prompt),
      logits("ngrmk,ngrsk->ngrms", cache.tail.key, see_tail),
      logits("ngrmk,ngrsk->ngrms", k_NxGxRx1xK),
    )
    top = segments[-1]
    for x in segments[:-1]:
      top = jnp.maximum(top, jnp.max(x, axis=-1, keepdims=True))
    weights = [jnp.exp(x - top) for x in segments]
    total = sum(jnp.sum(w, axis=-1, keepdims=True) for w in weights)

    def mix(equation, weight, value):
      share = (weight / total).astype(value.dtype)
      return jnp.einsum(
        equation, share, value, preferred_element_type=jnp.float32
      )

    mixed_NxGxRxMxK = (
      mix("ngrmp,ngpk->ngrmk", weights[0], cache.prompt.value)
      + mix("ngrms,ngrsk->ngrmk", weights[1], cache.tail.value)
      + mix("ngrms,ngrsk->ngrmk", weights[2], v_NxGxRx1xK)
    )
    out = jnp.swapaxes(mixed_NxGxRxMxK, 1, 2).astype(q_BxTxHxK.dtype)
    return (
      out.reshape(slots * lanes, 1, heads, size),
      KeyValue(k_NxGxRx1xK, v_NxGxRx1xK),
    )

  return attend


def _see_prompt(length_N, age_N, kept: int, window: int | None):
  """Which places of its prompt segment each slot's lanes may see, [N, P]."""
  position = kept_positions(length_N, kept)
  seen = position < length_N[:, None]
  if window is not None:
    seen &= (length_N + age_N)[:, None] - position < window
  return seen


def _see_tail(age_N, size: int, window: int | None):
  """Which columns of their tails each slot's lanes may see, [N, S]."""
  column = jnp.arange(size)[None, :]
  seen = column < age_N[:, None]
  if window is not None:
    seen &= age_N[:, None] - column < window
  return seen


def empty_tail(prompt: Any, lanes: int, size: int) -> Any:
  """Zeros for the tail that belongs to a stack of prompt segments."""

  def one(x_LxNxGxPxK):
    blocks, slots, groups, _, head = x_LxNxGxPxK.shape
    return jnp.zeros(
      (blocks, slots, groups, lanes, size, head), x_LxNxGxPxK.dtype
    )

  return jax.tree.map(one, prompt)


def pair(prompt: Any, tail: Any) -> Any:
  """The decoder's cache: both segments of each layer, side by side."""
  return jax.tree.map(
    Segments, prompt, tail, is_leaf=lambda x: isinstance(x, KeyValue)
  )


def write_column(tail: Any, columns: Any, age_N: jax.Array) -> Any:
  """Puts a step's new keys and values into the tails, split or stacked."""
  slot = jnp.arange(age_N.shape[0])

  def one(x, column):
    before = x.ndim - 5  # axes in front of the slots'
    whole = slice(None)
    place = (*(whole,) * before, slot, whole, whole, age_N)
    new = jnp.moveaxis(column[..., 0, :], before, 0)
    return x.at[place].set(new, unique_indices=True, mode="drop")

  return jax.tree.map(one, tail, columns)


def split(tree: Any) -> Any:
  """Arrays [blocks, ...] as lists of one array a block.

  Where the layers are unrolled, taking one layer out of a stacked array is a
  copy, and that of a whole cache a step. XLA sees through `stack`, so what is
  kept split and only stacked on its way into the decoder is never copied.
  """
  return jax.tree.map(lambda x: [x[i] for i in range(x.shape[0])], tree)


def stack(tree: Any) -> Any:
  """The inverse of `split`."""
  return jax.tree.map(jnp.stack, tree, is_leaf=lambda x: isinstance(x, list))
