"""Attention over prompt and tail equals attention over the whole sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tooldev_jax.models.attention import einsum_attention, packed_attention
from tooldev_jax.models.config import AttentionSpec
from tooldev_jax.sample import cache

N, R, G, M, K, P, S = 2, 3, 2, 2, 4, 8, 6
LENGTHS = np.array([5, 8])


@pytest.mark.parametrize(
  "window, soft_cap", [(None, None), (3, None), (7, 2.0)]
)
def test_each_step_equals_attention_over_the_whole_sequence(window, soft_cap):
  spec = AttentionSpec(scale=0.7, window=window, soft_cap=soft_cap)
  rng = np.random.default_rng(0)
  draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
  prompt = [draw(N, P, heads, K) for heads in (G * M, G, G)]
  new = [draw(N, R, S, heads, K) for heads in (G * M, G, G)]

  lengths = jnp.asarray(LENGTHS)
  inside = (np.arange(P) < LENGTHS[:, None]).astype(np.int32)
  causal = packed_attention(inside, "einsum")
  _, segment = cache.prefill_attention(lengths, causal)(*prompt, None, spec)
  assert segment.value.shape[2] == min(P, window or P)
  stacked = jax.tree.map(lambda x: x[None], segment)
  tail, fresh = (cache.empty_tail(stacked, R, size) for size in (S, 1))

  @jax.jit
  def step(tail, fresh, age, q, k, v):
    ages = jnp.full(N, age)
    tail = cache.write_column(tail, fresh, jnp.maximum(ages - 1, 0))
    here = jax.tree.map(lambda x: x[0], tail)
    attend = cache.decode_attention(lengths, ages, R)
    out, fresh = attend(q, k, v, cache.Segments(segment, here), spec)
    return out, tail, jax.tree.map(lambda x: x[None], fresh)

  one_by_one = []
  for age in range(S):
    now = [x[:, :, age].reshape(N * R, 1, -1, K) for x in new]
    out, tail, fresh = step(tail, fresh, age, *now)
    one_by_one.append(np.asarray(out).reshape(N, R, G * M, K))

  for slot, length in enumerate(LENGTHS):
    for lane in range(R):
      whole = [
        np.concatenate([old[slot, :length], more[slot, lane]])[None]
        for old, more in zip(prompt, new, strict=True)
      ]
      ids = np.ones((1, length + S), np.int32)
      expected = einsum_attention(*whole, ids, spec)[0, length:]
      found = np.stack([out[slot, lane] for out in one_by_one])
      np.testing.assert_allclose(found, expected, atol=2e-6)
