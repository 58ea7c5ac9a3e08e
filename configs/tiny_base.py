"""The tiny base that ships with the project.

A 1.3M-parameter Llama trained from nothing on the toy world's BASE domains,
which share no domain and no tool with the quickstart's. Muon on the matrices,
because it learned tool choice in a minute where untuned AdamW had not begun.

The rate must fall slowly: with a constant one, values were copied no better
after 2M tokens than after 1M, and 0.4M more under a falling one made a third
more calls right. More tokens have stopped paying: 4M of the last phase took
exact calls of unseen tools from 32 to 37 % (160 examples) and refusals from
none to a fifth.

Hardware: 2 CPU cores, 15M tokens, about 70 minutes when they are quiet.

    python -m launch.make_base --config=configs/tiny_base.py \
      --workdir=runs/tiny_base
"""

from ml_collections import ConfigDict


def _phase(
  schedule: str,
  *,
  examples: int,
  documents: float = 0.0,
  queries: float = 0.0,
  row_length: int = 256,
  copying: float = 0.05,
  plain: bool = False,
  weights: tuple[float, ...] = (0.3, 0.3, 0.12, 0.12, 0.16),
  max_tools: int = 3,
  max_turns: int = 3,
  decay_ratio: float = 0.6,
  rate: float = 1.0,
) -> dict:
  return {
    "examples": examples,
    "copying": copying,
    "views": (0.1, 0.1, 0.8),
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
    "batch_examples": 22,
    "train": {
      "optimizer": "muon",
      "learning_rate": 3e-3 * rate,
      "muon_learning_rate": 0.02 * rate,
      "beta2": 0.95,
      "schedule": schedule,
      "warmup_ratio": 0.01,
      "decay_ratio": decay_ratio,
      "clip_norm": 0.0,
      "compute_dtype": "float32",
      "attention": "einsum",
      "remat": "none",
      "checkpoint_every": 250,
      "log_every": 50,
    },
  }


def get_config() -> ConfigDict:
  return ConfigDict(
    {
      "seed": 0,
      # The shipped one: training it anew, with "", gives another one each
      # time, as `toy.tokenizer.train_tokenizer` says.
      "tokenizer": "tooldev_jax/assets/tiny_base",
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
      # Share of tools whose words say nothing about what they are.
      "invented": 0.5,
      "phases": [
        # First lessons: values of one word, said right after their label.
        # Queries are trained too: words recur within them, and expecting
        # that comes before copying into calls.
        _phase(
          "constant",
          examples=24000,
          copying=0.1,
          documents=0.1,
          queries=0.8,
          plain=True,
          weights=(0.4, 0.45, 0.0, 0.0, 0.15),
          max_tools=2,
          row_length=192,
        ),
        # The whole world.
        _phase("constant", examples=24000, documents=0.05, queries=0.3),
        _phase("trapezoid", examples=30000, decay_ratio=0.9),
        _phase("trapezoid", examples=26000, decay_ratio=0.95, rate=0.6),
        # Two tools, as the quickstart offers, and more to refuse: with a
        # sixth of refusals it never refused.
        _phase(
          "trapezoid",
          examples=40000,
          decay_ratio=0.95,
          rate=0.6,
          copying=0.03,
          weights=(0.2, 0.3, 0.13, 0.12, 0.25),
          max_tools=2,
        ),
      ],
    }
  )
