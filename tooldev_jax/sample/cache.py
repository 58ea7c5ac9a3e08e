"""Keys and values in two segments: one for the prompt, one for each sample.

A slot holds one prompt and the lanes that sample from it. Its cache is

  prompt [blocks, slots, kv_heads, P, K]          written by prefill
  tail   [blocks, slots, kv_heads, lanes, S, K]   column i: token i

so the prompt's keys are read once a prompt and not once a sample, and the
logits of all lanes of a slot are one matrix product. While decoding, the prompt
segment is read-only and stays out of the loop's state. This is the layout of
values. Keys are transposed, K before P or S, which halves the time of that
product on a CPU.

The lanes of a slot start together, so each step writes the same column of
their tails. (A ring buffer with one column for all slots would be a single
write. But then the order in which a sample's values are added up would depend
on when its prompt got its slot, and so would the last bits of the result.)

A decode step reads both segments and returns only its own new keys and
values. The new token attends to itself without going through the tail.

Dimensions: N slots, R lanes of a slot, G kv heads, M query heads of a kv
head, H = G x M, K head size, P prompt bucket, S tail bucket, B rows, T tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tooldev_jax.models.attention_math import MASKED, soft_cap


class KeyValue(NamedTuple):
  """Keys [..., K, S] and values [..., S, K] of one segment of one layer."""

  key: jax.Array
  value: jax.Array


class Segments(NamedTuple):
  """What one layer reads in a decode step."""

  prompt: KeyValue  # of N, G
  tail: KeyValue  # of N, G, R


def prefill_attention(length_B: jax.Array, causal: Callable) -> Callable:
  """The `attend` of a prefill: runs prompts, returns their keys and values.

  Args:
    length_B: tokens of each prompt; the rest of its row is padding.
    causal: an `attend` for causal attention over the row.

  Returns:
    An `attend` whose new cache slice is a prompt segment as in `Segments`,
    where P is the row's length or the layer's window, if that is shorter.
  """

  def attend(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, _, spec):
    out, _ = causal(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, None, spec)
    size = k_BxTxGxK.shape[1]
    kept = min(size, spec.window or size)
    if kept < size:
      kept_at = kept_positions(length_B, kept)[:, :, None, None]
      k_BxTxGxK, v_BxTxGxK = (
        jnp.take_along_axis(x, kept_at, axis=1) for x in (k_BxTxGxK, v_BxTxGxK)
      )
    return out, KeyValue(
      k_BxTxGxK.transpose(0, 2, 3, 1), v_BxTxGxK.transpose(0, 2, 1, 3)
    )

  return attend


def kept_positions(length_N: jax.Array, kept: int) -> jax.Array:
  """Positions [N, kept] of the prompt that a segment of that size holds.

  All of them, or the last ones if a sliding window reaches no further back.
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
    the KeyValue of N, G, R with one column, to be written at `age_N` before
    the next step.
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
    k_NxGxRxKx1 = jnp.swapaxes(k_NxGxRx1xK, 3, 4)
    kept = cache.prompt.value.shape[2]
    see_prompt = _visible(
      kept_positions(prompt_len_N, kept),
      prompt_len_N,
      prompt_len_N + age_N,
      spec.window,
    )
    column = jnp.arange(cache.tail.value.shape[3])[None, :]
    see_tail = _visible(column, age_N, age_N, spec.window)

    def logits(equation, key, seen_NxP=None):
      x = jnp.einsum(
        equation, q_NxGxRxMxK, key, preferred_element_type=jnp.float32
      )
      x = soft_cap(spec.scale * x, spec.soft_cap)
      if seen_NxP is None:
        return x
      return jnp.where(seen_NxP[:, None, None, None, :], x, MASKED)

    # One softmax over three segments, without concatenating them.
    segments = (
      logits("ngrmk,ngkp->ngrmp", cache.prompt.key, see_prompt),
      logits("ngrmk,ngrks->ngrms", cache.tail.key, see_tail),
      logits("ngrmk,ngrks->ngrms", k_NxGxRxKx1),
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
      KeyValue(k_NxGxRxKx1, v_NxGxRx1xK),
    )

  return attend


def _visible(position_NxP, end_N, now_N, window: int | None):
  """Which positions a token at `now` sees: before `end`, in the window."""
  seen = position_NxP < end_N[:, None]
  if window is not None:
    seen &= now_N[:, None] - position_NxP < window
  return seen


def _is_segment(x: Any) -> bool:
  return isinstance(x, KeyValue)


def empty_tail(prompt: Any, lanes: int, size: int) -> Any:
  """Zeros for the tail that belongs to a stack of prompt segments."""

  def one(segment: KeyValue) -> KeyValue:
    *lead, _, head = segment.value.shape
    zeros = lambda *shape: jnp.zeros((*lead, lanes, *shape), segment.key.dtype)
    return KeyValue(zeros(head, size), zeros(size, head))

  return jax.tree.map(one, prompt, is_leaf=_is_segment)


def pair(prompt: Any, tail: Any) -> Any:
  """The decoder's cache: both segments of each layer, side by side."""
  return jax.tree.map(Segments, prompt, tail, is_leaf=_is_segment)


def write_column(tail: Any, fresh: Any, age_N: jax.Array) -> Any:
  """Puts a step's new keys and values into the tails, split or stacked."""

  def put(x, new, *after):
    """`after` are the axes behind that of the columns."""
    slots = x.ndim - 5  # behind the layers', where they are stacked

    def write(x, new, age):
      column = (..., age, *after)
      return x.at[column].set(new, unique_indices=True, mode="drop")

    # As a map over slots, so that each device writes into its own.
    return jax.vmap(write, (slots, slots, 0), slots)(x, new, age_N)

  def one(old: KeyValue, new: KeyValue) -> KeyValue:
    put_key = lambda x, new: put(x, new[..., 0])
    put_value = lambda x, new: put(x, new[..., 0, :], slice(None))
    return KeyValue(
      jax.tree.map(put_key, old.key, new.key),
      jax.tree.map(put_value, old.value, new.value),
    )

  return jax.tree.map(one, tail, fresh, is_leaf=_is_segment)


def split(tree: Any) -> Any:
  """Arrays [blocks, ...] as lists of one array a block.

  Where layers are unrolled, taking one layer out of a stacked array is a copy:
  of the whole cache in every step. XLA sees through `stack`, so arrays that are
  kept split and stacked only for the decoder are never copied.
  """
  return jax.tree.map(lambda x: [x[i] for i in range(x.shape[0])], tree)


def stack(tree: Any) -> Any:
  """The inverse of `split`."""
  return jax.tree.map(jnp.stack, tree, is_leaf=lambda x: isinstance(x, list))
