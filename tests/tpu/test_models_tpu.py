"""Splash attention in a whole decoder, compiled for TPU chips not attached."""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.parity
pytest.importorskip("libtpu")

# In a process of its own: libtpu takes a lock, and settings of its own.
PROGRAM = """
import os
os.environ["TPU_SKIP_MDS_QUERY"] = "1"
os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "true"
import jax, jax.numpy as jnp
from jax.experimental import topologies
from flax import linen as nn
from tests.models.tiny import config
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.config import LoraConfig
from tooldev_jax.models.parameters import declare
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.config import MeshConfig
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition

topology = topologies.get_topology_desc(
  topology_name="v5e:2x2", platform="tpu"
)
mesh = make_mesh(MeshConfig(fsdp=2, tensor=2), topology.devices)
partition = Partition(mesh, TRAIN_RULES)
made = config(
  "gemma2", num_attention_heads=4, num_key_value_heads=2, head_dim=64,
  hidden_size=128, intermediate_size=256, vocab_size=512, sliding_window=96,
)
lora = LoraConfig(rank=8)
decoder = Decoder(
  made, lora, dtype=jnp.bfloat16, remat="attention", partition=partition
)
declared = declare(made, lora, jnp.bfloat16)
placed = {
  name: jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    nn.meta.unbox(tree), partition.shardings(tree),
  )
  for name, tree in declared.items()
}
row = jax.ShapeDtypeStruct(
  (2, 256), jnp.int32, sharding=partition.sharding(("batch", "length"))
)

def loss(adapter, params, tokens, positions, segments):
  attend = packed_attention(segments, "BACKEND", partition)
  hidden, _ = decoder.apply(
    {"params": params, "lora": adapter}, tokens, positions, attend
  )
  return decoder.unembed(params, hidden).mean()

compiled = jax.jit(jax.grad(loss)).lower(
  placed["lora"], placed["params"], row, row, row
).compile()
kernel = 'custom_call_target="tpu_custom_call"'
print("kernels:", compiled.as_text().count(kernel))
"""


@pytest.mark.parametrize("backend", ["splash", "auto"])
def test_compiles_for_a_tpu_mesh_with_windows_and_soft_caps(backend):
  program = textwrap.dedent(PROGRAM).replace("BACKEND", backend)
  out = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True
  )
  assert out.returncode == 0, out.stderr[-3000:]
  # Forward, its repetition under remat, and two backward kernels, for each
  # of the two layers of the block; at least one forward and one backward.
  kernels = int(out.stdout.split("kernels:")[1])
  assert kernels >= 4
