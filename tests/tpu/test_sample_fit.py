"""The sampler compiles for TPUs that are not attached (needs libtpu)."""

import jax.numpy as jnp
import pytest

from tests.sample.exchanges import check_that_logits_alone_move
from tooldev_jax.config import MeshConfig, SamplerConfig
from tooldev_jax.fit import capacity
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import abstract, declare
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.sharding import (
  SAMPLE_RULES,
  Partition,
  bytes_per_chip,
)
from tooldev_jax.sample.programs import Programs
from tooldev_jax.sample.schedule import Planner

pytest.importorskip("libtpu")
pytestmark = pytest.mark.parity

LLAMA_8B = {
  "model_type": "llama",
  "architectures": ["LlamaForCausalLM"],
  "vocab_size": 128256,
  "hidden_size": 4096,
  "intermediate_size": 14336,
  "num_hidden_layers": 32,
  "num_attention_heads": 32,
  "num_key_value_heads": 8,
  "max_position_embeddings": 131072,
}
V5E_BYTES = 16 * 2**30


def test_8b_with_8_samples_fits_sixteen_v5e_chips():
  mesh = capacity.describe_topology("v5e:4x4", MeshConfig(fsdp=2, tensor=8))
  partition = Partition(mesh, SAMPLE_RULES)
  config = DecoderConfig.from_hf(LLAMA_8B)
  declared = declare(config)["params"]
  variables = {"params": abstract(declared, partition, jnp.bfloat16)}
  settings = SamplerConfig(rows=256)
  programs = Programs(
    Decoder(config, dtype=jnp.bfloat16, partition=partition), mesh, settings
  )
  planner = Planner(settings, programs.shards)
  shape = planner.shape_for(n=8, prompt=900, new=64)
  assert (shape.lanes, shape.prompt, shape.tail) == (8, 1024, 64)
  prompt, running = programs.abstract_state(shape, variables)
  tails = bytes_per_chip(running.tail)
  compiled = [program.compile() for program in programs.lower(shape, variables)]
  prefill, decode = (program.memory_analysis() for program in compiled)
  assert prefill.alias_size_in_bytes >= bytes_per_chip(prompt)
  assert decode.alias_size_in_bytes >= tails
  for memory, beside in ((prefill, tails), (decode, 0)):
    total = (
      memory.argument_size_in_bytes
      + memory.output_size_in_bytes
      - memory.alias_size_in_bytes
      + memory.temp_size_in_bytes
      + beside
    )
    print(memory)
    assert total < V5E_BYTES
  # The compiler likes the tails in another layout and copies them there and
  # back, once a chunk (seen in the program): twice their size, and no copy of
  # the prompts, which are twice as large.
  assert decode.temp_size_in_bytes < 2.5 * tails
  for program in compiled:
    check_that_logits_alone_move(program.as_text(), config.vocab_size)
