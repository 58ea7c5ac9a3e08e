"""The chunked loss against the loss by the book."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.plain_loss import plain_loss
from tooldev_jax.train.loss import selected_token_loss

B, T, C, D, V = 3, 17, 10, 8, 31


def _inputs(seed=0, dtype=jnp.float32):
  rng = np.random.default_rng(seed)
  hidden = jnp.asarray(rng.normal(size=(B, T, D)), dtype)
  head = jnp.asarray(rng.normal(size=(D, V)), dtype)
  positions = jnp.asarray(
    np.stack([np.sort(rng.choice(T, C, replace=False)) for _ in range(B)]),
    jnp.int32,
  )
  ids = jnp.asarray(rng.integers(0, V, (B, C)), jnp.int32)
  weights = rng.uniform(0.5, 2, size=(B, C)) * (rng.uniform(size=(B, C)) > 0.3)
  return hidden, head, positions, ids, jnp.asarray(weights, jnp.float32)


@pytest.mark.parametrize(
  ("chunk", "soft_cap", "shards"),
  [(1, None, 1), (7, 2.0, 1), (99, None, 1), (4, 2.0, 3)],
)
def test_value_and_both_gradients_equal_the_plain_loss(chunk, soft_cap, shards):
  hidden, head, positions, ids, weights = _inputs()

  def chunked(hidden, head):
    total, weight = selected_token_loss(
      hidden,
      head,
      positions,
      ids,
      weights,
      chunk=chunk,
      train_head=True,
      soft_cap=soft_cap,
      shards=shards,
    )
    return total / weight

  def plain(hidden, head):
    total, weight = plain_loss(hidden, head, positions, ids, weights, soft_cap)
    return total / weight

  got, got_grads = jax.value_and_grad(chunked, (0, 1))(hidden, head)
  want, want_grads = jax.value_and_grad(plain, (0, 1))(hidden, head)
  np.testing.assert_allclose(chunked(hidden, head), want, rtol=1e-6)
  np.testing.assert_allclose(got, want, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
    got_grads,
    want_grads,
  )


def test_a_frozen_head_leaves_the_hidden_gradient_as_it_is():
  hidden, head, positions, ids, weights = _inputs()

  def loss(hidden, train_head):
    return selected_token_loss(
      hidden, head, positions, ids, weights, chunk=4, train_head=train_head
    )[0]

  grads = [jax.grad(loss)(hidden, train_head) for train_head in (False, True)]
  np.testing.assert_array_equal(*grads)


def test_unused_places_count_nothing_whatever_they_hold():
  hidden, head, positions, ids, weights = _inputs()
  unused = weights == 0

  def loss(positions, ids):
    return selected_token_loss(
      hidden, head, positions, ids, weights, chunk=4, train_head=False
    )

  want = loss(positions, ids)
  got = loss(jnp.where(unused, 0, positions), jnp.where(unused, V - 1, ids))
  np.testing.assert_array_equal(want, got)


def test_weight_zero_everywhere_is_zero_and_not_nan():
  hidden, head, positions, ids, weights = _inputs()
  (total, weight), grad = jax.value_and_grad(
    lambda h: selected_token_loss(
      h, head, positions, ids, 0 * weights, chunk=4, train_head=False
    ),
    has_aux=True,
  )(hidden)
  assert total == 0 and weight == 0
  np.testing.assert_array_equal(grad, np.zeros_like(hidden))


def test_logits_of_all_positions_are_never_built():
  """No array of the compiled gradient has T × V or C × V elements a row."""
  vocabulary, chunk = 4096, 2
  hidden, _, positions, ids, weights = _inputs()
  head = jnp.zeros((D, vocabulary))

  def loss(hidden):
    return selected_token_loss(
      hidden, head, positions, ids, weights, chunk=chunk, train_head=False
    )[0]

  jaxpr = jax.make_jaxpr(jax.grad(loss))(hidden)
  assert _largest(jaxpr.jaxpr) == chunk * vocabulary


def _largest(jaxpr) -> int:
  """Elements of the largest array that any equation makes, loops included."""
  sizes = [v.aval.size for eqn in jaxpr.eqns for v in eqn.outvars]
  inner = [
    _largest(getattr(x, "jaxpr", x))
    for eqn in jaxpr.eqns
    for x in jax.tree.leaves(
      list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
    )
    if hasattr(getattr(x, "jaxpr", x), "eqns")
  ]
  return max(sizes + inner, default=0)
