"""The families of checkpoints this project knows, as data.

What a field of config.json is when it is left out comes from transformers'
own config class; here stands what that class does not say.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Family:
  """What one family adds to the common decoder.

  A bias is True, False, or the name of the config.json field that says so.

  Attributes:
    model_type: `model_type` in config.json.
    architecture: the one entry of `architectures` that is supported.
    qkv_bias: q, k and v projections have a bias.
    out_bias: the attention output projection has a bias.
    mlp_bias: the MLP projections have a bias.
    qk_norm: queries and keys are normalised per head before RoPE.
    unit_offset_norm: norms scale by 1 + weight, multiplied in float32.
    sandwich_norm: attention and MLP outputs are normalised as well.
    scale_embeddings: embeddings are multiplied by sqrt(hidden size).
    activation: the field that names the MLP's activation.
    query_scalar: the field whose inverse square root scales queries; None
      for the head size.
    soft_caps: fields of the attention and of the final soft cap, or None.
    windows: which layers have a sliding window: none; "all" when
      `sliding_window` is set; "late" layers from `max_window_layers` on when
      `use_sliding_window`; "pattern" by `layer_types` (all but every n-th).
    pattern: n of "pattern" when the file names no layer types.
    local_rope: sliding layers have a RoPE of their own.
  """

  model_type: str
  architecture: str
  qkv_bias: bool | str = False
  out_bias: bool | str = False
  mlp_bias: bool | str = False
  qk_norm: bool = False
  unit_offset_norm: bool = False
  sandwich_norm: bool = False
  scale_embeddings: bool = False
  activation: str = "hidden_act"
  query_scalar: str | None = None
  soft_caps: tuple[str | None, str | None] = (None, None)
  windows: Literal["none", "all", "late", "pattern"] = "none"
  pattern: int = 0
  local_rope: bool = False


LLAMA = Family(
  model_type="llama",
  architecture="LlamaForCausalLM",
  qkv_bias="attention_bias",
  out_bias="attention_bias",
  mlp_bias="mlp_bias",
)

# Llama with a sliding window on every layer, where one is set.
MISTRAL = Family("mistral", "MistralForCausalLM", windows="all")

# Qwen2 and 2.5 have biased queries, keys and values; Qwen3 has QK norm.
QWEN2 = Family("qwen2", "Qwen2ForCausalLM", qkv_bias=True, windows="late")
QWEN3 = Family(
  model_type="qwen3",
  architecture="Qwen3ForCausalLM",
  qkv_bias="attention_bias",
  out_bias="attention_bias",
  qk_norm=True,
  windows="late",
)

GEMMA2 = Family(
  model_type="gemma2",
  architecture="Gemma2ForCausalLM",
  qkv_bias="attention_bias",
  out_bias="attention_bias",
  unit_offset_norm=True,
  sandwich_norm=True,
  scale_embeddings=True,
  activation="hidden_activation",
  query_scalar="query_pre_attn_scalar",
  soft_caps=("attn_logit_softcapping", "final_logit_softcapping"),
  windows="pattern",
  pattern=2,
)

# transformers reads an attention soft cap for Gemma 3 and leaves it unused.
GEMMA3 = dataclasses.replace(
  GEMMA2,
  model_type="gemma3_text",
  architecture="Gemma3ForCausalLM",
  qk_norm=True,
  soft_caps=(None, "final_logit_softcapping"),
  pattern=6,
  local_rope=True,
)

FAMILIES = {
  family.model_type: family
  for family in (LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA2, GEMMA3)
}
