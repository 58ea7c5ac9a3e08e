"""The tiny base that ships with the project.

A 1.3M-parameter Llama trained from nothing on the toy world's BASE domains,
which share no domain and no tool with the quickstart's. Muon on the matrices,
because it learned tool choice in a minute where untuned AdamW had not begun.

    python -m launch.make_base --config=configs/tiny_base.py \
      --workdir=runs/tiny_base
"""

from ml_collections import ConfigDict


def _train(schedule: str, **changes) -> dict:
  return {
    "optimizer": "muon",
    "learning_rate": 3e-3,
    "muon_learning_rate": 0.02,
    "beta2": 0.95,
    "schedule": schedule,
    "warmup_ratio": 0.02,
    "decay_ratio": 0.4,
    "clip_norm": 0.0,
    "compute_dtype": "float32",
    "attention": "einsum",
    "checkpoint_every": 500,
    "log_every": 50,
    **changes,
  }


def get_config() -> ConfigDict:
  return ConfigDict(
    {
      "seed": 0,
      "vocab_size": 4096,
      # A Llama: 4 layers of width 128.
      "model": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
      },
      "row_length": 384,
      # Share of tools whose words say nothing about what they are.
      "invented": 0.4,
      "phases": [
        {
          # Every token is trained: words recur within prompts, and expecting
          # that comes before copying into calls.
          "examples": 18000,
          "copying": 0.15,
          "views": (0.1, 0.1, 0.8),
          "prompts": 1.0,
          "plain": False,
          "mix": {
            "weights": (0.65, 0.0, 0.15, 0.0, 0.2),
            "max_tools": 1,
            "max_calls": 2,
          },
          "batch_examples": 20,
          "train": _train("constant"),
        },
      ],
    }
  )
