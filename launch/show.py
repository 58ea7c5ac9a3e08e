r"""Prints training examples as the model gets them, in colour.

    python -m launch.show --config=configs/quickstart.py --stage=decompose
    python -m launch.show --workdir=runs/quickstart --stage=round_1 --n=5

Stages: adapt, decompose, or round_1, round_2, … of a run in --workdir, whose
own config is taken where --config is not given. Only the checkpoint's tokenizer
is loaded. Exit status: 0 done, 2 a mistake.
"""

import tempfile
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from launch import errors

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Whose examples; that of --workdir if not given."
)
_STAGE = flags.DEFINE_string("stage", "decompose", "Which stage's.")
_COUNT = flags.DEFINE_integer("n", 3, "How many.", lower_bound=1)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; a scratch folder if not given."
)


def of_stage(config: Any, workdir: Any, stage: str) -> tuple[Any, Any]:
  """(TrainData, ChatTokenizer) of a stage, as the pipeline makes them.

  Args:
    config: a RunConfig.
    workdir: the run's folder.
    stage: "adapt", "decompose" or "round_<number>".

  Raises:
    UserError: an unknown stage, a round that was not made, or no examples.
  """
  from tooldev_jax import context, pipeline
  from tooldev_jax.data import encoding, stages, tokenizer

  chat = tokenizer.ChatTokenizer.load(config.base.path)
  encoder = encoding.Encoder(chat, config.view.call_format, config.encode)
  inputs, _ = context.read_inputs(config, workdir)
  found = pipeline.stage_sequences(config, workdir, inputs, encoder, stage)
  stages.require_some(stage, found)
  settings = stages.settings_of(config, stage)
  return stages.plan(found, settings, config, chat.pad_id), chat


def config_of(fields: Any, workdir: str | None) -> Any:
  """The RunConfig of --config, or that of the run in --workdir.

  Raises:
    UserError: neither is given, the config is wrong, or there is no run.
  """
  from tooldev_jax import config as configs
  from tooldev_jax import io, records
  from tooldev_jax.errors import UserError

  if fields is not None:
    return configs.from_config_dict(configs.RunConfig, fields)
  if workdir is None:
    raise UserError("give --config, or --workdir with a run in it")
  file = io.absolute(workdir) / "config.json"
  if not file.exists():
    raise UserError(f"{workdir}: no run is in this folder; give --config")
  return records.from_json(configs.RunConfig, io.read_json(file), "config")


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  import rich.console

  from tooldev_jax import io
  from tooldev_jax.data import show

  with errors.shown_plainly(), tempfile.TemporaryDirectory() as scratch:
    config = config_of(_CONFIG.value, _WORKDIR.value)
    workdir = io.absolute(_WORKDIR.value or scratch)
    data, chat = of_stage(config, workdir, _STAGE.value)
    show.show(rich.console.Console(), data, chat, _COUNT.value)


if __name__ == "__main__":
  app.run(main)
