"""Mistral: Llama with a sliding window on every layer, where one is set."""

from tooldev_jax.models.families.family import Family

MISTRAL = Family(
  model_type="mistral",
  architecture="MistralForCausalLM",
  defaults={
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "sliding_window": 4096,
  },
  fixed={"attention_dropout": 0.0},
  windows="all",
)
