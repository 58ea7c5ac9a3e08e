r"""Qwen2.5-7B-Instruct in the setting of configs/llama3_1_8b.py.

    python -m launch.run --config=configs/qwen2_5_7b.py --distributed \
      --workdir=gs://BUCKET/qwen2_5_7b --config.data.examples.path=...

Hardware: as there. Calls are written the way this family does (Hermes).
"""

from ml_collections import ConfigDict

from configs import llama3_1_8b


def get_config() -> ConfigDict:
  config = llama3_1_8b.get_config()
  config.base.path = "Qwen/Qwen2.5-7B-Instruct"
  config.view.call_format = "hermes"
  return config
