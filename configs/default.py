"""Every field of a run at its default, which is the paper's main experiment.

Other configs start from this one and change what they must. What each field
means, and where its default comes from, stands in `tooldev_jax.config`:

    python -m launch.run --config=configs/default.py --print_config
"""

from ml_collections import ConfigDict

from tooldev_jax import config


def get_config() -> ConfigDict:
  return config.to_config_dict(config.RunConfig)
