"""Qwen2 and 2.5 (biased queries, keys, values) and Qwen3 (QK norm)."""

from tooldev_jax.models.families.family import Family

_SHARED_DEFAULTS = {
  "vocab_size": 151936,
  "hidden_size": 4096,
  "intermediate_size": 22016,
  "num_hidden_layers": 32,
  "num_attention_heads": 32,
  "num_key_value_heads": 32,
  "hidden_act": "silu",
  "max_position_embeddings": 32768,
  "rms_norm_eps": 1e-6,
  "tie_word_embeddings": False,
  "use_sliding_window": False,
  "sliding_window": 4096,
  "max_window_layers": 28,
  "layer_types": None,
}

QWEN2 = Family(
  model_type="qwen2",
  architecture="Qwen2ForCausalLM",
  defaults=_SHARED_DEFAULTS | {"head_dim": None},
  fixed={"attention_dropout": 0.0},
  qkv_bias=True,
  windows="late",
)

QWEN3 = Family(
  model_type="qwen3",
  architecture="Qwen3ForCausalLM",
  defaults=_SHARED_DEFAULTS | {"head_dim": 128, "attention_bias": False},
  fixed={"attention_dropout": 0.0},
  qkv_bias="attention_bias",
  out_bias="attention_bias",
  qk_norm=True,
  windows="late",
)
