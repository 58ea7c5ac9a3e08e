"""The Berkeley Function Calling Leaderboard, single-turn, by its own checker.

The official checker judges the categories with gold calls; relevance and
irrelevance are judged, as there, by whether a call was made. Without the
package `bfcl-eval` no score is made up: the result says that official scores
were skipped, and why.

Irrelevance is never averaged with the rest: an answer that cannot be decoded
passes it.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from tooldev_jax.evaluate import bfcl_checker, intervals, metrics, outputs
from tooldev_jax.evaluate.bfcl_cases import CATEGORIES, BfclCase
from tooldev_jax.evaluate.intervals import Figure
from tooldev_jax.evaluate.outputs import OutputRecord, TextGenerator


@dataclasses.dataclass(frozen=True)
class BfclJudgement:
  """One answer as BFCL judges it; `error` is the official type, or ""."""

  example_id: str
  category: str
  valid: bool
  error: str


@dataclasses.dataclass(frozen=True)
class BfclCategory:
  """Official accuracy in one category.

  Attributes:
    category: BFCL's name.
    group: "ast", "irrelevance" or "relevance".
    accuracy: share of cases that are right.
  """

  category: str
  group: str
  accuracy: Figure


@dataclasses.dataclass(frozen=True)
class BfclScores:
  """Official scores, or why there are none.

  Attributes:
    skipped: why there are no scores; "" when there are.
    checker: name and version of the package that judged.
    categories: each category, in BFCL's order.
    ast: share of right answers over all cases with gold calls.
    non_live_ast: the leaderboard's figure: unweighted mean of simple (itself
      the mean of Python, Java and JavaScript), multiple, parallel and parallel
      multiple; None unless all are there.
    live_ast: the leaderboard's figure: mean of the four live categories,
      weighted by their cases; None unless all are there.
    irrelevance: share without a call where none fits.
    relevance: share with a call where one fits.
    errors: wrong answers by the official error type.
  """

  skipped: str
  checker: str = ""
  categories: tuple[BfclCategory, ...] = ()
  ast: Figure | None = None
  non_live_ast: float | None = None
  live_ast: float | None = None
  irrelevance: Figure | None = None
  relevance: Figure | None = None
  errors: Mapping[str, int] = dataclasses.field(default_factory=dict)


def judge_all(
  cases: Sequence[BfclCase],
  answers: Iterable[OutputRecord],
  call_format: str,
  checker: bfcl_checker.Checker,
) -> list[BfclJudgement]:
  """Judges outputs officially, in the order of the cases."""
  paired = outputs.pair([case.example for case in cases], answers)
  return [
    _judge(case, output, call_format, checker)
    for case, output in zip(cases, paired, strict=True)
  ]


def _judge(
  case: BfclCase,
  output: OutputRecord,
  call_format: str,
  checker: bfcl_checker.Checker,
) -> BfclJudgement:
  group = CATEGORIES[case.category]
  if output.finish_reason == "skipped":
    error = "skipped"  # Never answered, so never right, irrelevance included.
  elif group == "ast":
    error = checker.error(
      output.text,
      call_format,
      case.language,
      case.category,
      case.functions,
      case.answers,
    )
  elif checker.makes_call(output.text, call_format, case.functions) == (
    group == "relevance"
  ):
    error = ""
  else:
    error = f"{group}_error"
  return BfclJudgement(case.id, case.category, not error, error)


def score(judgements: Sequence[BfclJudgement], version: str) -> BfclScores:
  """Aggregates judgements by category and as the leaderboard does."""
  by_category: dict[str, list[bool]] = {}
  by_group: dict[str, list[bool]] = {}
  for j in judgements:
    by_category.setdefault(j.category, []).append(j.valid)
    by_group.setdefault(CATEGORIES[j.category], []).append(j.valid)
  accuracy = {
    category: intervals.share(flags) for category, flags in by_category.items()
  }
  groups = {group: intervals.share(flags) for group, flags in by_group.items()}
  return BfclScores(
    skipped="",
    checker=f"{bfcl_checker.PACKAGE} {version}",
    categories=tuple(
      BfclCategory(category, CATEGORIES[category], accuracy[category])
      for category in CATEGORIES
      if category in accuracy
    ),
    ast=groups.get("ast"),
    non_live_ast=_non_live(accuracy),
    live_ast=_live(accuracy),
    irrelevance=groups.get("irrelevance"),
    relevance=groups.get("relevance"),
    errors=metrics.sorted_counts(j.error for j in judgements if j.error),
  )


def _non_live(accuracy: Mapping[str, Figure]) -> float | None:
  simple = ("simple_python", "simple_java", "simple_javascript")
  others = ("multiple", "parallel", "parallel_multiple")
  if not accuracy.keys() >= {*simple, *others}:
    return None
  mean_simple = math.fsum(accuracy[c].value for c in simple) / 3
  return (mean_simple + math.fsum(accuracy[c].value for c in others)) / 4


def _live(accuracy: Mapping[str, Figure]) -> float | None:
  live = [c for c in CATEGORIES if c.startswith("live_")]
  names = [c for c in live if CATEGORIES[c] == "ast"]
  if not accuracy.keys() >= set(names):
    return None
  figures = [accuracy[c] for c in names]
  right = math.fsum(f.value * f.n for f in figures)
  return right / sum(f.n for f in figures)


def evaluate_bfcl(
  generator: TextGenerator, cases: Sequence[BfclCase], call_format: str
) -> tuple[list[BfclJudgement], BfclScores]:
  """Has a generator answer the cases and the official checker judge them.

  Without the checker nothing is generated; the scores then say why.
  """
  try:
    checker = bfcl_checker.Checker()
  except bfcl_checker.CheckerMissingError as e:
    return [], BfclScores(skipped=f"official BFCL scores were skipped: {e}")
  answers = generator.generate([c.example for c in cases], "invocation")
  judgements = judge_all(cases, answers, call_format, checker)
  return judgements, score(judgements, checker.version)
