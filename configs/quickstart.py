r"""The whole loop on the embedded toy world and the shipped tiny base.

    bash launch/quickstart.sh
    python -m launch.run --config=configs/quickstart.py \
      --workdir=runs/quickstart

What it shows: a base that was trained on other domains learns the tools of a
new world from labelled examples, then improves on queries without labels.
Hardware: 2 CPU cores, about 8 minutes when they are quiet.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.base.path = "tooldev_jax/assets/tiny_base"
  config.base.dtype = "float32"
  config.budget_minutes = 10.0
  config.hardware = "2 quiet CPU cores"

  config.toy.examples = 2400
  config.toy.queries = 800
  config.toy.development = 200
  config.toy.test = 400
  config.toy.max_tools = 2  # as many as the tiny base tells apart
  for role in (
    "documents", "examples", "queries", "queries_gold", "development", "test"
  ):  # fmt: skip
    config.data[role].path = f"{{workdir}}/data/{role}.jsonl"
  config.data.row_length = 320

  config.view.max_distractors = 1
  config.encode.max_length = 320
  config.lora.rank = 16
  config.train.compute_dtype = "float32"
  config.train.attention = "einsum"
  config.train.remat = "none"
  config.train.checkpoint_every = 100
  config.train.log_every = 20

  config.adapt.epochs = 2
  config.adapt.learning_rate = 2e-3
  config.adapt.batch_examples = 16
  config.decompose.epochs = 2
  config.decompose.learning_rate = 2e-3
  config.decompose.batch_examples = 24
  config.round.epochs = 1
  config.round.learning_rate = 1e-3
  config.round.batch_examples = 24

  config.sampler.prompt_buckets = [64, 128, 256]
  config.sampler.tail_buckets = [64, 128]
  config.sampler.rows = 64
  config.sampler.prefill_tokens = 2048

  config.evolve.rounds = 2
  config.evolve.max_tool_tokens = 128
  config.evolve.max_call_tokens = 64
  config.evolve.replay = 0.5
  config.evaluate.max_call_tokens = 64
  config.evaluate.max_tool_tokens = 128
  config.evaluate.tool_making = 100
  return config
