r"""The paper's main setting: Llama-3.1-8B-Instruct on ToolACE, three rounds.

Reproduces: ToolACE-DEV (arXiv 2505.07512), which reports 82.44 BFCL
single-turn overall for this base. Training settings are ToolACE's (arXiv
2409.00920, table 5).

Data: ToolACE's public release as data/toolace.json, for documents (the tools
of its system texts) and labelled examples; queries and development examples
of your own as data/queries.jsonl and data/development.jsonl. Flags such as
`--config.data.examples.path=` take others, and `--config.data.test.path=` a
test set beside BFCL.

    python -m launch.run --config=configs/llama3_1_8b.py --distributed \
      --workdir=gs://BUCKET/llama3_1_8b

Hardware: a v5e:4x4 slice (16 chips of 16 GB) or one H100. Hours: not measured;
`python -m launch.fit --config=configs/llama3_1_8b.py --topology=v5e:4x4`
compiles the programs and says what training takes at least.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.base.path = "meta-llama/Llama-3.1-8B-Instruct"
  config.hardware = "v5e:4x4"
  for role in ("documents", "examples"):
    config.data[role].path = "data/toolace.json"
    config.data[role].kind = "toolace"
  config.data.queries.path = "data/queries.jsonl"
  config.data.development.path = "data/development.jsonl"
  config.evaluate.bfcl = "package"
  # ToolACE takes 48 examples a step: about 10 packed rows, too few for the
  # 16 batch shards of this slice.
  for stage in ("adapt", "decompose", "round"):
    config[stage].batch_examples = 80
  return config
