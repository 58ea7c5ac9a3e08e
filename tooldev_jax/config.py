"""What a run is: a tree of frozen dataclasses, checked once, at the edge.

A wrong field name, type, value or combination is an error that names the
field and what is allowed, before anything is loaded. No other file knows
ml_collections.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ml_collections import ConfigDict

from tooldev_jax import records
from tooldev_jax.data.decontaminate import DecontaminateConfig
from tooldev_jax.data.encoding import EncodeOptions
from tooldev_jax.data.views import ViewOptions
from tooldev_jax.errors import UserError
from tooldev_jax.evolve.config import EvolveConfig
from tooldev_jax.models.lora import LoraConfig
from tooldev_jax.parallel.mesh import MeshConfig
from tooldev_jax.sample.params import SamplerConfig
from tooldev_jax.toy.records import ToyConfig
from tooldev_jax.train.config import TrainConfig

STAGES = ("adapt", "decompose", "evolve", "evaluate", "export")

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class BaseConfig:
  """The checkpoint to adapt.

  Attributes:
    path: a folder in Hugging Face form, or a hub id.
    dtype: of the frozen weights on the devices.
  """

  path: str
  dtype: str = "bfloat16"

  def __post_init__(self):
    if self.dtype not in ("bfloat16", "float32"):
      raise UserError(
        f"base.dtype: {self.dtype!r}; allowed: 'bfloat16', 'float32'"
      )


@dataclasses.dataclass(frozen=True)
class SourceConfig:
  """One input file.

  Attributes:
    path: of the file; `{workdir}` stands for the run's folder. Empty: none.
    kind: how to read it, a key of `data.sources.SOURCES`.
    limit: seeded choice of this many rows; 0 takes all.
  """

  path: str = ""
  kind: str = "records"
  limit: int = 0


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """The run's inputs.

  Attributes:
    documents: tools to learn definitions from (adapt); empty skips the stage.
    examples: labelled queries (decompose).
    queries: unlabelled queries (evolve).
    queries_gold: their answers, if known; only `evaluate` opens the file.
    development: scored after every stage and round; rounds are accepted on it.
    test: scored at the end.
    max_bad_share: share of unreadable rows of a file that is still accepted.
    decontaminate: what of documents, examples and queries is left out because
      development, test or BFCL has it.
    row_length: tokens a packed row.
  """

  documents: SourceConfig = SourceConfig()
  examples: SourceConfig = SourceConfig()
  queries: SourceConfig = SourceConfig()
  queries_gold: SourceConfig = SourceConfig()
  development: SourceConfig = SourceConfig()
  test: SourceConfig = SourceConfig()
  max_bad_share: float = 0.05
  decontaminate: DecontaminateConfig = DecontaminateConfig()
  row_length: int = 4096


@dataclasses.dataclass(frozen=True)
class StageConfig:
  """One stage of training; the rest of its settings are `train`'s.

  Attributes:
    epochs: passes over its data; 0 skips the stage.
    learning_rate: peak.
    batch_examples: examples a step.
    micro_batches: parts of a step whose gradients are accumulated.
    max_targets: trained tokens a packed row holds at most; 0 takes what the
      densest row of the data needs.
  """

  epochs: int = 3
  learning_rate: float = 1e-4
  batch_examples: int = 48
  micro_batches: int = 1
  max_targets: int = 0


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """What is measured.

  Attributes:
    max_call_tokens: longest answer with calls.
    max_tool_tokens: longest list of made tools.
    tool_making: queries of development and test that tools are made for.
    bfcl: folder with BFCL's files, "package" for those of bfcl-eval, or empty
      for none.
    bfcl_slice: cases of BFCL, seeded and stratified, that are answered after
      every stage and round; 0 takes none.
    bfcl_cases: cases that the base and the final state answer at the end,
      chosen likewise; 0 takes all.
  """

  max_call_tokens: int = 256
  max_tool_tokens: int = 1024
  tool_making: int = 100
  bfcl: str = ""
  bfcl_slice: int = 200
  bfcl_cases: int = 0

  def __post_init__(self):
    least = {"max_call_tokens": 1, "max_tool_tokens": 1}
    for name in (*least, "tool_making", "bfcl_slice", "bfcl_cases"):
      value, low = getattr(self, name), least.get(name, 0)
      if value < low:
        raise UserError(f"evaluate.{name}: {value}; at least {low}")


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """A whole run.

  Attributes:
    base: the checkpoint.
    seed: root of every random choice.
    budget_minutes: what the run is expected to take on `hardware`; told.
    hardware: what that was measured on; told.
    toy: the embedded world, written to `{workdir}/data` when it has examples.
    data: inputs.
    view: how examples become tasks.
    encode: how tasks become tokens.
    lora: the adapter.
    mesh: how devices are split.
    train: settings that all training stages share.
    adapt, decompose, round: the training stages.
    sampler: shapes of the sampler.
    evolve: the rounds.
    evaluate: what is measured.
  """

  base: BaseConfig
  seed: int = 0
  budget_minutes: float = 0.0
  hardware: str = ""
  toy: ToyConfig = ToyConfig()
  data: DataConfig = DataConfig()
  view: ViewOptions = ViewOptions()
  encode: EncodeOptions = EncodeOptions()
  lora: LoraConfig = LoraConfig()
  mesh: MeshConfig = MeshConfig()
  train: TrainConfig = TrainConfig()
  adapt: StageConfig = StageConfig()
  decompose: StageConfig = StageConfig()
  round: StageConfig = StageConfig()
  sampler: SamplerConfig = SamplerConfig()
  evolve: EvolveConfig = EvolveConfig()
  evaluate: EvaluateConfig = EvaluateConfig()

  def __post_init__(self):
    if self.encode.max_length > self.data.row_length:
      raise UserError(
        f"encode.max_length is {self.encode.max_length}, above"
        f" data.row_length {self.data.row_length}: such a stream fits no row"
      )
    if self.view.split_turns and self.encode.turns != "last":
      raise UserError(
        f"view.split_turns trains every turn; with encode.turns ="
        f' "{self.encode.turns}" earlier turns would be trained again: set'
        ' encode.turns = "last"'
      )
    longest = max(self.sampler.prompt_buckets)
    if longest > self.encode.max_length:
      raise UserError(
        f"sampler.prompt_buckets ends at {longest}, above encode.max_length"
        f" {self.encode.max_length}: prompts are never longer"
      )
    if self.decompose.epochs and not self.data.examples.path:
      raise UserError("data.examples.path is empty, and decompose needs it")
    if self.evolve.rounds and not self.data.queries.path:
      raise UserError("data.queries.path is empty, and evolve.rounds is not 0")
    if not self.data.development.path:
      raise UserError(
        "data.development.path is empty; rounds are accepted on it"
      )


def from_config_dict(kind: type[T], fields: ConfigDict) -> T:
  """The frozen form of a ConfigDict.

  Raises:
    UserError: names the field, what was found and what is allowed.
  """
  return records.from_json(kind, _plain(fields.to_dict()), "config")


def _plain(value: Any) -> Any:
  """Tuples become lists, as in JSON."""
  if isinstance(value, Mapping):
    return {k: _plain(v) for k, v in value.items()}
  if isinstance(value, Sequence) and not isinstance(value, str):
    return [_plain(x) for x in value]
  return value


def differences(old: Any, new: Any, where: str = "config") -> list[str]:
  """Where two JSON values differ, one line each."""
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    lines = []
    for key in sorted({*old, *new}):
      lines += differences(
        old.get(key, "(absent)"), new.get(key, "(absent)"), f"{where}.{key}"
      )
    return lines
  return [] if old == new else [f"{where}: was {old!r}, is now {new!r}"]
