"""The sampler compiles for TPUs that are not attached (needs libtpu)."""

import os

import jax.numpy as jnp
import pytest

from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import MeshConfig, make_mesh
from tooldev_jax.sample.fit import compile_for
from tooldev_jax.sample.params import SamplerConfig

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


def test_8b_with_8_samples_fits_eight_v5e_chips():
  pytest.importorskip("libtpu")
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  from jax.experimental import topologies

  topology = topologies.get_topology_desc(
    topology_name="v5e:2x4", platform="tpu"
  )
  mesh = make_mesh(MeshConfig(fsdp=1, tensor=8), list(topology.devices))
  decoder = Decoder(DecoderConfig.from_hf(LLAMA_8B), dtype=jnp.bfloat16)
  fit = compile_for(
    decoder,
    mesh,
    SamplerConfig(rows=256),
    prompt_tokens=900,
    new_tokens=64,
    n=8,
    param_dtype=jnp.bfloat16,
  )
  assert (fit.shape.lanes, fit.shape.prompt, fit.shape.tail) == (8, 1024, 64)
  assert fit.total_bytes < V5E_BYTES
  decode = fit.decode.memory_analysis()
  assert decode.alias_size_in_bytes >= fit.tail_bytes
  # Temporaries are small beside the caches: nothing copies a whole segment.
  assert decode.temp_size_in_bytes < fit.prompt_bytes / 2
  print(fit.to_json())
