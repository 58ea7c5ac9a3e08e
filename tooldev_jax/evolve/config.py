"""What a round of self-evolution may choose."""

import dataclasses

from tooldev_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class EvolveConfig:
  """Settings of the rounds; the paper states the method, not these figures.

  All defaults are chosen: arXiv 2505.07512 says that several answers are
  sampled and the majority taken, not how many, how warm, or when to abstain.

  Attributes:
    rounds: how many; the paper runs 3.
    queries_per_round: unlabelled queries a round takes, each used once; 0
      divides all of them evenly.
    tool_sets: sets of tools that the model makes for a query.
    samples: calls sampled for each set; they vote.
    temperature: of calls.
    top_k: of calls; 0 is off.
    tool_temperature: of made tools; the first set of a query is greedy at 0.
    max_tool_tokens: longest list of made tools.
    max_call_tokens: longest calls.
    min_vote_share: least share of all samples, malformed ones included, that
      the winner needs.
    max_vote_share: most share that still teaches something; 1 keeps all.
    grounded: drop samples with a value that no message of the query holds.
    train_generation: also train on query -> made tools of what was kept.
    weight_by_share: weigh a kept example by its vote share.
    replay: labelled examples mixed in, as a share of stage 2's; 1 is all.
    restart_from: adapter a round trains on: "last" or "base" (a fresh one,
      as in ReST-EM).
    max_drop: fall of the development score that is still accepted.
    max_over_call_rise: rise of the development over-call rate that is still
      accepted; made examples always hold calls, and replay has to balance it.
  """

  rounds: int = 3
  queries_per_round: int = 0
  tool_sets: int = 1
  samples: int = 8
  temperature: float = 0.8
  top_k: int = 50
  tool_temperature: float = 0.7
  max_tool_tokens: int = 512
  max_call_tokens: int = 128
  min_vote_share: float = 0.5
  max_vote_share: float = 1.0
  grounded: bool = True
  train_generation: bool = True
  weight_by_share: bool = True
  replay: float = 1.0
  restart_from: str = "last"
  max_drop: float = 0.0
  max_over_call_rise: float = 0.05

  def __post_init__(self):
    for name in ("samples", "tool_sets", "max_tool_tokens", "max_call_tokens"):
      if getattr(self, name) < 1:
        raise UserError(f"evolve.{name}: {getattr(self, name)}; at least 1")
    for name in (
      "min_vote_share",
      "max_vote_share",
      "replay",
      "max_drop",
      "max_over_call_rise",
    ):
      if not 0 <= getattr(self, name) <= 1:
        raise UserError(f"evolve.{name}: {getattr(self, name)}; from 0 to 1")
    if self.min_vote_share > self.max_vote_share:
      raise UserError(
        f"evolve.min_vote_share: {self.min_vote_share} is above"
        f" max_vote_share {self.max_vote_share}: nothing could be kept"
      )
    if self.restart_from not in ("last", "base"):
      raise UserError(
        f"evolve.restart_from: {self.restart_from!r}; allowed: 'last', 'base'"
      )
    if self.rounds < 0 or self.queries_per_round < 0:
      raise UserError("evolve.rounds, evolve.queries_per_round: at least 0")

  def round_size(self, queries: int) -> int:
    """Queries that each round takes of so many."""
    return self.queries_per_round or queries // max(1, self.rounds)
