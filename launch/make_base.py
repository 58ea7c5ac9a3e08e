r"""Trains a small base from nothing.

    python -m launch.make_base --config=configs/tiny_base.py \
      --workdir=runs/tiny_base
"""

from absl import app, flags, logging
from ml_collections import config_flags

from launch import errors
from tooldev_jax import config, io
from tooldev_jax.toy import base

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to train.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")


def main(_) -> None:
  logging.set_verbosity(logging.INFO)
  with errors.shown_plainly():
    settings = config.from_config_dict(base.PretrainConfig, _CONFIG.value)
    folder = base.make_base(settings, io.absolute(_WORKDIR.value))
  logging.info("The base is in %s", folder)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  app.run(main)
