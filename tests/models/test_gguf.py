"""GGUF files as Hugging Face folders; what is broken is refused in words."""

import random

import gguf
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from etils import epath

from tests.models import gguf_files
from tooldev_jax import io
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.models import gguf as imported
from tooldev_jax.models import model_folder
from tooldev_jax.models.gguf import GgufError


def _imported(tmp_path, **settings):
  gguf_files.write(tmp_path / "model.gguf", **settings)
  return imported.import_gguf(tmp_path / "model.gguf", tmp_path / "hf")


def _weights(folder):
  return safetensors.numpy.load_file(folder / "model.safetensors")


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma3"])
def test_each_family_becomes_a_folder_that_loads(tmp_path, architecture):
  folder = _imported(tmp_path, architecture=architecture)
  shape = model_folder.read_config(epath.Path(folder))
  assert len(shape.layers) == gguf_files.LAYERS
  assert (shape.num_heads, shape.num_kv_heads, shape.head_dim) == (
    4,
    2,
    gguf_files.head_dim(architecture),
  )
  config = io.read_json(folder / "config.json")
  assert config["rms_norm_eps"] == 1e-5
  assert config["tie_word_embeddings"] is True
  assert "quantization_config" not in config
  end = gguf_files.TOKENS.index("<|end|>")
  assert io.read_json(folder / "generation_config.json")["eos_token_id"] == end
  if architecture != "qwen2":  # Its tokenizer's class has a token of its own.
    chat = ChatTokenizer.load(str(folder))
    assert chat.vocab_size == len(gguf_files.TOKENS)
  assert "apache-2.0" in (folder / "README.md").read_text()


def test_rotated_rows_are_halves_of_each_head_again(tmp_path):
  """llama.cpp's own permutation, undone."""
  values = gguf_files.tensors("llama")
  heads, size = gguf_files.HEADS, gguf_files.head_dim("llama")
  original = values["blk.0.attn_q.weight"]
  # As convert_hf_to_gguf.py writes it: halves become neighbours.
  values["blk.0.attn_q.weight"] = np.ascontiguousarray(
    original.reshape(heads, 2, size // 2, -1)
    .swapaxes(1, 2)
    .reshape(original.shape)
  )
  found = _weights(_imported(tmp_path, values=values))
  np.testing.assert_array_equal(
    found["model.layers.0.self_attn.q_proj.weight"],
    original.astype(ml_dtypes.bfloat16),
  )


def test_gemma_norms_are_stored_one_higher(tmp_path):
  values = gguf_files.tensors("gemma3")
  found = _weights(_imported(tmp_path, architecture="gemma3", values=values))
  np.testing.assert_array_equal(
    found["model.norm.weight"],
    (values["output_norm.weight"] - 1).astype(ml_dtypes.bfloat16),
  )


def test_a_head_of_its_own_is_kept(tmp_path):
  values = gguf_files.tensors("llama", tied=False)
  folder = _imported(tmp_path, values=values)
  assert io.read_json(folder / "config.json")["tie_word_embeddings"] is False
  np.testing.assert_array_equal(
    _weights(folder)["lm_head.weight"],
    values["output.weight"].astype(ml_dtypes.bfloat16),
  )


def test_quantised_matrices_are_what_the_package_makes_of_them(tmp_path):
  values = gguf_files.tensors("qwen2")
  kind = gguf.GGMLQuantizationType.Q8_0
  folder = _imported(
    tmp_path, architecture="qwen2", values=values, matrices=kind
  )
  name = "blk.1.ffn_up.weight"
  quantised = gguf.quants.quantize(values[name], kind)
  np.testing.assert_array_equal(
    _weights(folder)["model.layers.1.mlp.up_proj.weight"],
    gguf.quants.dequantize(quantised, kind).astype(ml_dtypes.bfloat16),
  )


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"block_count": None}, "metadata llama.block_count is None"),
    ({"attention.head_count": 0}, "head_count is 0, not a positive"),
    ({"block_count": 3}, "tensor blk.2.attn_norm.weight is missing"),
    ({"block_count": 1}, "tensor blk.1.attn_k.weight is not known"),
    ({"rope.scaling.type": "yarn"}, r"embeddings are scaled \(yarn\)"),
    ({"embedding_length": float("nan")}, "embedding_length is nan"),
  ],
)
def test_what_is_missing_or_odd_is_named(tmp_path, settings, message):
  with pytest.raises(GgufError, match=message):
    _imported(tmp_path, **settings)
  assert not (tmp_path / "hf" / "config.json").exists()


def test_other_families_and_files_are_refused(tmp_path):
  path = tmp_path / "model.gguf"
  writer = gguf.GGUFWriter(str(path), "mamba")
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  with pytest.raises(GgufError, match="'mamba'; read are llama, qwen2"):
    imported.import_gguf(path, tmp_path / "hf")
  with pytest.raises(GgufError, match="there is no such file"):
    imported.import_gguf(tmp_path / "none.gguf", tmp_path / "hf")
  path.write_bytes(b"no such format")
  with pytest.raises(GgufError, match="not a whole GGUF file"):
    imported.import_gguf(path, tmp_path / "hf")


def test_broken_files_are_refused_or_read(tmp_path):
  """Flipped bytes in the metadata, and cut files: never another error."""
  path = tmp_path / "model.gguf"
  gguf_files.write(path)
  whole = path.read_bytes()
  rng = random.Random(0)
  refused = 0
  for n in range(60):
    data = bytearray(whole)
    if n % 3 == 0:
      del data[rng.randrange(len(data)) :]
    else:
      for _ in range(3):
        data[rng.randrange(3000)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
      imported.import_gguf(path, tmp_path / "hf")
    except GgufError:
      refused += 1
  assert refused > 20
