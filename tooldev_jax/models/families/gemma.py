"""Gemma 2 and 3 (text): local and global layers, soft caps, more norms."""

from tooldev_jax.models.families.family import Family

_SHARED_DEFAULTS = {
  "hidden_size": 2304,
  "intermediate_size": 9216,
  "num_hidden_layers": 26,
  "num_attention_heads": 8,
  "num_key_value_heads": 4,
  "head_dim": 256,
  "hidden_activation": "gelu_pytorch_tanh",
  "rms_norm_eps": 1e-6,
  "tie_word_embeddings": True,
  "attention_bias": False,
  "query_pre_attn_scalar": 256,
  "sliding_window": 4096,
  "layer_types": None,
}

GEMMA2 = Family(
  model_type="gemma2",
  architecture="Gemma2ForCausalLM",
  defaults=_SHARED_DEFAULTS
  | {
    "vocab_size": 256000,
    "max_position_embeddings": 8192,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
  },
  fixed={
    "attention_dropout": 0.0,
    "use_bidirectional_attention": None,
    # A second name of the activation, which transformers writes and ignores.
    "hidden_act": "gelu_pytorch_tanh",
  },
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

GEMMA3 = Family(
  model_type="gemma3_text",
  architecture="Gemma3ForCausalLM",
  defaults=_SHARED_DEFAULTS
  | {
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "final_logit_softcapping": None,
  },
  # transformers reads the attention soft cap of Gemma 3 and leaves it unused.
  fixed={
    "attention_dropout": 0.0,
    "use_bidirectional_attention": False,
    "attn_logit_softcapping": None,
  },
  qkv_bias="attention_bias",
  out_bias="attention_bias",
  qk_norm=True,
  unit_offset_norm=True,
  sandwich_norm=True,
  scale_embeddings=True,
  activation="hidden_activation",
  query_scalar="query_pre_attn_scalar",
  soft_caps=(None, "final_logit_softcapping"),
  windows="pattern",
  pattern=6,
  local_rope=True,
)
