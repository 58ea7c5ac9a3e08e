r"""Qwen2.5-1.5B-Instruct: the smallest base of the paper, which over-fits.

Reproduces: the paper (arXiv 2505.07512) sees this base fluctuate over the
rounds. Here each round restarts from the base, and is accepted on development
only. Data: those of configs/llama3_1_8b.py.

    python -m launch.run --config=configs/qwen2_5_1_5b.py \
      --workdir=runs/qwen2_5_1_5b

Hardware: one GPU of 24 GB, or v5e:2x2. Hours: not measured; `python -m
launch.fit --config=configs/qwen2_5_1_5b.py --topology=v5e:2x2` estimates them.
"""

from ml_collections import ConfigDict

from configs import qwen2_5_7b


def get_config() -> ConfigDict:
  config = qwen2_5_7b.get_config()
  config.base.path = "Qwen/Qwen2.5-1.5B-Instruct"
  config.hardware = "one 24 GB GPU"
  config.evolve.restart_from = "base"
  return config
