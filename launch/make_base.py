r"""Trains a small base from nothing, or says what one can do.

    python -m launch.make_base --config=configs/tiny_base.py \
      --workdir=runs/tiny_base
    python -m launch.make_base --check=runs/tiny_base/base
"""

from absl import app, flags, logging
from ml_collections import config_flags

from launch import errors
from tooldev_jax import config, io
from tooldev_jax.errors import UserError
from tooldev_jax.toy import base, check

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to train.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_CHECK = flags.DEFINE_string("check", None, "Folder of a base to score.")
_EXAMPLES = flags.DEFINE_integer("examples", 400, "Examples a world, to score.")
_WRONG = flags.DEFINE_integer("wrong", 10, "Wrong answers a world, to print.")


def main(_) -> None:
  logging.set_verbosity(logging.INFO)
  with errors.shown_plainly():
    if _CHECK.value:
      folder = io.absolute(_CHECK.value)
      for name, examples in check.worlds(1, _EXAMPLES.value).items():
        print(check.report(name, check.ask(folder, examples), _WRONG.value))
      return
    if not (_CONFIG.value and _WORKDIR.value):
      raise UserError("give --config and --workdir, or --check")
    settings = config.from_config_dict(base.PretrainConfig, _CONFIG.value)
    folder = base.make_base(settings, io.absolute(_WORKDIR.value))
  logging.info("The base is in %s", folder)


if __name__ == "__main__":
  app.run(main)
