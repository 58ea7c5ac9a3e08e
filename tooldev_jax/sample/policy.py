"""From logits to a token, with every setting a traced value per row.

So a change of temperature, top-k, top-p or min-p compiles nothing, and rows
with different settings share a batch. Filters apply in this order: temperature,
top-k, top-p (of what top-k leaves), min-p. Tokens that tie with the last one
kept are kept too.

Shapes: B rows, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tooldev_jax.sample.params import SamplingParams

# An array on the device, or on the host while it is filled, or only a shape
# while a program is lowered for it.
Array = Any

Measure = Callable[[jax.Array], jax.Array]  # weights [B, V] -> [B]

# Tokens are drawn in two steps, first a block of this many, then one of them.
BLOCK = 128


class Policy(NamedTuple):
  """The settings of B rows, as arrays float32[B]."""

  temperature: Array
  top_p: Array
  top_k: Array
  min_p: Array

  @classmethod
  def of(cls, sampling: Sequence[SamplingParams]) -> "Policy":
    """Stacks the settings of several prompts, as numpy arrays."""
    column = lambda name: [getattr(settings, name) for settings in sampling]
    return cls(*(np.array(column(name), np.float32) for name in cls._fields))


def choose(
  logits_BxV: jax.Array, key_B: jax.Array, policy: Policy
) -> tuple[jax.Array, jax.Array]:
  """Samples one token a row.

  Args:
    logits_BxV: the model's, float32.
    key_B: one random key a row, used for this draw alone.
    policy: the rows' settings.

  Returns:
    The tokens int32[B], and the model's own log-probability of each, before
    temperature and filters, float32[B].
  """
  filtered = keep_likely(logits_BxV, policy)
  token = jnp.where(
    policy.temperature > 0,
    draw(filtered, uniforms(key_B)),
    jnp.argmax(logits_BxV, axis=-1).astype(jnp.int32),
  )
  chosen = jnp.take_along_axis(logits_BxV, token[:, None], axis=-1)[:, 0]
  return token, chosen - jax.nn.logsumexp(logits_BxV, axis=-1)


def keep_likely(logits_BxV: jax.Array, policy: Policy) -> jax.Array:
  """Unnormalised probabilities [B, V] after temperature; 0 where filtered."""
  temperature = jnp.where(policy.temperature > 0, policy.temperature, 1.0)
  below_top = logits_BxV - jnp.max(logits_BxV, axis=-1, keepdims=True)
  weights = jnp.exp(below_top / temperature[:, None])

  weights = _keep_largest(
    weights,
    policy.top_k > 0,
    lambda w: jnp.sum(w > 0, axis=-1).astype(jnp.float32),
    lambda _: policy.top_k,
  )
  mass = lambda w: jnp.sum(w, axis=-1)
  weights = _keep_largest(
    weights, policy.top_p < 1, mass, lambda w: policy.top_p * mass(w)
  )
  # The likeliest token has weight 1, so min-p is a plain threshold.
  return jnp.where(weights >= policy.min_p[:, None], weights, 0.0)


def _keep_largest(
  weights_BxV: jax.Array, wanted_B: jax.Array, measure: Measure, goal: Measure
) -> jax.Array:
  """In wanted rows, zeroes all but the fewest largest weights that suffice.

  They suffice if their `measure` [B] reaches the `goal` [B] of all weights; if
  no selection does, all are kept. The threshold is found by binary search over
  the bits of the weights, which order like integers since no weight is
  negative. That is exact and needs no sort. The search ends early in rows that
  meet their goal, and is skipped if no row is wanted.
  """
  bits = jax.lax.bitcast_convert_type(weights_BxV, jnp.int32)

  def search(_):
    goal_B = jnp.where(wanted_B, goal(weights_BxV), jnp.inf)

    def narrow(bounds):
      low, high = bounds  # `low` suffices, `high` does not
      middle = low + (high - low) // 2
      size = measure(jnp.where(bits >= middle[:, None], weights_BxV, 0.0))
      low = jnp.where(size >= goal_B, middle, low)
      high = jnp.where(size >= goal_B, high, middle)
      return low, jnp.where(size == goal_B, middle + 1, high)

    top = jnp.max(bits, axis=-1)
    bounds = jnp.zeros_like(top), jnp.where(wanted_B, top + 1, 1)
    unsettled = lambda bounds: jnp.any(bounds[1] - bounds[0] > 1)
    return jax.lax.while_loop(unsettled, narrow, bounds)[0]

  nothing = lambda _: jnp.zeros(weights_BxV.shape[:1], jnp.int32)
  low = jax.lax.cond(jnp.any(wanted_B), search, nothing, None)
  return jnp.where(bits >= low[:, None], weights_BxV, 0.0)


def uniforms(key_B: jax.Array) -> jax.Array:
  """The two draws [B, 2] in [0, 1) that decide a token.

  A key is two random words already, and this key is used for nothing else.
  """
  words = jax.random.key_data(key_B) >> 8
  return words.astype(jnp.float32) * 2.0**-24


def draw(weights_BxV: jax.Array, uniform_Bx2: jax.Array) -> jax.Array:
  """Inverts the cumulative distribution in two steps: block, then token.

  One pass over the vocabulary and two random numbers a row; the Gumbel trick
  needs V of them and is 15 times slower on a CPU. A token with weight 0 is
  never drawn.
  """
  rows, vocab = weights_BxV.shape
  padded = jnp.pad(weights_BxV, ((0, 0), (0, -vocab % BLOCK)))
  blocks = padded.reshape(rows, -1, BLOCK)
  block = _invert(jnp.sum(blocks, axis=-1), uniform_Bx2[:, 0])
  within = jnp.take_along_axis(blocks, block[:, None, None], axis=1)[:, 0]
  token = _invert(within, uniform_Bx2[:, 1])
  return (block * BLOCK + token).astype(jnp.int32)


def _invert(weights_BxN: jax.Array, uniform_B: jax.Array) -> jax.Array:
  """The first index whose cumulative weight exceeds uniform x total.

  The product rounds to less than the total since `uniform` is at most
  1 - 2**-24, so there is one, and its own weight is not 0.
  """
  cumulative = jnp.cumsum(weights_BxN, axis=-1)
  target = uniform_B[:, None] * cumulative[:, -1:]
  return jnp.sum(cumulative <= target, axis=-1)
