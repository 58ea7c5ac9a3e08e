"""Schedules, and which parameters decay and which are Muon's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import meta

from tooldev_jax.config import TrainConfig, profile_range
from tooldev_jax.errors import UserError
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import declare
from tooldev_jax.train.optimizer import make_optimizer, make_schedule
from tooldev_jax.train.step import logical_axes

QWEN = DecoderConfig.from_hf(
  {
    "model_type": "qwen2",
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
  }
)


def _named(tree):
  paths = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in paths
  }


def _made(declared, make):
  leaves = lambda x: jnp.asarray(make(x.shape), jnp.float32)
  return jax.tree.map(leaves, meta.unbox(declared))


def _first_update(optimizer, grads, params):
  """Updates and state after one step."""
  run = lambda grads, params: optimizer.update(
    grads, optimizer.init(params), params
  )
  return jax.jit(run)(grads, params)


def test_only_matrices_decay():
  declared = declare(QWEN)["params"]
  axes = logical_axes(declared)
  params = _made(declared, np.ones)
  optimizer = make_optimizer(
    TrainConfig(weight_decay=0.1, schedule="constant"), 10, axes
  )
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = _first_update(optimizer, zeros, params)
  decayed = {name for name, x in _named(updates).items() if (x != 0).any()}
  kernels = {name for name in _named(params) if name.endswith("kernel")}
  assert decayed == kernels
  assert "lm_head/kernel" in kernels
  assert {x.rsplit("/", 1)[-1] for x in set(_named(params)) - decayed} == {
    "bias", "scale", "embedding",
  }  # fmt: skip


def test_muon_takes_the_block_matrices_and_makes_them_orthogonal():
  declared = declare(QWEN)["params"]
  params = _made(declared, np.random.default_rng(0).standard_normal)
  config = TrainConfig(
    optimizer="muon",
    clip_norm=0.0,
    schedule="constant",
    warmup_ratio=0.0,
    learning_rate=1e-3,
    muon_learning_rate=1.0,
  )
  optimizer = make_optimizer(config, 10, logical_axes(declared))
  updates, _ = _first_update(optimizer, params, params)
  for name, update in _named(updates).items():
    if name.startswith("blocks") and name.endswith("kernel"):
      # Newton-Schulz in five steps brings singular values near to 1, times
      # sqrt(max(1, out / in)).
      rows, columns = update.shape[1:]
      scale = max(1.0, columns / rows) ** 0.5
      values = np.linalg.svd(np.asarray(update), compute_uv=False) / scale
      assert values.max() < 1.3 and np.median(values) > 0.6, name
    else:
      # Adam's first update is the gradient's sign (1 + 0.9 / 1.9 of it with
      # Nesterov's look ahead, which optax's Muon uses throughout).
      look_ahead = 1 + 0.9 / 1.9
      np.testing.assert_allclose(
        np.abs(update), 1e-3 * look_ahead, rtol=1e-2, err_msg=name
      )


def test_gradients_are_clipped_by_their_global_norm():
  axes = {"a": ("blocks", "embed", "mlp"), "b": ("blocks", None)}
  params = {"a": jnp.zeros((1, 2, 2)), "b": jnp.zeros((1, 2))}
  grads = jax.tree.map(lambda x: 100 * jnp.ones_like(x), params)
  optimizer = make_optimizer(TrainConfig(clip_norm=0.5), 10, axes)
  _, state = _first_update(optimizer, grads, params)
  first = state[1][0].mu  # (1 - beta1) times the clipped gradient
  norm = sum((x**2).sum() for x in jax.tree.leaves(first)) ** 0.5
  np.testing.assert_allclose(norm / 0.1, 0.5, rtol=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "trapezoid", "constant"])
def test_schedules_rise_to_the_peak_and_never_reach_zero(schedule):
  config = TrainConfig(
    schedule=schedule, warmup_ratio=0.1, decay_ratio=0.5, learning_rate=2.0
  )
  rates = make_schedule(config, 100, 2.0)(jnp.arange(100)).tolist()
  assert all(rate > 0 for rate in rates)
  assert rates[:11] == sorted(rates[:11])
  assert max(rates) == pytest.approx(2.0)
  if schedule != "constant":
    assert rates[-1] < 0.05
    assert rates[50:] == sorted(rates[50:], reverse=True)


def test_cosine_is_the_usual_one():
  config = TrainConfig(warmup_ratio=0.0, final_ratio=0.1, learning_rate=1.0)
  schedule = make_schedule(config, 8, 1.0)
  want = [0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * n / 8)) for n in range(8)]
  np.testing.assert_allclose(schedule(jnp.arange(8)), want, rtol=1e-6)


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("optimizer", "sgd", "adamw, muon"),
    ("schedule", "linear", "cosine, trapezoid, constant"),
    ("learning_rate", 0.0, "above 0"),
    ("warmup_ratio", 1.5, "at least 0, at most 1"),
    ("profile_steps", "15:10", "names no step"),
    ("profile_steps", "soon", "of the form 10:15"),
    ("loss_chunk", 0, "at least 1"),
  ],
)
def test_wrong_settings_are_named(field, value, message):
  with pytest.raises(UserError, match=message) as error:
    TrainConfig(**{field: value})
  assert f"train.{field}" in str(error.value)


def test_profile_range():
  assert profile_range("10:15") == range(10, 15)
  assert not profile_range("")
