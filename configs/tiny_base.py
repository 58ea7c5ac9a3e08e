"""The tiny base that ships with the project.

A 3.9M-parameter Llama trained from nothing on the toy world's BASE domains,
which share no domain and no tool with the quickstart's. Muon on the matrices,
because it learned tool choice in a minute where untuned AdamW had not begun.
Each phase after the first ends with a low rate, so that each leaves a base
that can be used: `<workdir>/phase_<k>/base`.

Hardware: 2 CPU cores, 27M tokens, about 2.5 hours when they are quiet.

    python -m launch.make_base --config=configs/tiny_base.py \
      --workdir=runs/tiny_base
"""

from ml_collections import ConfigDict


def _phase(
  schedule: str,
  *,
  examples: int,
  copying: float = 0.03,
  documents: float = 0.0,
  queries: float = 0.0,
  views: tuple[float, ...] = (0.06, 0.08, 0.76, 0.1),
  plain: bool = False,
  weights: tuple[float, ...] = (0.24, 0.28, 0.14, 0.14, 0.2),
  max_tools: int = 3,
  max_turns: int = 3,
  row_length: int = 320,
  decay_ratio: float = 0.5,
  rate: float = 1.0,
) -> dict:
  return {
    "examples": examples,
    "copying": copying,
    "views": views,
    "documents": documents,
    "queries": queries,
    "plain": plain,
    "mix": {
      "weights": weights,
      "max_tools": max_tools,
      "max_calls": 2,
      "max_turns": max_turns,
    },
    "row_length": row_length,
    "batch_examples": 24,
    "train": {
      "optimizer": "muon",
      "learning_rate": 3e-3 * rate,
      "muon_learning_rate": 0.02 * rate,
      "beta2": 0.95,
      "schedule": schedule,
      "warmup_ratio": 0.01,
      "decay_ratio": decay_ratio,
      "final_ratio": 0.02,
      "clip_norm": 0.0,
      "compute_dtype": "float32",
      "attention": "einsum",
      "remat": "none",
      "checkpoint_every": 100,
      "log_every": 25,
    },
  }


def get_config() -> ConfigDict:
  return ConfigDict(
    {
      "seed": 0,
      # A new one; with the folder of another base, that base's.
      "tokenizer": "",
      "vocab_size": 5120,
      # A Llama: 4 layers of width 256.
      "model": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 32,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
      },
      # Share of tools whose words say nothing about what they are.
      "invented": 0.35,
      "phases": [
        # First lessons: values of one word, said right after their label.
        # Queries are trained too: words recur within them, and expecting
        # that comes before copying into calls.
        _phase(
          "constant",
          examples=16000,
          copying=0.2,
          documents=0.1,
          queries=0.8,
          views=(0.0, 0.0, 0.85, 0.15),
          plain=True,
          weights=(0.4, 0.4, 0.05, 0.0, 0.15),
          max_tools=2,
          max_turns=1,
          row_length=192,
        ),
        # The whole world, at first with the queries trained too.
        _phase("trapezoid", examples=26000, copying=0.06, queries=0.3),
        _phase("trapezoid", examples=40000, rate=0.8),
        _phase("trapezoid", examples=60000, decay_ratio=0.7, rate=0.8),
        _phase("trapezoid", examples=80000, decay_ratio=0.9, rate=0.6),
      ],
    }
  )
