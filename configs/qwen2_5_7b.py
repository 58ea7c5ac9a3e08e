r"""Qwen2.5-7B-Instruct in the setting of configs/llama3_1_8b.py.

Reproduces: the paper's second base, on the same data. Calls are written the
way this family does (Hermes).

    python -m launch.run --config=configs/qwen2_5_7b.py --distributed \
      --workdir=gs://BUCKET/qwen2_5_7b

Hardware: a v5e:4x4 slice or one H100. Hours: not measured; `python -m
launch.fit --config=configs/qwen2_5_7b.py --topology=v5e:4x4` estimates them.
"""

from ml_collections import ConfigDict

from configs import llama3_1_8b


def get_config() -> ConfigDict:
  config = llama3_1_8b.get_config()
  config.base.path = "Qwen/Qwen2.5-7B-Instruct"
  config.view.call_format = "hermes"
  return config
