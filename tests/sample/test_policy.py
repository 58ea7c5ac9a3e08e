"""The policy against plain numpy, and its draws against the distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tooldev_jax.sample import policy as policies
from tooldev_jax.sample.params import SamplingParams

VOCAB = 300  # more than two blocks, and no multiple of one

keep_likely = jax.jit(policies.keep_likely)
choose = jax.jit(policies.choose)


def sorted_reference(logits: np.ndarray, settings: SamplingParams):
  """The filters as one would write them with a sort, in float64."""
  scaled = logits.astype(np.float64) / (settings.temperature or 1.0)
  weights = np.exp(scaled - scaled.max())
  order = np.argsort(-weights, kind="stable")
  keep = np.ones(len(weights), bool)
  if settings.top_k:
    keep[order[settings.top_k :]] = False
  if settings.top_p < 1:
    mass = np.cumsum(np.where(keep[order], weights[order], 0))
    before = mass - weights[order]
    keep[order[before >= settings.top_p * mass[-1]]] = False
  keep &= weights >= settings.min_p
  return np.where(keep, weights, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_filters_equal_the_sorted_version_row_by_row(seed):
  rng = np.random.default_rng(seed)
  settings = [
    SamplingParams(temperature=0.7),
    SamplingParams(top_k=1),
    SamplingParams(top_k=50, temperature=0.8),
    SamplingParams(top_k=VOCAB + 5),
    SamplingParams(top_p=0.9),
    SamplingParams(top_p=1e-6),
    SamplingParams(min_p=0.1),
    SamplingParams(top_k=20, top_p=0.5, min_p=0.05, temperature=1.3),
  ]
  logits = (3 * rng.normal(size=(len(settings), VOCAB))).astype(np.float32)
  weights = keep_likely(logits, policies.Policy.of(settings))
  for row, setting in enumerate(settings):
    np.testing.assert_allclose(
      weights[row], sorted_reference(logits[row], setting), atol=1e-6
    )


def test_ties_are_kept_together():
  logits = np.zeros((2, VOCAB), np.float32)
  logits[:, :7] = 2.0
  settings = [SamplingParams(top_k=3), SamplingParams(top_p=1e-3)]
  weights = np.asarray(keep_likely(logits, policies.Policy.of(settings)))
  assert ((weights > 0).sum(axis=1) == 7).all()


def test_temperature_zero_is_greedy_and_small_temperatures_are_finite():
  logits = np.random.default_rng(0).normal(size=(3, VOCAB)).astype(np.float32)
  settings = [
    SamplingParams(temperature=0),
    SamplingParams(temperature=1e-30),
    SamplingParams(temperature=0, top_k=2, top_p=0.5),
  ]
  keys = jax.random.split(jax.random.key(1), 3)
  token, logprob = choose(logits, keys, policies.Policy.of(settings))
  np.testing.assert_array_equal(token, logits.argmax(axis=1))
  expected = logits.max(axis=1) - np.log(np.exp(logits).sum(axis=1))
  np.testing.assert_allclose(logprob, expected, atol=1e-5)


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
  """Standard deviations by which the statistic exceeds its mean."""
  expected = probabilities * counts.sum()
  big = expected >= 5
  rest = np.array([counts[~big].sum()]), np.array([expected[~big].sum()])
  observed = np.concatenate([counts[big], rest[0]])
  expected = np.concatenate([expected[big], rest[1]])
  seen = expected > 0
  statistic = ((observed - expected)[seen] ** 2 / expected[seen]).sum()
  freedom = seen.sum() - 1
  return (statistic - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize(
  "settings",
  [SamplingParams(), SamplingParams(temperature=0.8, top_k=50, top_p=0.95)],
  ids=["plain", "filtered"],
)
def test_draws_follow_the_distribution(settings):
  rows = 60_000
  logits = (2 * np.random.default_rng(2).normal(size=VOCAB)).astype(np.float32)
  policy = policies.Policy.of([settings])
  weights = np.asarray(keep_likely(logits[None], policy))[0]
  keys = jax.random.split(jax.random.key(3), rows)
  tokens = jax.jit(
    lambda keys: policies.draw(
      jnp.broadcast_to(weights, (rows, VOCAB)), policies.uniforms(keys)
    )
  )(keys)
  counts = np.bincount(np.asarray(tokens), minlength=VOCAB)
  assert counts[weights == 0].sum() == 0
  assert chi_square(counts, weights / weights.sum()) < 4


def test_the_ends_of_the_unit_interval_draw_tokens_that_have_weight():
  weights = np.zeros((4, VOCAB), np.float32)
  weights[:, 130] = 1e-20
  weights[:, 290] = 1.0
  last = 1 - 2.0**-24
  ends = np.array([[0, 0], [0, last], [last, 0], [last, last]], np.float32)
  tokens = np.asarray(jax.jit(policies.draw)(weights, ends))
  assert set(tokens) <= {130, 290}
