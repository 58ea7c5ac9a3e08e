"""The baseline: a plain lockstep loop in JAX, as one would first write it.

A batch of rows, one a sample, is prefilled and then decoded together until the
last row has ended. Each row prefills its prompt anew. It is written to be fair:
rows are sorted by prompt length and padded to the same buckets as the
sampler's, the cache is head-major, with keys transposed as the sampler's are,
and written in place at one column for all rows, the layers are unrolled over
weights and caches that are kept apart (so nothing is copied in a step), the
loop runs on the device and leaves when the whole batch has ended, and tokens
are drawn by the sampler's own policy.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.sample.cache import split, stack
from tooldev_jax.sample.policy import Policy, choose


def _prefill_attend(inside_BxP: jax.Array, room: int):
  causal = packed_attention(inside_BxP)

  def attend(q, k, v, _, spec):
    out, _ = causal(q, k, v, None, spec)
    values = jnp.pad(jnp.swapaxes(v, 1, 2), ((0, 0), (0, 0), (0, room), (0, 0)))
    keys = jnp.pad(
      jnp.transpose(k, (0, 2, 3, 1)), ((0, 0), (0, 0), (0, 0), (0, room))
    )
    return out, (keys, values)

  return attend


def _decode_attend(length_B: jax.Array, step: jax.Array, size: int):
  """Rows attend to their prompt and to the columns from `size` on."""

  def attend(q, k, v, cache, spec):
    write = functools.partial(
      jax.lax.dynamic_update_slice_in_dim, start_index=size + step
    )
    keys = write(cache[0], jnp.transpose(k, (0, 2, 3, 1)), axis=3)
    values = write(cache[1], jnp.swapaxes(v, 1, 2), axis=2)
    rows, _, heads, width = q.shape
    groups = k.shape[2]
    column = jnp.arange(values.shape[2])
    seen = (column < length_B[:, None]) | (
      (column >= size) & (column <= size + step)
    )
    x = spec.scale * jnp.einsum(
      "bgmk,bgks->bgms",
      q.reshape(rows, groups, heads // groups, width),
      keys,
      preferred_element_type=jnp.float32,
    )
    x = jax.nn.softmax(jnp.where(seen[:, None, None], x, -1e30), axis=-1)
    out = jnp.einsum("bgms,bgsk->bgmk", x.astype(values.dtype), values)
    return out.reshape(q.shape), (keys, values)

  return attend


def make_lockstep(decoder: Decoder, size: int, room: int):
  """lockstep(variables, tokens_BxP, length, ends, keys, policy) -> tokens.

  Args:
    decoder: the model.
    size: the prompt bucket.
    room: the most new tokens.

  `ends` [B] is the number of tokens after which each row ends.
  """
  unrolled = decoder.clone(unroll=True)
  groups = {group.name for group in decoder.config.groups}

  def by_layer(function, params):
    return {
      name: function(part) if name in groups else part
      for name, part in params.items()
    }

  @jax.jit
  def lockstep(variables, tokens_BxP, length_B, ends_B, key_B, policy):
    params = variables["params"]
    position = jnp.broadcast_to(jnp.arange(size), tokens_BxP.shape)
    inside = (position < length_B[:, None]).astype(jnp.int32)
    hidden, cache = decoder.apply(
      variables, tokens_BxP, position, _prefill_attend(inside, room)
    )
    last = jnp.take_along_axis(hidden, (length_B - 1)[:, None, None], 1)[:, 0]

    def pick(hidden_BxD, step):
      keys = jax.vmap(jax.random.fold_in, (0, None))(key_B, step)
      return choose(decoder.unembed(params, hidden_BxD), keys, policy)[0]

    kept_params, kept_cache = by_layer(split, params), split(cache)
    out = jnp.zeros((tokens_BxP.shape[0], room), jnp.int32)
    out = out.at[:, 0].set(pick(last, 0))

    def step(carry):
      i, out, cache = carry
      token = jax.lax.dynamic_slice_in_dim(out, i, 1, axis=1)
      hidden, cache = unrolled.apply(
        {"params": by_layer(stack, kept_params)},
        token,
        (length_B + i)[:, None],
        _decode_attend(length_B, i, size),
        stack(cache),
      )
      new = pick(hidden[:, 0], i + 1)[:, None]
      out = jax.lax.dynamic_update_slice_in_dim(out, new, i + 1, axis=1)
      return i + 1, out, split(cache)

    going = lambda carry: carry[0] + 1 < jnp.max(ends_B)
    return jax.lax.while_loop(going, step, (jnp.int32(0), out, kept_cache))[1]

  return lockstep


def run_lockstep(
  programs: dict[int, Any],
  variables: Any,
  rows: list[tuple[list[int], int]],
  batch: int,
  buckets: tuple[int, ...],
  settings: Any,
  sharding: jax.sharding.Sharding,
) -> int:
  """Runs all rows (prompt, end) in batches; returns the tokens generated.

  `sharding` is that of the rows.
  """
  rows = sorted(rows, key=lambda row: len(row[0]))
  results = []
  for start in range(0, len(rows), batch):
    part = rows[start : start + batch]
    part += [([0], 1)] * (batch - len(part))
    size = next(b for b in buckets if b >= max(len(p) for p, _ in part))
    tokens = np.zeros((batch, size), np.int32)
    for row, (prompt, _) in enumerate(part):
      tokens[row, : len(prompt)] = prompt
    inputs = (
      tokens,
      np.array([len(p) for p, _ in part], np.int32),
      np.array([end for _, end in part], np.int32),
      jax.random.split(jax.random.key(start), batch),
      Policy.of([settings] * batch),
    )
    inputs = jax.device_put(inputs, sharding)
    results.append(programs[size](variables, *inputs))
  jax.block_until_ready(results)
  return sum(end for _, end in rows)
