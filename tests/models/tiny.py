"""Tiny configs for the tests of this room."""

from tooldev_jax.models.config import DecoderConfig

SHAPE = {
  "vocab_size": 40,
  "hidden_size": 16,
  "intermediate_size": 24,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "num_key_value_heads": 1,
  "max_position_embeddings": 64,
  "rms_norm_eps": 1e-6,
}
ARCHITECTURES = {
  "llama": "LlamaForCausalLM",
  "mistral": "MistralForCausalLM",
  "qwen2": "Qwen2ForCausalLM",
  "qwen3": "Qwen3ForCausalLM",
  "gemma2": "Gemma2ForCausalLM",
  "gemma3_text": "Gemma3ForCausalLM",
}


def fields(model_type="llama", **changes):
  """A config.json as a dict."""
  named = {
    "model_type": model_type,
    "architectures": [ARCHITECTURES[model_type]],
  }
  return SHAPE | named | {"head_dim": 8} | changes


def config(model_type="llama", **changes):
  return DecoderConfig.from_hf(fields(model_type, **changes))
