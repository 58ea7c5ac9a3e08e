"""Llama 2 and 3.x: the plain decoder; 3.1 on scales RoPE."""

from tooldev_jax.models.families.family import Family

LLAMA = Family(
  model_type="llama",
  architecture="LlamaForCausalLM",
  defaults={
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
  },
  fixed={"pretraining_tp": 1, "attention_dropout": 0.0},
  qkv_bias="attention_bias",
  out_bias="attention_bias",
  mlp_bias="mlp_bias",
)
