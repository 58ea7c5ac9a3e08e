"""What a stage of training learns from: examples to sequences to batches.

The pipeline trains on it and the viewer shows it, so both get it here.
"""

import dataclasses
import re
from collections.abc import Sequence

from tooldev_jax import io
from tooldev_jax.config import RunConfig, StageConfig
from tooldev_jax.data import instructions, prepare
from tooldev_jax.data.encoding import EncodedSet, Encoder
from tooldev_jax.data.loader import LoaderConfig, TrainData
from tooldev_jax.errors import UserError
from tooldev_jax.toolcall.vocabulary import Example

TOO_MANY_TARGETS = "more trained tokens than max_targets"

LABELLED_STAGES = ("adapt", "decompose")
_DECOMPOSED = ("generation", "invocation")


def settings_of(config: RunConfig, name: str) -> StageConfig:
  """How the stage or round `name` is trained.

  Raises:
    UserError: there is no such stage.
  """
  if name in LABELLED_STAGES:
    stage: StageConfig = getattr(config, name)
    return stage
  if re.fullmatch(r"round_\d+", name):
    return config.round
  raise UserError(
    f"stage {name!r}: allowed: {', '.join(LABELLED_STAGES)}, round_<number>"
  )


def views_of(config: RunConfig, name: str) -> tuple[str, ...]:
  """The views that a stage or round makes of its examples."""
  if name == "adapt":
    return ("adaption",)
  if name == "decompose" or config.evolve.train_generation:
    return _DECOMPOSED
  return ("invocation",)


def encode_stage(
  name: str,
  examples: Sequence[Example],
  config: RunConfig,
  encoder: Encoder,
  cache: io.PathLike,
) -> EncodedSet:
  """The sequences of one epoch of a stage or round, without replay.

  Args:
    name: "adapt", "decompose" or "round_<number>".
    examples: documents, labelled examples, or what the round kept.
    config: of the run.
    encoder: for the run's checkpoint and call format.
    cache: folder that keeps encoded sequences.

  Raises:
    UserError: there is no such stage.
  """
  most = settings_of(config, name).max_targets
  kinds = views_of(config, name)
  return _fitting(_encode(kinds, examples, config, encoder, cache), most)


def add_replay(
  own: EncodedSet,
  labelled: Sequence[Example],
  config: RunConfig,
  encoder: Encoder,
  cache: io.PathLike,
) -> EncodedSet:
  """A round's own sequences with a seeded share of those of decompose.

  A round without sequences of its own gets none: there is nothing to learn.
  """
  if not own.encoded:
    return own
  whole = _encode(_DECOMPOSED, labelled, config, encoder, cache)
  share = config.evolve.replay
  kept = tuple(
    sequence
    for sequence in whole.encoded
    if instructions.drawn(share, config.seed, sequence.example_id, "replay")
  )
  replayed = dataclasses.replace(whole, encoded=kept)
  most = config.round.max_targets
  return prepare.merge([own, _fitting(replayed, most)])


def require_some(name: str, found: EncodedSet) -> None:
  """Makes sure that there is something to learn.

  Raises:
    UserError: there is not; says why.
  """
  if not found.encoded:
    raise UserError(f"{name}: nothing to learn from: {why_none(found)}")


def why_none(found: EncodedSet) -> str:
  """Why nothing became a sequence, in words."""
  why = [f"{n} × {reason}" for reason, n in found.dropped.items()]
  why += [f"{n} × no {kind}" for kind, n in found.missing.items()]
  return ", ".join(why) or "there are no examples"


def plan(
  sequences: EncodedSet,
  stage: StageConfig,
  config: RunConfig,
  pad_id: int,
  row_multiple: int = 1,
) -> TrainData:
  """The batches of a stage.

  Args:
    sequences: of one epoch.
    stage: how long, and how many examples a step.
    config: of the run.
    pad_id: of the tokenizer.
    row_multiple: product of the mesh's batch axes; 1 shows the same rows as
      any other, in other steps.

  Raises:
    UserError: there are no sequences, or one fits no row.
  """
  return TrainData(
    sequences,
    LoaderConfig(
      row_length=config.data.row_length,
      batch_examples=stage.batch_examples,
      epochs=stage.epochs,
      seed=config.seed,
      micro_batches=stage.micro_batches,
      max_targets=stage.max_targets or None,
      row_multiple=row_multiple,
    ),
    pad_id,
  )


def _encode(
  kinds: tuple[str, ...],
  examples: Sequence[Example],
  config: RunConfig,
  encoder: Encoder,
  cache: io.PathLike,
) -> EncodedSet:
  settings = prepare.PrepareConfig(
    kinds=kinds, seed=config.seed, view=config.view
  )
  return prepare.prepare(examples, encoder, settings, cache=cache)


def _fitting(found: EncodedSet, most: int) -> EncodedSet:
  """What has no more trained tokens than a row may hold; 0 is no bound."""
  long = [s.example_id for s in found.encoded if s.num_trained > most > 0]
  if not long:
    return found
  return dataclasses.replace(
    found,
    encoded=tuple(s for s in found.encoded if s.num_trained <= most),
    dropped_ids={**found.dropped_ids, TOO_MANY_TARGETS: tuple(long)},
  )
