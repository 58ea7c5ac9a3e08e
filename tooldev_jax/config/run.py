"""The rounds, the evaluation, and the run as a whole."""

import dataclasses
from collections.abc import Iterator

from tooldev_jax.config.inputs import (
  LARGEST_SEED,
  BaseConfig,
  DataConfig,
  EncodeConfig,
  ToyConfig,
  ViewConfig,
)
from tooldev_jax.config.settings import Settings, group, setting
from tooldev_jax.config.training import (
  LoraConfig,
  MeshConfig,
  SamplerConfig,
  StageConfig,
  TrainConfig,
)

STAGES = ("adapt", "decompose", "evolve", "evaluate", "export")


@dataclasses.dataclass(frozen=True)
class EvolveConfig(Settings):
  """The rounds of self-evolution.

  All defaults but `rounds` are chosen: arXiv 2505.07512 says that several
  answers are sampled and the majority taken, not how many, how warm, or when
  to abstain.
  """

  rounds: int = setting(
    3, "how many; the paper runs 3", at_least=0, decides="nothing"
  )
  queries_per_round: int = setting(
    0, "queries a round takes; 0 divides all of them evenly", at_least=0
  )
  tool_sets: int = setting(1, "sets of tools made for a query", at_least=1)
  samples: int = setting(
    8, "calls sampled for each set of tools; they vote", at_least=1
  )
  temperature: float = setting(0.8, "of calls", at_least=0)
  top_k: int = setting(50, "of calls; 0 is off", at_least=0)
  tool_temperature: float = setting(
    0.7, "of made tools; the first set is greedy at 0", at_least=0
  )
  max_tool_tokens: int = setting(1024, "longest list of made tools", at_least=1)
  max_call_tokens: int = setting(256, "longest calls", at_least=1)
  min_vote_share: float = setting(
    0.5,
    "least share of all samples, malformed ones too, that the winner needs",
    at_least=0,
    at_most=1,
  )
  max_vote_share: float = setting(
    1.0, "most share that still teaches; 1 keeps all", at_least=0, at_most=1
  )
  grounded: bool = setting(
    True, "drop samples with a value that no message of the query holds"
  )
  train_generation: bool = setting(
    True, "also train query -> made tools of what was kept"
  )
  weight_by_share: bool = setting(
    True, "weigh a kept example by its vote share"
  )
  replay: float = setting(
    1.0,
    "labelled examples mixed in, as a share of decompose's",
    at_least=0,
    at_most=1,
  )
  restart_from: str = setting(
    "last",
    "adapter that a round trains on: the last, or a fresh one on the base",
    one_of=("last", "base"),
  )
  max_drop: float = setting(
    0.0,
    "fall of the development score that is still accepted",
    at_least=0,
    at_most=1,
  )
  max_over_call_rise: float = setting(
    0.05,
    "rise of the development over-call rate that is still accepted",
    at_least=0,
    at_most=1,
  )

  def combinations(self) -> Iterator[str]:
    if self.min_vote_share > self.max_vote_share:
      yield (
        f"min_vote_share: {self.min_vote_share} is above max_vote_share"
        f" {self.max_vote_share}: nothing could be kept"
      )

  def round_size(self, queries: int) -> int:
    """Queries that each round takes of so many."""
    return self.queries_per_round or queries // max(1, self.rounds)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Settings):
  """What is measured."""

  max_call_tokens: int = setting(256, "longest answer with calls", at_least=1)
  max_tool_tokens: int = setting(1024, "longest list of made tools", at_least=1)
  tool_making: int = setting(
    100, "test queries that tools are made for", at_least=0
  )
  bfcl: str = setting(
    "", "folder of BFCL's files; package: those of bfcl-eval; empty: none"
  )
  bfcl_slice: int = setting(
    200,
    "cases of BFCL (seeded, stratified) after every stage and round; 0: none",
    at_least=0,
  )
  bfcl_cases: int = setting(
    0, "cases that the base and the final state answer; 0: all", at_least=0
  )


@dataclasses.dataclass(frozen=True)
class RunConfig(Settings):
  """A whole run."""

  base: BaseConfig = group(BaseConfig, "the checkpoint to adapt", "adapt")
  seed: int = setting(
    0,
    "root of every random choice",
    at_least=0,
    at_most=LARGEST_SEED,
    decides="adapt",
  )
  budget_minutes: float = setting(
    0.0,
    "what the run is expected to take on `hardware`; only told",
    at_least=0,
    decides="nothing",
  )
  hardware: str = setting(
    "", "what that was measured on; only told", decides="nothing"
  )
  toy: ToyConfig = group(ToyConfig, "the embedded world", "decompose")
  data: DataConfig = group(DataConfig, "the run's inputs", "adapt")
  view: ViewConfig = group(
    ViewConfig, "how examples become training tasks", "decompose"
  )
  encode: EncodeConfig = group(
    EncodeConfig, "how training tasks become tokens", "adapt"
  )
  lora: LoraConfig = group(LoraConfig, "the shape of the adapter", "adapt")
  mesh: MeshConfig = group(MeshConfig, "how devices are split", "nothing")
  train: TrainConfig = group(
    TrainConfig, "what all training stages share", "adapt"
  )
  adapt: StageConfig = group(StageConfig, "learning definitions", "adapt")
  decompose: StageConfig = group(
    StageConfig, "learning to make and call tools", "decompose"
  )
  round: StageConfig = group(StageConfig, "learning in a round", "rounds")
  sampler: SamplerConfig = group(
    SamplerConfig, "shapes of the sampler", "nothing"
  )
  evolve: EvolveConfig = group(
    EvolveConfig, "the rounds of self-evolution", "rounds"
  )
  evaluate: EvaluateConfig = group(
    EvaluateConfig, "what is measured", "evaluate"
  )

  @property
  def rounds(self) -> int:
    """Rounds to make: none where a round would train no epoch."""
    return self.evolve.rounds if self.round.epochs else 0

  def training(self, stage: StageConfig) -> TrainConfig:
    """`train` with a stage's own learning rate."""
    rate = stage.learning_rate or self.train.learning_rate
    return dataclasses.replace(self.train, learning_rate=rate)

  def combinations(self) -> Iterator[str]:
    longest = max(self.sampler.prompt_buckets, default=0)
    if not self.base.path:
      yield "base.path: empty; a folder or hub id is needed"
    if self.encode.max_length > self.data.row_length:
      yield (
        f"encode.max_length: {self.encode.max_length} is above"
        f" data.row_length {self.data.row_length}: such a sequence fits no row"
      )
    if self.view.split_turns and self.encode.turns != "last":
      yield (
        "view.split_turns trains every turn; with encode.turns ="
        f' "{self.encode.turns}" earlier turns would be trained again: set'
        ' encode.turns = "last"'
      )
    if longest > self.encode.max_length:
      yield (
        f"sampler.prompt_buckets: ends at {longest}, above encode.max_length"
        f" {self.encode.max_length}: prompts are never longer"
      )
    if self.decompose.epochs and not self.data.examples.path:
      yield "data.examples.path: empty, and decompose needs it"
    if self.rounds and not self.data.queries.path:
      yield "data.queries.path: empty, and evolve.rounds is not 0"
    if not self.data.development.path:
      yield "data.development.path: empty, and rounds are accepted on it"
