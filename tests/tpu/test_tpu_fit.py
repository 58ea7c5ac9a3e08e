"""The training step, compiled for TPU chips that are not attached.

Needs libtpu (requirements-tpu.txt). A model of two layers with heads as wide as
Llama's stands in for the whole: the compiler, the kernels and the reading of
its programs are the same.
"""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tooldev_jax.config import LoraConfig, MeshConfig, TrainConfig
from tooldev_jax.errors import UserError
from tooldev_jax.fit import capacity
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.parallel.sharding import TRAIN_RULES
from tooldev_jax.train.step import make_train_step

pytest.importorskip("libtpu")
pytestmark = pytest.mark.parity

CONFIG = DecoderConfig.from_hf(
  {
    "model_type": "llama",
    "vocab_size": 2048,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "tie_word_embeddings": False,
  }
)
ROWS, LENGTH, TARGETS = 4, 1024, 256


def _compile(config, mesh, rows=ROWS):
  shapes = {
    **dict.fromkeys(("tokens", "segment_ids", "positions"), (1, rows, LENGTH)),
    **dict.fromkeys(
      ("target_positions", "target_ids", "target_weights"), (1, rows, TARGETS)
    ),
  }
  step = make_train_step(
    config,
    LoraConfig(),
    TrainConfig(remat="products", loss_chunk=TARGETS),
    shapes,
    10,
    capacity.describe_topology("v5e:2x2", mesh),
    TRAIN_RULES,
    "bfloat16",
  )
  lowered = step.run.lower(step.state, step.base, step.batch)
  arguments = [("base", step.base), ("optimizer", step.state.optimizer)]
  return step, capacity.compile_for(lowered, arguments)


@pytest.fixture(scope="module")
def compiled():
  return _compile(CONFIG, MeshConfig(fsdp=2, tensor=2))


def test_flops_are_the_ideal_plus_what_is_known_to_be_more(compiled):
  step, program = compiled
  tokens = ROWS * LENGTH
  pairs = tokens * (LENGTH + 1) / 2 * len(CONFIG.layers)
  ideal = step.ideal.of(tokens, ROWS * TARGETS, pairs) / 4
  # Adapters (two products forward and four back, one of them done again) and
  # the kernel's half-empty tiles and repeated scores.
  D, H, G, F, rank = 1024, 1024, 256, 2816, 16
  sides = 2 * (D + H) + 2 * (D + G) + 3 * (D + F)
  adapters = 2 * len(CONFIG.layers) * rank * sides * tokens / 4
  tiles = 3 / 2  # of 512: three of four, where the mask needs half
  kernel = 12 * pairs / 4 * CONFIG.num_heads * CONFIG.head_dim
  kernel *= 7 / 6 * tiles / (1 + 1 / LENGTH) - 1
  assert ideal + 3 * adapters + kernel == pytest.approx(program.flops, rel=0.02)


def test_bytes_and_collectives_are_those_of_a_sharded_step(compiled):
  _, program = compiled
  base = dict(program.arguments)["base"]
  whole = 2 * (
    2 * (2 * 1024 * 1024 + 2 * 1024 * 256 + 3 * 1024 * 2816) + 2 * 2048 * 1024
  )
  assert base == pytest.approx(whole / 4, rel=0.01)
  assert program.activations > 0 and program.code > 0
  assert sum(x.bytes for x in program.collectives) > whole / 4


def test_what_does_not_fit_is_a_verdict():
  verdict = _compile(
    DecoderConfig.from_hf({**CONFIG.to_hf(), "intermediate_size": 2**20}),
    MeshConfig(fsdp=4),
    rows=16,
  )[1]
  assert isinstance(verdict, capacity.TooBig)
  assert verdict.used > verdict.limit > 14 * 2**30


@pytest.mark.parametrize("name", ["v5e:4x4", "v5p:2x2x4"])
def test_chips_of_one_process_are_a_slice_that_programs_compile_for(name):
  mesh = capacity.describe_topology(name, MeshConfig(tensor=2), own=True)
  assert mesh.devices.shape == (1, 2, 2)
  x = jax.ShapeDtypeStruct(
    (4, 8), jnp.float32, sharding=NamedSharding(mesh, P(("fsdp", "tensor")))
  )
  # The sum crosses all chips: no part of a larger slice compiles.
  assert jax.jit(jnp.sum).lower(x).compile().as_text().count("all-reduce")


def test_a_topology_that_is_not_is_named():
  with pytest.raises(UserError, match="v5e:7x3x2"):
    capacity.describe_topology("v5e:7x3x2", MeshConfig())
