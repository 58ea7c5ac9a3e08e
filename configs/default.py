"""Every field of a run, with the settings of the paper's main experiment.

Other configs start from this one and change what they must. Training settings
are ToolACE's (arXiv 2409.00920, table 5) where it states them; what no source
states is chosen, and the dataclass that holds it says so.
"""

from ml_collections import ConfigDict


def _source() -> dict:
  return {"path": "", "kind": "records", "limit": 0}


def _stage() -> dict:
  return {
    "epochs": 3,  # passes over the stage's data; 0 skips the stage
    "learning_rate": 1e-4,  # peak
    "batch_examples": 48,  # examples a step
    "micro_batches": 1,  # parts of a step whose gradients are accumulated
    "max_targets": 0,  # trained tokens a row; 0: what the data needs
  }


def get_config() -> ConfigDict:
  return ConfigDict({
    "base": {
      "path": "",  # Hugging Face folder or hub id
      "dtype": "bfloat16",  # of the frozen weights
    },
    "seed": 0,  # root of every random choice
    "budget_minutes": 0.0,  # expected wall time on `hardware`; told
    "hardware": "",  # what that was measured on; told
    "toy": {  # the embedded world; no examples: none
      "seed": 0,
      "examples": 0,
      "queries": 0,
      "development": 0,
      "test": 0,
      "max_tools": 3,  # most tools offered in one example
      "max_calls": 2,  # most calls in one example
    },
    "data": {  # `{workdir}` in a path is the run's folder
      "documents": _source(),  # tools to learn definitions from (adapt)
      "examples": _source(),  # labelled queries (decompose)
      "queries": _source(),  # unlabelled queries (evolve)
      "queries_gold": _source(),  # their answers, for evaluation only
      "development": _source(),  # scored after every stage and round
      "test": _source(),  # scored at the end
      "max_bad_share": 0.05,  # unreadable rows of a file still accepted
      "decontaminate": {  # against development, test and BFCL
        "reasons": ("exact query", "near query"),  # or "tool name" as well
        "near": 0.6,  # share of word trigrams that makes queries near
        "min_words": 4,  # shorter queries are not compared
        "offered_tools": False,  # names of tools that no call uses count too
      },
      "row_length": 4096,  # tokens a packed row
    },
    "view": {
      "call_format": "pythonic",  # pythonic, hermes, llama or mistral
      "max_distractors": 5,  # tools that no call names, mixed in
      "keep_given": True,  # keep uncalled tools that the example offers
      "shuffle_tools": True,
      "keep_text": True,  # text beside gold calls is trained too
      "mask_names": 0.0,  # share of examples with meaningless names
      "shuffle_definitions": 0.0,  # share with parameters in another order
      "split_turns": False,  # every turn of a dialogue as its own example
    },
    "encode": {
      "prompt_style": "template",  # or toolace: tools in the system text
      "max_length": 4096,  # tokens; distractors are dropped to fit
      "turns": "last",  # assistant turns of a dialogue that are trained
      "strip_thoughts": True,  # remove <think> passages
    },
    "lora": {
      "rank": 16,
      "alpha": 32.0,
      "targets": (
        "q_proj", "k_proj", "v_proj", "o_proj",
        "gate_proj", "up_proj", "down_proj",
      ),
      "rank_stabilised": False,
    },
    "mesh": {"data": 1, "fsdp": -1, "tensor": 1},  # -1 takes what is left
    "train": {
      "schedule": "cosine",
      "warmup_ratio": 0.1,
      "optimizer": "adamw",
      "weight_decay": 0.0,
      "clip_norm": 1.0,
      "compute_dtype": "bfloat16",
      "remat": "products",  # what the backward pass keeps
      "attention": "auto",
      "checkpoint_every": 200,  # steps; 0 saves on SIGTERM only
      "log_every": 10,
      "profile_steps": "",  # "10:15" writes a trace
    },
    "adapt": _stage(),
    "decompose": _stage(),
    "round": _stage(),
    "sampler": {
      "prompt_buckets": (256, 512, 1024, 2048, 4096),
      "tail_buckets": (64, 256, 1024),
      "rows": 256,  # lanes that decode together
      "prefill_tokens": 16384,
    },
    "evolve": {  # see evolve/config.py for each field
      "rounds": 3,
      "queries_per_round": 0,  # 0 divides all queries evenly
      "tool_sets": 1,
      "samples": 8,
      "temperature": 0.8,
      "top_k": 50,
      "tool_temperature": 0.7,
      "max_tool_tokens": 1024,
      "max_call_tokens": 256,
      "min_vote_share": 0.5,
      "max_vote_share": 1.0,
      "grounded": True,
      "train_generation": True,
      "weight_by_share": True,
      "replay": 1.0,
      "restart_from": "last",
      "max_drop": 0.0,
      "max_over_call_rise": 0.05,
    },
    "evaluate": {
      "max_call_tokens": 256,
      "max_tool_tokens": 1024,
      "tool_making": 100,  # test queries that tools are made for
      "bfcl": "",  # folder of BFCL's files, or "package"
      "bfcl_slice": 200,  # cases after each stage and round; 0 takes none
      "bfcl_cases": 0,  # of base and final state; 0 takes all
    },
  })  # fmt: skip
