r"""Will it fit? Compiles a config's programs for TPU chips you do not have.

    python -m launch.fit --config=configs/llama3_1_8b.py --topology=v5e:4x4 \
      [--what=train,sample] [--remat=auto] [--model_config=config.json]

Needs the package `libtpu` (requirements-tpu.txt), but no TPU, no weights and no
data. Of the base only config.json is read; figures of the data are flags. A
compilation takes about a minute on a laptop.

Exit status: 0 fits, 1 does not fit, 2 a mistake in config or flags.
"""

import os
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from launch import errors

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "What to fit.", lock_config=True
)
_TOPOLOGY = flags.DEFINE_string(
  "topology", None, "Chips: v5e:4x4, v6e:8x8, v5p:4x4x4, v4:4x4x4 and the like."
)
_WHAT = flags.DEFINE_list("what", ["train"], "Programs: train, sample.")
_STAGE = flags.DEFINE_enum(
  "stage", "decompose", ["adapt", "decompose", "round"], "Whose batch is used."
)
_REMAT = flags.DEFINE_list(
  "remat",
  [],
  "Policies to compile; auto: the lightest that fits. Empty: the config's.",
)
_MODEL_CONFIG = flags.DEFINE_string(
  "model_config", "", "A config.json instead of the base's."
)
_EXAMPLES = flags.DEFINE_integer("examples", 11300, "Labelled examples.")
_QUERIES = flags.DEFINE_integer("queries", 3000, "Unlabelled queries, in all.")
_EXAMPLE_TOKENS = flags.DEFINE_integer(
  "example_tokens", 768, "Mean tokens of a view of an example."
)
_TRAINED_SHARE = flags.DEFINE_float(
  "trained_share",
  0.375,
  "Share of a row's tokens that are trained, at most, where the stage's"
  " max_targets does not say.",
)
_EFFICIENCY = flags.DEFINE_float(
  "efficiency", 0.6, "Share of the bound that a run reaches, for the hours."
)


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  os.environ["JAX_PLATFORMS"] = "cpu"
  # Not above: importing JAX takes seconds, and --help should not.
  from tooldev_jax import config as configs
  from tooldev_jax.fit import report

  with errors.shown_plainly():
    config = configs.from_config_dict(configs.RunConfig, _CONFIG.value)
    question = report.Question(
      config=config,
      model_config=_MODEL_CONFIG.value,
      topology=_TOPOLOGY.value,
      stage=_STAGE.value,
      remat=tuple(_REMAT.value),
      examples=_EXAMPLES.value,
      queries=_QUERIES.value,
      example_tokens=_EXAMPLE_TOKENS.value,
      trained_share=_TRAINED_SHARE.value,
      efficiency=_EFFICIENCY.value,
    )
    sys.exit(0 if report.fits(question, _WHAT.value) else 1)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "topology"])
  app.run(main)
