r"""Prints training examples as the model gets them, in colour.

    python -m launch.show --config=configs/quickstart.py --stage=decompose \
      [--n=3] [--workdir=runs/quickstart]

Stages: adapt, decompose, or round_1, round_2, … of a run in --workdir. Only the
checkpoint's tokenizer is loaded. Exit status: 0 done, 2 a mistake.
"""

import tempfile
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from launch import errors

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Whose examples.", lock_config=True
)
_STAGE = flags.DEFINE_string("stage", "decompose", "Which stage's.")
_COUNT = flags.DEFINE_integer("n", 3, "How many.", lower_bound=1)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; a scratch folder if not given."
)


def stage_data(config: Any, workdir: Any, stage: str) -> tuple[Any, Any]:
  """(TrainData, ChatTokenizer) of a stage, as the pipeline makes them.

  Args:
    config: a RunConfig.
    workdir: the run's folder.
    stage: "adapt", "decompose" or "round_<number>".

  Raises:
    UserError: an unknown stage, a round that was not made, or no examples.
  """
  from tooldev_jax import inputs
  from tooldev_jax.data import encoding, loader, prepare, sources, tokenizer
  from tooldev_jax.errors import UserError

  kinds: tuple[str, ...] = ("generation", "invocation")
  if stage == "adapt":
    examples = inputs.read_inputs(config, workdir).documents
    kinds, settings = ("adaption",), config.adapt
  elif stage == "decompose":
    examples = inputs.read_inputs(config, workdir).examples
    settings = config.decompose
  elif stage.startswith("round_"):
    kept = workdir / stage / "kept.jsonl"
    examples = sources.read_examples(kept, "records").examples
    settings = config.round
  else:
    raise UserError(
      f"--stage={stage}: allowed: adapt, decompose, round_<number>"
    )
  chat = tokenizer.ChatTokenizer.load(config.base.path)
  encoder = encoding.Encoder(chat, config.view.call_format, config.encode)
  found = prepare.prepare(
    examples,
    encoder,
    prepare.PrepareConfig(kinds, config.seed, config.view),
  )
  plan = loader.LoaderConfig(
    row_length=config.data.row_length,
    batch_examples=settings.batch_examples,
    seed=config.seed,
    micro_batches=settings.micro_batches,
  )
  return loader.TrainData.build(found, plan, chat.pad_id), chat


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  import rich.console

  from tooldev_jax import config as configs
  from tooldev_jax import storage
  from tooldev_jax.data import show

  with errors.shown_plainly(), tempfile.TemporaryDirectory() as scratch:
    config = configs.from_config_dict(configs.RunConfig, _CONFIG.value)
    workdir = storage.absolute(_WORKDIR.value or scratch)
    data, chat = stage_data(config, workdir, _STAGE.value)
    show.show(rich.console.Console(), data, chat, _COUNT.value)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config"])
  app.run(main)
