r"""Real documents, calls and queries, on two CPU cores with the tiny base.

Stage 1 on MCP documents, stage 2 on Seal-Tools, one round on TaskBench
queries, a seeded stratified slice of BFCL as evaluation. The tiny base knows
little of this world, so scores are low; what the run shows is that every part
takes real files, and its report says what was skipped or cut, and why.

    python -m launch.run --config=configs/real_small.py \
      --workdir=runs/real_small \
      --config.data.documents.path=mcp_servers.jsonl.gz \
      --config.data.examples.path=seal_tools_dev.jsonl.gz \
      --config.data.queries.path=taskbench.jsonl.gz \
      --config.data.development.path=seal_tools_test_in_domain.jsonl.gz \
      --config.data.test.path=seal_tools_test_out_domain.jsonl.gz \
      --config.evaluate.bfcl=bfcl

Hardware: 2 CPU cores, about 4 minutes when they are quiet.
"""

from ml_collections import ConfigDict

from configs import quickstart


def get_config() -> ConfigDict:
  config = quickstart.get_config()
  config.budget_minutes = 5.0
  config.toy.examples = 0
  config.toy.queries = 0
  config.toy.development = 0
  config.toy.test = 0

  data = config.data
  data.documents = {"path": "", "kind": "documents", "limit": 400}
  data.examples = {"path": "", "kind": "seal_tools", "limit": 300}
  data.queries = {"path": "", "kind": "taskbench", "limit": 60}
  data.queries_gold = {"path": "", "kind": "records", "limit": 0}
  data.development = {"path": "", "kind": "seal_tools", "limit": 40}
  data.test = {"path": "", "kind": "seal_tools", "limit": 60}
  # Real documents are long in the tiny base's tokens.
  data.row_length = 2048
  config.encode.max_length = 2048
  config.train.attention = "auto"  # skips other segments of such long rows
  config.train.remat = "products"

  config.adapt.epochs = 1
  config.decompose.epochs = 1
  config.sampler.prompt_buckets = [512, 1024, 2048]
  config.sampler.tail_buckets = [64, 256]
  config.sampler.rows = 32
  config.evolve.rounds = 1
  config.evolve.max_tool_tokens = 256
  config.evaluate.max_tool_tokens = 256
  config.evaluate.tool_making = 20
  config.evaluate.bfcl_slice = 30
  config.evaluate.bfcl_cases = 60
  return config
