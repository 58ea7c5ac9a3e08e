"""The decoder's own promises: one function however it is run.

That it is the right function is held against transformers in tests/parity.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AbstractMesh, AxisType

from tests.models.tiny import config
from tooldev_jax.config import LoraConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.lora import merge
from tooldev_jax.models.parameters import (
  declare,
  init_adapter,
  init_params,
  stacked_leaves,
)
from tooldev_jax.models.rope import Rope
from tooldev_jax.models.transformer import REMAT_POLICIES, Decoder
from tooldev_jax.parallel.mesh import AXES
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition

TOKENS = jnp.arange(12, dtype=jnp.int32).reshape(2, 6)
POSITIONS = jnp.broadcast_to(jnp.arange(6), (2, 6))
LORA = LoraConfig(rank=2, alpha=4, targets=("q_proj", "down_proj"))


@pytest.fixture(scope="module")
def gemma():
  """Five layers in two groups: twice (local, global), then one local."""
  made = config(
    "gemma2", num_hidden_layers=5, initializer_range=0.3, sliding_window=4
  )
  params = init_params(made, jax.random.key(0))
  adapter = init_adapter(made, LORA, jax.random.key(1))
  adapter = jax.tree.map(lambda x: x + 0.1, adapter)
  return made, params, adapter


def logits(decoder, params, adapter=None):
  variables = {"params": params}
  if adapter is not None:
    variables["lora"] = adapter
  attend = packed_attention(jnp.ones_like(TOKENS), "einsum")
  hidden, _ = decoder.apply(variables, TOKENS, POSITIONS, attend)
  return decoder.unembed(params, hidden)


def gradient(gemma, **settings):
  made, params, adapter = gemma
  decoder = Decoder(made, LORA, **settings)
  loss = lambda adapter: jnp.square(logits(decoder, params, adapter)).mean()
  return jax.jit(jax.grad(loss))(adapter)


@pytest.fixture(scope="module")
def plain_gradient(gemma):
  return gradient(gemma)


@pytest.mark.parametrize(
  "settings",
  [
    *({"remat": name} for name in REMAT_POLICIES if name != "none"),
    {"unroll": True},
    {"unroll": True, "remat": "full"},
  ],
  ids=str,
)
def test_remat_and_unrolling_change_nothing(gemma, plain_gradient, settings):
  for a, b in zip(
    jax.tree.leaves(gradient(gemma, **settings)),
    jax.tree.leaves(plain_gradient),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)


def test_a_new_adapter_and_a_missing_one_are_the_base(gemma):
  made, params, _ = gemma
  fresh = init_adapter(made, LORA, jax.random.key(2))
  base = logits(Decoder(made), params)
  np.testing.assert_array_equal(logits(Decoder(made, LORA), params), base)
  np.testing.assert_array_equal(
    logits(Decoder(made, LORA), params, fresh), base
  )


def test_merging_adds_the_adapter_in(gemma):
  made, params, adapter = gemma
  unmerged = logits(Decoder(made, LORA), params, adapter)
  merged = merge(params, adapter, LORA)
  assert not np.allclose(unmerged, logits(Decoder(made), params), atol=1e-2)
  np.testing.assert_allclose(logits(Decoder(made), merged), unmerged, atol=1e-4)
  # What no adapter touches is not copied.
  table = params["embed_tokens"]["embedding"]
  assert merged["embed_tokens"]["embedding"] is table


def test_merging_rounds_once():
  """In bfloat16 the sum is the float32 sum, rounded, not a rounded update."""
  lora = LoraConfig(rank=1, alpha=1, targets=("q_proj",))
  base = {"q_proj": {"kernel": jnp.full((1, 1, 1), 1.0, jnp.bfloat16)}}
  half_step = 2.0**-8 * 1.0001  # just over half of the step after 1.0
  adapter = {
    "q_proj": {"a": jnp.full((1, 1, 1), half_step), "b": jnp.ones((1, 1, 1))}
  }
  merged = merge(base, adapter, lora)["q_proj"]["kernel"]
  assert merged.dtype == jnp.bfloat16
  assert float(merged[0, 0, 0]) == 1.0 + 2.0**-7


def test_a_cache_is_handed_to_its_layer_and_back(gemma):
  """Each layer sees its own slice; what it returns comes out in its place."""
  made, params, _ = gemma
  cache, number = {}, 0
  for group in made.groups:
    index = np.arange(group.repeats * len(group.layers)) + number
    number += index.size
    by_place = index.reshape(group.repeats, -1).T
    cache[group.name] = tuple({"layer": jnp.asarray(x)} for x in by_place)

  def attend(q, k, v, cache_slice, spec):
    seen = {"layer": cache_slice["layer"], "window": spec.window or 0}
    return q, seen

  _, out = Decoder(made).apply(
    {"params": params}, TOKENS, POSITIONS, attend, cache
  )
  windows = {}
  for group in made.groups:
    for i, place in enumerate(out[group.name]):
      np.testing.assert_array_equal(
        place["layer"], cache[group.name][i]["layer"]
      )
      layers = np.asarray(place["layer"]).tolist()
      windows |= dict(
        zip(layers, np.asarray(place["window"]).tolist(), strict=True)
      )
  assert [windows[i] for i in range(5)] == [
    layer.attention.window or 0 for layer in made.layers
  ]


def test_every_parameter_has_one_place_in_a_checkpoint(gemma):
  made, params, _ = gemma
  leaves = stacked_leaves(made)
  assert {leaf.path: leaf.shape for leaf in leaves} == {
    tuple(key.key for key in keys): leaf.shape
    for keys, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
  names = [name for leaf in leaves for name in leaf.names]
  assert len(names) == len(set(names))
  assert "model.layers.4.mlp.up_proj.weight" in names
  assert "lm_head.weight" not in names


def test_declaring_a_large_model_allocates_nothing():
  made = config(
    num_hidden_layers=80,
    hidden_size=8192,
    intermediate_size=28672,
    num_attention_heads=64,
    num_key_value_heads=8,
    head_dim=128,
    vocab_size=128256,
  )
  declared = declare(made)["params"]
  shapes = jax.tree.leaves(declared)
  assert all(isinstance(x, jax.ShapeDtypeStruct) for x in shapes)
  assert sum(x.size for x in shapes) == 70_553_706_496


@pytest.mark.parametrize(
  ("family", "few", "many"), [("llama", 4, 32), ("gemma3_text", 18, 36)]
)
def test_what_is_compiled_does_not_grow_with_depth(family, few, many):
  """The gradient's program has as many operations at any depth."""

  def operations(layers):
    made = config(family, num_hidden_layers=layers)
    decoder = Decoder(made, LORA)
    loss = lambda lora, params: logits(decoder, params, lora).mean()
    shapes = nn.meta.unbox(declare(made, LORA))
    lowered = jax.jit(jax.grad(loss)).lower(shapes["lora"], shapes["params"])
    return len(lowered.as_text().splitlines())

  assert operations(many) == operations(few)


def test_a_mesh_that_cuts_a_head_is_refused():
  made = config(num_attention_heads=4, num_key_value_heads=2)
  mesh = AbstractMesh((1, 1, 4), AXES, axis_types=(AxisType.Auto,) * 3)
  decoder = Decoder(made, partition=Partition(mesh, TRAIN_RULES))
  with pytest.raises(UserError, match="num_key_value_heads=2 cannot be split"):
    jax.eval_shape(lambda p: logits(decoder, p), declare(made)["params"])


def test_adapters_refuse_what_they_cannot_target():
  with pytest.raises(
    UserError, match=r"lora\.targets: \('q_proj', 'lm_head'\)"
  ):
    LoraConfig(targets=("q_proj", "lm_head"))
  with pytest.raises(UserError, match=r"lora\.targets: none"):
    LoraConfig(targets=())
  with pytest.raises(UserError, match=r"lora\.rank: 0; allowed: at least 1"):
    LoraConfig(rank=0)


def test_scale_is_alpha_over_rank_or_its_root():
  assert LoraConfig(rank=16, alpha=32).scale == 2.0
  assert LoraConfig(rank=16, alpha=32, rank_stabilised=True).scale == 8.0


def test_llama3_rope_keeps_short_waves_and_stretches_long_ones():
  plain = Rope(theta=10000.0).frequencies(64)
  scaled = Rope(10000.0, "llama3", 8.0, 1.0, 4.0, 256).frequencies(64)
  waves = 2 * np.pi / plain
  np.testing.assert_array_equal(scaled[waves < 64], plain[waves < 64])
  np.testing.assert_allclose(scaled[waves > 256], plain[waves > 256] / 8)
  between = (waves > 64) & (waves < 256)
  assert between.any()
  assert np.all(scaled[between] < plain[between])
  assert np.all(scaled[between] > plain[between] / 8)
