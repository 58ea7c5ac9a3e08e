"""GGUF files (llama.cpp) as ordinary Hugging Face folders.

    python -m launch.import_gguf --gguf=FILE --out=FOLDER

The package `gguf` reads the file and dequantises its tensors, transformers
rebuilds the tokenizer from the metadata. What is left for this module is to
name the tensors as Hugging Face does and to undo what llama.cpp's converter
does to them:

- Llama: the rows of each query and key head are interleaved for another form of
  rotary embeddings (the pairs are neighbours there, halves of the head here).
- Gemma: norms are stored as 1 + w.
- A head that is tied to the embedding is not stored.

Sources: ggml-org/llama.cpp, `convert_hf_to_gguf.py` and `gguf-py`.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import safetensors.numpy
import tokenizers
import transformers
from etils import epath
from transformers.integrations.gguf import gguf_tokenizer_mapping

from tooldev_jax import io
from tooldev_jax.errors import UserError

# A shard of weights is held in memory once while it is written.
_SHARD_BYTES = 4 * 2**30

_BLOCK = {
  "attn_norm": "input_layernorm",
  "attn_q": "self_attn.q_proj",
  "attn_k": "self_attn.k_proj",
  "attn_v": "self_attn.v_proj",
  "attn_output": "self_attn.o_proj",
  "ffn_norm": "post_attention_layernorm",
  "ffn_gate": "mlp.gate_proj",
  "ffn_up": "mlp.up_proj",
  "ffn_down": "mlp.down_proj",
}
_QK_NORMS = {
  "attn_q_norm": "self_attn.q_norm",
  "attn_k_norm": "self_attn.k_norm",
}
_GEMMA = {
  "ffn_norm": "pre_feedforward_layernorm",
  "post_attention_norm": "post_attention_layernorm",
  "post_ffw_norm": "post_feedforward_layernorm",
}
_TOP = {
  "token_embd": "model.embed_tokens",
  "output_norm": "model.norm",
  "output": "lm_head",
}
# Metadata below the architecture's name, and the field of config.json.
_FIELDS = {
  "context_length": "max_position_embeddings",
  "block_count": "num_hidden_layers",
  "embedding_length": "hidden_size",
  "feed_forward_length": "intermediate_size",
  "attention.head_count": "num_attention_heads",
  "attention.head_count_kv": "num_key_value_heads",
  "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_OPTIONAL = {
  "attention.key_length": "head_dim",
  "attention.sliding_window": "sliding_window",
  "rope.freq_base": "rope_theta",
}


@dataclasses.dataclass(frozen=True)
class _Family:
  """How a family's files differ.

  Attributes:
    model_type, architecture: in config.json.
    block: name of each tensor of a block, without "blk.<n>.".
    interleaved: whether query and key rows are interleaved.
    norms_plus_one: whether norms are stored as 1 + w.
  """

  model_type: str
  architecture: str
  block: Mapping[str, str]
  interleaved: bool = False
  norms_plus_one: bool = False


_FAMILIES = {
  "llama": _Family("llama", "LlamaForCausalLM", _BLOCK, interleaved=True),
  "qwen2": _Family("qwen2", "Qwen2ForCausalLM", _BLOCK),
  "qwen3": _Family("qwen3", "Qwen3ForCausalLM", {**_BLOCK, **_QK_NORMS}),
  "gemma3": _Family(
    "gemma3_text",
    "Gemma3ForCausalLM",
    {**_BLOCK, **_QK_NORMS, **_GEMMA},
    norms_plus_one=True,
  ),
}


class GgufError(UserError):
  """A file that is no GGUF of a family that is read here."""


def import_gguf(path: io.PathLike, folder: io.PathLike) -> epath.Path:
  """Writes a Hugging Face folder from a GGUF file.

  Weights become bfloat16. `config.json` is written last: a folder without it
  is not complete.

  Args:
    path: the file; local, since it is mapped into memory.
    folder: is made; what it holds of these files is written over.

  Returns:
    The folder.

  Raises:
    GgufError: it is no GGUF file, of another family, or something in it is
      missing or not understood. Nothing was written then.
  """
  path, folder = epath.Path(path), epath.Path(folder)
  file = _File(path)
  names = file.tensor_names()
  config = file.config()
  tokenizer = file.tokenizer()
  tokenizer.save_pretrained(str(folder))
  _write_weights(folder, file, names, config)
  io.write_json(folder / "generation_config.json", file.generation(config))
  io.write_text(folder / "README.md", file.card(path))
  io.write_json(folder / "config.json", config)
  return folder


class _File:
  """A GGUF file: its metadata as plain values, and its tensors by name."""

  def __init__(self, path: epath.Path):
    self._path = path
    try:
      reader = gguf.GGUFReader(str(path))
      self._metadata = {k: f.contents() for k, f in reader.fields.items()}
    except FileNotFoundError:
      raise GgufError(f"{path}: there is no such file") from None
    # The reader trusts the file: what it raises depends on where it is broken.
    except Exception as e:
      raise GgufError(f"{path}: not a whole GGUF file: {e}") from e
    self._tensors = {tensor.name: tensor for tensor in reader.tensors}
    architecture = self._metadata.get("general.architecture")
    if architecture not in _FAMILIES:
      raise GgufError(
        f"{path}: general.architecture is {architecture!r}; read are"
        f" {', '.join(_FAMILIES)}"
      )
    self._architecture = architecture
    self.family = _FAMILIES[architecture]

  # --- config -----------------------------------------------------------------

  def config(self) -> dict[str, Any]:
    """config.json, with transformers' defaults for what GGUF does not say.

    Raises:
      GgufError: a field is missing, or the file scales its rotary embeddings.
    """
    fields = {name: self._field(key) for key, name in _FIELDS.items()}
    for key, name in _OPTIONAL.items():
      if (value := self._field(key, optional=True)) is not None:
        fields[name] = value
    scaling = self._metadata.get(f"{self._architecture}.rope.scaling.type")
    if scaling not in (None, "none") or "rope_freqs.weight" in self._tensors:
      raise GgufError(
        f"{self._path}: its rotary embeddings are scaled"
        f" ({scaling or 'rope_freqs.weight'}), and GGUF does not say how in"
        " terms of config.json; use the original checkpoint"
      )
    theta = fields.pop("rope_theta", 10000.0)
    if self._architecture != "gemma3":
      # Gemma's local layers have another base, which GGUF leaves to the family.
      fields["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    special = {
      f"{name}_token_id": self._metadata.get(f"tokenizer.ggml.{key}_token_id")
      for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }
    made = transformers.AutoConfig.for_model(
      self.family.model_type,
      **fields,
      vocab_size=len(self._tokens()),
      tie_word_embeddings="output.weight" not in self._tensors,
      **{name: value for name, value in special.items() if value is not None},
    )
    rows = self._tensors["token_embd.weight"].shape[-1]
    if rows != len(self._tokens()):
      raise GgufError(
        f"{self._path}: {len(self._tokens())} tokens, and token_embd.weight has"
        f" {rows} rows"
      )
    return {
      **json.loads(made.to_json_string()),
      "architectures": [self.family.architecture],
      "dtype": "bfloat16",
    }

  def _field(self, key: str, optional: bool = False) -> Any:
    """A positive number below the architecture's name.

    Raises:
      GgufError: it is missing, or no such number.
    """
    full = f"{self._architecture}.{key}"
    value: Any = self._metadata.get(full)
    if value is None and optional:
      return None
    if isinstance(value, float):
      # Stored in 32 bits: 1e-05, and not 9.999999747378752e-06.
      value = float(str(np.float32(value)))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
      raise GgufError(
        f"{self._path}: metadata {full} is {value!r:.60}, not a positive number"
      )
    return value

  def generation(self, config: Mapping[str, Any]) -> dict[str, Any]:
    """generation_config.json: what ends an answer."""
    keys = ("eos_token_id", "eot_token_id", "eom_token_id")
    ends = [self._metadata.get(f"tokenizer.ggml.{key}") for key in keys]
    known = list(dict.fromkeys(end for end in ends if end is not None))
    found: dict[str, Any] = {
      name: config[name]
      for name in ("bos_token_id", "pad_token_id")
      if config.get(name) is not None
    }
    if known:
      found["eos_token_id"] = known[0] if len(known) == 1 else known
    return found

  # --- tokenizer --------------------------------------------------------------

  def _tokens(self) -> list[str]:
    tokens = self._metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
      raise GgufError(
        f"{self._path}: metadata tokenizer.ggml.tokens is missing"
      )
    return tokens

  def tokenizer(self) -> transformers.PreTrainedTokenizerFast:
    """The tokenizer with its chat template and special tokens.

    Raises:
      GgufError: the vocabulary is of a kind that transformers does not build.
    """
    tokens = self._tokens()
    mapping = gguf_tokenizer_mapping.GGUF_TOKENIZER_MAPPING["tokenizer"]
    facts = {
      name: self._metadata[f"tokenizer.{key}"]
      for key, name in mapping.items()
      if f"tokenizer.{key}" in self._metadata
    }
    try:
      backend, _ = gguf_tokenizer_mapping.convert_gguf_tokenizer(
        self._architecture, facts
      )
    # `tokenizers` raises plain Exceptions.
    except Exception as e:
      raise GgufError(f"{self._path}: no tokenizer can be built: {e}") from e
    special = {}
    for name, key in (
      ("bos_token", "bos"),
      ("eos_token", "eos"),
      ("unk_token", "unknown"),
      ("pad_token", "padding"),
    ):
      index = self._metadata.get(f"tokenizer.ggml.{key}_token_id")
      if index is None:
        continue
      if not isinstance(index, int) or not 0 <= index < len(tokens):
        raise GgufError(
          f"{self._path}: tokenizer.ggml.{key}_token_id is {index!r}, and there"
          f" are {len(tokens)} tokens"
        )
      special[name] = tokens[index]
    made = transformers.PreTrainedTokenizerFast(
      tokenizer_object=_without_new_tokens(backend, len(tokens)), **special
    )
    template = self._metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
      made.chat_template = template
    return made

  # --- weights ----------------------------------------------------------------

  def tensor_names(self) -> dict[str, str]:
    """Hugging Face's name of each tensor, and the file's.

    Raises:
      GgufError: a tensor is missing, or not known.
    """
    layers = self._field("block_count")
    known = {f"{mine}.weight": f"{own}.weight" for mine, own in _TOP.items()}
    for n in range(int(layers)):
      for mine, own in self.family.block.items():
        for part in ("weight", "bias"):
          known[f"blk.{n}.{mine}.{part}"] = f"model.layers.{n}.{own}.{part}"
    unknown = sorted(self._tensors.keys() - known.keys())
    missing = [
      name
      for name in known
      if name.endswith(".weight")
      and name not in self._tensors
      and name != "output.weight"
    ]
    problems = [f"tensor {name} is not known" for name in unknown[:3]]
    problems += [f"tensor {name} is missing" for name in missing[:3]]
    if problems:
      raise GgufError(f"{self._path}: {'; '.join(problems)}")
    return {known[name]: name for name in self._tensors}

  def read(self, name: str, config: Mapping[str, Any]) -> np.ndarray:
    """One tensor, dequantised and as Hugging Face has it, in float32."""
    tensor = self._tensors[name]
    try:
      value = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    except (NotImplementedError, ValueError) as e:
      raise GgufError(
        f"{self._path}: tensor {name} of type {tensor.tensor_type.name} cannot"
        f" be dequantised: {e}"
      ) from e
    value = value.astype(np.float32, copy=False)
    if self.family.norms_plus_one and name.endswith("norm.weight"):
      value = value - 1
    if self.family.interleaved and ".attn_q." in name:
      value = _halves(value, config["num_attention_heads"])
    if self.family.interleaved and ".attn_k." in name:
      value = _halves(value, config["num_key_value_heads"])
    return value

  # --- model card -------------------------------------------------------------

  def card(self, path: epath.Path) -> str:
    """The model card: where the weights come from, and under which licence."""
    said = {
      key: str(self._metadata.get(f"general.{key}", ""))
      for key in ("name", "organization", "license")
    }
    types = sorted({t.tensor_type.name for t in self._tensors.values()})
    with path.open("rb") as f:
      digest = hashlib.file_digest(f, "sha256").hexdigest()
    license_ = json.dumps(said["license"] or "unknown")
    return (
      f"---\nlicense: {license_}\n---\n\n# {said['name'] or path.stem}\n\n"
      f"By {said['organization'] or 'an unnamed author'}. Dequantised"
      f" ({', '.join(types)}) to bfloat16 from `{path.name}`, SHA-256"
      f" {digest}; what its metadata says of the licence stands above.\n"
    )


def _without_new_tokens(
  backend: tokenizers.Tokenizer, size: int
) -> tokenizers.Tokenizer:
  """Without tokens that a class adds by default and that the model lacks."""
  spec = json.loads(backend.to_str())
  spec["added_tokens"] = [x for x in spec["added_tokens"] if x["id"] < size]
  return tokenizers.Tokenizer.from_str(json.dumps(spec))


def _halves(value: np.ndarray, heads: int) -> np.ndarray:
  """Rows of each head from neighbouring pairs to halves.

  Args:
    value: [heads * size, ...], pairs (2i, 2i + 1) rotated together.
    heads: of queries or keys.

  Returns:
    The same with pairs (i, i + size / 2).
  """
  pairs = value.reshape(heads, -1, 2, *value.shape[1:])
  return pairs.swapaxes(1, 2).reshape(value.shape)


def _write_weights(
  folder: epath.Path,
  file: _File,
  names: Mapping[str, str],
  config: Mapping[str, Any],
) -> None:
  """Writes shards, and their index where there are several."""
  shards = list(_shards(file, names, config))
  of = len(shards)
  index: dict[str, str] = {}
  total = 0
  for number, shard in enumerate(shards, 1):
    name = "model.safetensors"
    if of > 1:
      name = f"model-{number:05}-of-{of:05}.safetensors"
    tensors = {
      own: file.read(mine, config).astype(ml_dtypes.bfloat16)
      for own, mine in shard
    }
    index |= dict.fromkeys(tensors, name)
    total += sum(x.nbytes for x in tensors.values())
    data = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    io.write_bytes(folder / name, data)
  if of > 1:
    io.write_json(
      folder / "model.safetensors.index.json",
      {"metadata": {"total_size": total}, "weight_map": index},
    )


def _shards(
  file: _File, names: Mapping[str, str], config: Mapping[str, Any]
) -> Iterator[list[tuple[str, str]]]:
  """The tensors in order, cut where a shard is full."""
  shard: list[tuple[str, str]] = []
  size = 0
  for own, mine in names.items():
    more = 2 * int(file._tensors[mine].n_elements)
    if shard and size + more > _SHARD_BYTES:
      yield shard
      shard, size = [], 0
    shard.append((own, mine))
    size += more
  if shard:
    yield shard
