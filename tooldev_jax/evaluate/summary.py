"""What a run did and how it scored: the one record that a report shows.

The pipeline fills a `RunSummary`; `report` and `terminal` draw it and compute
nothing. All that depends on the clock or the machine lies in `clock`, so that
two runs of one config have equal summaries but for that field.
"""

import dataclasses
from collections.abc import Mapping

from tooldev_jax import io, records
from tooldev_jax.clock import Clock
from tooldev_jax.data.inputs import Notice
from tooldev_jax.evaluate.bfcl import BfclScores
from tooldev_jax.evaluate.intervals import Comparison
from tooldev_jax.evaluate.labels import LabelScores
from tooldev_jax.evaluate.metrics import CallScores
from tooldev_jax.evaluate.tool_making import ToolScores


@dataclasses.dataclass(frozen=True)
class StageSummary:
  """One state of the model: the base, or what a stage or round made of it.

  Attributes:
    name: "base", "adapt", "decompose", "round 1", …
    note: one sentence about it, if there is something to say.
    started_from: the stage that its training started from; "" for none.
    accepted: False when a round was rolled back; its scores are still shown.
    calls: scores on the evaluation set; None if it was not evaluated.
    tools: tool making on the same set.
    bfcl_slice: official scores on a slice, the same for every stage.
    bfcl: official scores on all cases of the run, of the first and the final
      state.
    change: exact calls against the stage in `started_from`.
    examples: examples it was trained on; 0 for the base.
    tokens: tokens whose loss was trained on.
    loss_steps: step of each recorded loss.
    losses: training loss at these steps, mean nats a trained token.
  """

  name: str
  note: str = ""
  started_from: str = ""
  accepted: bool = True
  calls: CallScores | None = None
  tools: ToolScores | None = None
  bfcl_slice: BfclScores | None = None
  bfcl: BfclScores | None = None
  change: Comparison | None = None
  examples: int = 0
  tokens: int = 0
  loss_steps: tuple[int, ...] = ()
  losses: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class RoundSummary:
  """One round of self-evolution.

  Attributes:
    name: as its stage's.
    statuses: queries by what became of them, "kept" among them, in the
      ledger's words.
    sample_reasons: sampled answers that had no vote, by reason.
    vote_shares: share of the winner for each query that came to a vote, in
      [0, 1].
    labels: precision of the kept labels, where gold is known.
    diversity: how varied the kept examples are, by the figure's name.
    accepted: whether the round's adapter was taken over.
    verdict: why, in one sentence.
  """

  name: str
  statuses: Mapping[str, int]
  sample_reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
  vote_shares: tuple[float, ...] = ()
  labels: LabelScores | None = None
  diversity: Mapping[str, float] = dataclasses.field(default_factory=dict)
  accepted: bool = True
  verdict: str = ""

  @property
  def queries(self) -> int:
    """Queries that the round took."""
    return sum(self.statuses.values())

  @property
  def kept(self) -> int:
    """Queries that became training examples."""
    return self.statuses.get("kept", 0)

  @property
  def kept_share(self) -> float | None:
    """Of the queries; None without any."""
    return self.kept / self.queries if self.queries else None


@dataclasses.dataclass(frozen=True)
class ShownSample:
  """One answer beside its gold.

  Attributes:
    stage: name of the stage that answered.
    example_id: the example.
    category: its category.
    outcome: what became of it, one of `metrics.OUTCOMES`.
    query: what was asked.
    tools: names of the tools at hand.
    gold: the gold calls, rendered.
    output: the answer as generated.
  """

  stage: str
  example_id: str
  category: str
  outcome: str
  query: str
  tools: tuple[str, ...]
  gold: str
  output: str


@dataclasses.dataclass(frozen=True)
class RunSummary:
  """A run.

  Attributes:
    title: of the report.
    facts: what ran: base, data, seed, code version, …, in order of display.
    stages: states of the model in the order they were made.
    rounds: of self-evolution.
    garbage: scores of a model that emits garbage, to read the others against.
    garbage_bfcl: the same under the official checker.
    samples: good and bad answers.
    notices: what was skipped, cut or shortened, and why.
    config: the config as text.
    next_step: one command to try next; "" for none.
    clock: all that is not the same in a repeated run.
  """

  title: str
  facts: Mapping[str, str]
  stages: tuple[StageSummary, ...]
  rounds: tuple[RoundSummary, ...] = ()
  garbage: CallScores | None = None
  garbage_bfcl: BfclScores | None = None
  samples: tuple[ShownSample, ...] = ()
  notices: tuple[Notice, ...] = ()
  config: str = ""
  next_step: str = ""
  clock: Clock | None = None

  @property
  def final(self) -> StageSummary | None:
    """The last accepted stage, which is what was exported."""
    accepted = [stage for stage in self.stages if stage.accepted]
    return accepted[-1] if accepted else None


def write_summary(path: io.PathLike, summary: RunSummary) -> None:
  """Writes a summary as JSON, atomically."""
  io.write_json(path, records.to_json(summary))


def read_summary(path: io.PathLike) -> RunSummary:
  """Reads what `write_summary` wrote.

  Raises:
    MismatchError: the file holds something else.
  """
  return records.from_json(RunSummary, io.read_json(path), str(path))
