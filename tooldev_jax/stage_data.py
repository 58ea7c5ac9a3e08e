"""What a stage is trained on: its streams, and their plan.

The pipeline trains on it and the viewer shows it, so both get it here.
"""

import dataclasses
import re

from etils import epath

from tooldev_jax.config import RunConfig, StageConfig
from tooldev_jax.data import instructions, prepare
from tooldev_jax.data.encoding import EncodedSet, Encoder
from tooldev_jax.data.loader import LoaderConfig, TrainData
from tooldev_jax.errors import UserError
from tooldev_jax.evolve.round import is_made, read_round
from tooldev_jax.inputs import Inputs
from tooldev_jax.toolcall.vocabulary import Example

TOO_MANY_TARGETS = "more trained tokens than max_targets"

_LABELLED = ("adapt", "decompose")
_DECOMPOSED = ("generation", "invocation")


class StageData:
  """The training data of one run, by stage.

  Args:
    config: of the run.
    workdir: the run's folder; streams are kept in its `cache`.
    inputs: what the run reads.
    encoder: for the run's checkpoint and call format.
  """

  def __init__(
    self,
    config: RunConfig,
    workdir: epath.Path,
    inputs: Inputs,
    encoder: Encoder,
  ):
    self._config = config
    self._workdir = workdir
    self._inputs = inputs
    self._encoder = encoder

  def streams(self, name: str) -> EncodedSet:
    """The streams of an epoch of "adapt", "decompose" or "round_<number>".

    Whoever asks for adapt's trains decompose next, so decompose's are looked
    at as well: a stage with nothing to learn is refused before any training.
    A round has no streams, replayed ones neither, where none of its own
    examples became one.

    Raises:
      UserError: there is no such stage, the round was not made yet, or no
        labelled example became a stream.
    """
    if name == "adapt" and self._config.decompose.epochs:
      self.streams("decompose")
    most = settings_of(self._config, name).max_targets
    found = _fitting(self._own(name), most)
    if name in _LABELLED:
      if not found.encoded:
        raise UserError(f"{name}: nothing to learn from: {why_none(found)}")
    elif found.encoded:
      replayed = self._replayed(self._config.evolve.replay)
      found = prepare.merge([found, _fitting(replayed, most)])
    return found

  def _own(self, name: str) -> EncodedSet:
    """What a stage or round learns for the first time."""
    if name == "adapt":
      return self._encode(self._inputs.documents, ("adaption",))
    if name == "decompose":
      return self._encode(self._inputs.examples, _DECOMPOSED)
    both = self._config.evolve.train_generation
    return self._encode(
      self._kept(name), _DECOMPOSED if both else ("invocation",)
    )

  def _kept(self, name: str) -> tuple[Example, ...]:
    """What the round kept."""
    folder = self._workdir / name
    if not is_made(folder):
      raise UserError(f"stage {name!r}: the round is not made: {folder}")
    return read_round(folder).kept

  def _encode(
    self, examples: tuple[Example, ...], kinds: tuple[str, ...]
  ) -> EncodedSet:
    settings = prepare.PrepareConfig(
      kinds=kinds, seed=self._config.seed, view=self._config.view
    )
    return prepare.prepare(
      examples, self._encoder, settings, cache=self._workdir / "cache"
    )

  def _replayed(self, share: float) -> EncodedSet:
    """A seeded share of what decompose learned."""
    whole = self._encode(self._inputs.examples, _DECOMPOSED)
    kept = tuple(
      stream
      for stream in whole.encoded
      if instructions.drawn(
        share, self._config.seed, stream.example_id, "replay"
      )
    )
    return dataclasses.replace(whole, encoded=kept)


def why_none(found: EncodedSet) -> str:
  """Why nothing became a stream, in words."""
  why = [f"{n} × {reason}" for reason, n in found.dropped.items()]
  why += [f"{n} × no {kind}" for kind, n in found.missing.items()]
  return ", ".join(why) or "there are no examples"


def _fitting(found: EncodedSet, most: int) -> EncodedSet:
  """What has no more trained tokens than a row may hold; 0 is no bound."""
  if not most:
    return found
  long = [s.example_id for s in found.encoded if s.num_trained > most]
  if not long:
    return found
  return dataclasses.replace(
    found,
    encoded=tuple(s for s in found.encoded if s.num_trained <= most),
    dropped_ids={**found.dropped_ids, TOO_MANY_TARGETS: tuple(long)},
  )


def settings_of(config: RunConfig, name: str) -> StageConfig:
  """How the stage or round `name` is trained.

  Raises:
    UserError: there is no such stage.
  """
  if name not in _LABELLED and not re.fullmatch(r"round_\d+", name):
    raise UserError(
      f"stage {name!r}: allowed: {', '.join(_LABELLED)}, round_<number>"
    )
  stage: StageConfig = getattr(config, name if name in _LABELLED else "round")
  return stage


def plan(
  streams: EncodedSet,
  stage: StageConfig,
  config: RunConfig,
  pad_id: int,
  row_multiple: int = 1,
) -> TrainData:
  """The batches of a stage.

  Args:
    streams: of an epoch.
    stage: how long, and how many examples a step.
    config: of the run.
    pad_id: of the tokenizer.
    row_multiple: product of the mesh's batch axes; 1 shows the same rows as
      any other, in other steps.

  Raises:
    UserError: there are no streams, or one fits no row.
  """
  return TrainData.build(
    streams,
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
