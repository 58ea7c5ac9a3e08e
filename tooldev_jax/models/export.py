"""A base with its adapter merged in, as a folder of its own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from tooldev_jax import io
from tooldev_jax.config import LoraConfig
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.checkpoint import Loaded, on_host, save_model
from tooldev_jax.models.lora import merge
from tooldev_jax.models.transformer import Decoder

# What lies beside the weights and belongs with them: tokenizer, chat template
# and generation defaults.
_BESIDE = (
  "tokenizer*",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template*",
  "generation_config.json",
)
_PROBE_ROWS, _PROBE_TOKENS = 4, 64


@dataclasses.dataclass(frozen=True)
class MergeReport:
  """What merging did to the function.

  Attributes:
    fingerprint: of the merged model, as `load_model` will give it.
    max_logit_difference: largest difference of a logit between base plus
      adapter and the merged weights, on seeded random tokens, both computed
      in the base's dtype. Not zero: the sum is rounded to that dtype once.
    max_logit: largest absolute logit there, for scale.
    copied: files copied from beside the base.
  """

  fingerprint: str
  max_logit_difference: float
  max_logit: float
  copied: tuple[str, ...]


def export_merged(
  base: Loaded,
  adapter: Any,
  lora: LoraConfig,
  folder: epath.PathLike,
  max_shard_bytes: int = 1 << 30,
) -> MergeReport:
  """Merges (float32 sum, rounded once) and writes what transformers loads.

  Holds a second copy of the targeted weights on the devices while it works.

  Args:
    base: the base model.
    adapter: factors trained on it.
    lora: their shape.
    folder: where to.
    max_shard_bytes: largest safetensors file.
  """
  folder = epath.Path(folder)
  merged = jax.jit(merge, static_argnums=2)(base.params, adapter, lora)
  difference, largest = _compare(base, adapter, lora, merged)
  copied = _copy_beside(base.folder, folder)
  fingerprint = save_model(merged, base.config, folder, max_shard_bytes)
  return MergeReport(fingerprint, difference, largest, copied)


def _compare(
  base: Loaded, adapter: Any, lora: LoraConfig, merged: Any
) -> tuple[float, float]:
  """Largest difference of logits, and largest logit, on random tokens."""
  shape = (_PROBE_ROWS, _PROBE_TOKENS)
  vocab_size = base.config.vocab_size
  tokens = jax.random.randint(jax.random.key(0), shape, 0, vocab_size)
  positions = jnp.broadcast_to(jnp.arange(shape[1]), shape)
  attend = packed_attention(jnp.ones(shape, jnp.int32), backend="einsum")
  dtype = base.params["embed_tokens"]["embedding"].dtype
  decoder = Decoder(base.config, lora, dtype=dtype)

  @jax.jit
  def logits(variables: Any) -> jax.Array:
    hidden, _ = decoder.apply(variables, tokens, positions, attend)
    return decoder.unembed(variables["params"], hidden)

  unmerged = on_host(logits({"params": base.params, "lora": adapter}))
  difference = np.abs(unmerged - on_host(logits({"params": merged})))
  return float(difference.max()), float(np.abs(unmerged).max())


def _copy_beside(source: epath.Path, folder: epath.Path) -> tuple[str, ...]:
  if jax.process_index() != 0 or source == folder:
    return ()
  paths = {path for pattern in _BESIDE for path in source.glob(pattern)}
  for path in sorted(paths):
    io.write_bytes(folder / path.name, path.read_bytes())
  return tuple(sorted(path.name for path in paths))
