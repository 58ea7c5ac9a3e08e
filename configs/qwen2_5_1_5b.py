r"""Qwen2.5-1.5B-Instruct: the smallest base of the paper, which over-fits.

The paper (arXiv 2505.07512) sees it fluctuate over the rounds; rounds are
therefore accepted on development only, and restart from the base.

    python -m launch.run --config=configs/qwen2_5_1_5b.py \
      --workdir=runs/qwen2_5_1_5b --config.data.examples.path=...

Hardware: one GPU of 24 GB, or v5e:2x2.
"""

from ml_collections import ConfigDict

from configs import qwen2_5_7b


def get_config() -> ConfigDict:
  config = qwen2_5_7b.get_config()
  config.base.path = "Qwen/Qwen2.5-1.5B-Instruct"
  config.hardware = "one 24 GB GPU"
  config.evolve.restart_from = "base"
  return config
