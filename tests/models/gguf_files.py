"""Small GGUF files, made by the package's own writer."""

import gguf
import numpy as np
from transformers.convert_slow_tokenizer import bytes_to_unicode

TOKENS = [*bytes_to_unicode().values(), "ab", "Ġa", "<|end|>", "<|pad|>"]
# Rows of 256 are the shortest that every quantisation type can hold.
HEADS, KV_HEADS, WIDTH, INNER, LAYERS = 4, 2, 256, 256, 2


def head_dim(architecture):
  """transformers takes 128 for each Qwen 3, whatever the file says."""
  return 128 if architecture == "qwen3" else WIDTH // HEADS


_NORMS = {
  "llama": ("attn_norm", "ffn_norm"),
  "qwen2": ("attn_norm", "ffn_norm"),
  "qwen3": ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm"),
  "gemma3": (
    "attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm",
    "post_attention_norm", "post_ffw_norm",
  ),
}  # fmt: skip
_TYPES = gguf.GGMLQuantizationType


def tensors(architecture, tied=True, seed=0):
  """Name to float32 values, as llama.cpp lays them out."""
  rng = np.random.default_rng(seed)
  normal = lambda *shape: rng.normal(0, 0.1, shape).astype(np.float32)
  size = head_dim(architecture)
  shapes = {
    "attn_q": (HEADS * size, WIDTH),
    "attn_k": (KV_HEADS * size, WIDTH),
    "attn_v": (KV_HEADS * size, WIDTH),
    "attn_output": (WIDTH, HEADS * size),
    "ffn_gate": (INNER, WIDTH),
    "ffn_up": (INNER, WIDTH),
    "ffn_down": (WIDTH, INNER),
  }
  found = {
    "token_embd.weight": normal(len(TOKENS), WIDTH),
    "output_norm.weight": 1 + normal(WIDTH),
  }
  if not tied:
    found["output.weight"] = normal(len(TOKENS), WIDTH)
  for n in range(LAYERS):
    for name, shape in shapes.items():
      found[f"blk.{n}.{name}.weight"] = normal(*shape)
      if architecture == "qwen2" and name in ("attn_q", "attn_k", "attn_v"):
        found[f"blk.{n}.{name}.bias"] = normal(shape[0])
    for name in _NORMS[architecture]:
      length = size if name in ("attn_q_norm", "attn_k_norm") else WIDTH
      found[f"blk.{n}.{name}.weight"] = 1 + normal(length)
  return found


def write(
  path, architecture="llama", values=None, matrices=_TYPES.F32, raw=None, **more
):
  """Writes a file.

  Args:
    path: of the file.
    architecture: of the metadata.
    values: tensors by name; see `tensors`.
    matrices: type of the matrices; the rest is float32.
    raw: bytes [rows, bytes of a row] and type of tensors by name.
    **more: metadata below the architecture's name, instead of what is here;
      None leaves a field out.
  """
  writer = gguf.GGUFWriter(str(path), architecture)
  writer.add_name("small")
  writer.add_license("apache-2.0")
  fields = {
    "context_length": 128,
    "block_count": LAYERS,
    "embedding_length": WIDTH,
    "feed_forward_length": INNER,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "attention.key_length": head_dim(architecture),
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 50000.0,
    "rope.dimension_count": head_dim(architecture),
    "attention.sliding_window": 32 if architecture == "gemma3" else None,
    **more,
  }
  for key, value in fields.items():
    if isinstance(value, str):
      writer.add_string(f"{architecture}.{key}", value)
    elif isinstance(value, float):
      writer.add_float32(f"{architecture}.{key}", value)
    elif value is not None:
      writer.add_uint32(f"{architecture}.{key}", value)
  writer.add_tokenizer_model("gpt2")
  writer.add_token_list(TOKENS)
  kinds = [3 if token.startswith("<|") else 1 for token in TOKENS]
  writer.add_token_types(kinds)
  writer.add_token_merges(["a b", "Ġ a"])
  writer.add_eos_token_id(TOKENS.index("<|end|>"))
  writer.add_pad_token_id(TOKENS.index("<|pad|>"))
  writer.add_chat_template(
    "{% for m in messages %}{{ m.role + ':' + m.content + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
  )
  for name, value in (values or tensors(architecture)).items():
    kind = matrices if ".weight" in name and value.ndim == 2 else _TYPES.F32
    data = value
    if raw and name in raw:
      data, kind = raw[name]
    elif kind is not _TYPES.F32:
      data = gguf.quants.quantize(value, kind)
    writer.add_tensor(name, data, raw_dtype=kind)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
