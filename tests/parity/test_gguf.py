"""GGUF files imported as transformers dequantises them, for every type."""

import gguf
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from tests.models import gguf_files
from tooldev_jax.models.gguf import import_gguf

pytestmark = pytest.mark.parity

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3")
TYPES = sorted(gguf.quants._type_traits, key=lambda kind: kind.name)


def _states(tmp_path):
  """Ours, and transformers' as bfloat16."""
  theirs = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path, gguf_file="model.gguf", dtype=torch.float32
  )
  ours = safetensors.torch.load_file(
    import_gguf(tmp_path / "model.gguf", tmp_path / "hf") / "model.safetensors"
  )
  return ours, theirs.state_dict()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_are_those_that_transformers_reads(
  tmp_path, architecture, tied
):
  values = gguf_files.tensors(architecture, tied)
  gguf_files.write(tmp_path / "model.gguf", architecture, values)
  ours, theirs = _states(tmp_path)
  if tied:
    theirs.pop("lm_head.weight")
  assert ours.keys() == theirs.keys()
  for name, value in ours.items():
    assert torch.equal(value, theirs[name].bfloat16()), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_folder_answers_as_the_file_does(tmp_path, architecture):
  gguf_files.write(tmp_path / "model.gguf", architecture)
  theirs = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path, gguf_file="model.gguf", dtype=torch.float32
  )
  for parameter in theirs.parameters():
    parameter.data = parameter.data.bfloat16().float()
  folder = import_gguf(tmp_path / "model.gguf", tmp_path / "hf")
  ours = transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32
  )
  tokens = torch.arange(2, 50)[None]
  with torch.no_grad():
    difference = ours(tokens).logits - theirs(tokens).logits
  assert difference.abs().max() < 1e-4


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_every_type_is_dequantised_alike(tmp_path, kind):
  """Random bytes: the values may be odd, but have to be the same."""
  size, stored = gguf.GGML_QUANT_SIZES[kind]
  row_bytes = gguf_files.WIDTH // size * stored
  rng = np.random.default_rng(0)
  raw = rng.integers(0, 256, (gguf_files.WIDTH, row_bytes), np.uint8)
  gguf_files.write(
    tmp_path / "model.gguf", raw={"blk.0.attn_output.weight": (raw, kind)}
  )
  ours, theirs = _states(tmp_path)
  name = "model.layers.0.self_attn.o_proj.weight"
  assert torch.allclose(
    ours[name].float(),
    theirs[name].bfloat16().float(),
    rtol=0,
    atol=0,
    equal_nan=True,
  )
