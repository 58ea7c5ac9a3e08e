"""How right the calls of a model are, example by example and in sum.

Each answer is parsed and judged against its example's gold calls; the scores
are shares of examples by category. What the figures mean:

- *exact*: the calls equal the gold calls as a multiset, compared in canonical
  form (defaults filled, numbers and strings normalised). Where no tool fits:
  the answer parses and holds no call.
- *names*: the multiset of called names equals gold's.
- *argument precision, recall, F1*: calls are paired with gold calls of the
  same name (the pairing that agrees on most arguments, for parallel calls);
  an argument is right when its canonical value equals gold's. Arguments of
  unpaired calls count as wrong or missing. The figures are means over
  examples. An example whose gold and made calls have no arguments at all
  scores 1 if the names are right, else 0.
- *over-call*: calls made where none fit. *Under-call*: a parsed answer with
  no call at all where gold has some.

Categories with gold calls and those without are never averaged: a model that
emits garbage passes every irrelevance case, which `garbage_outputs` shows.
An answer that was skipped or cut stays in the denominators.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tooldev_jax import errors
from tooldev_jax.evaluate import intervals, outputs
from tooldev_jax.evaluate.intervals import Comparison, Figure
from tooldev_jax.evaluate.matching import (
  Arguments,
  called_names,
  count_arguments,
)
from tooldev_jax.evaluate.outputs import OutputRecord, TextGenerator
from tooldev_jax.toolcall import canonical, formats
from tooldev_jax.toolcall.vocabulary import Call, Example, Tool

CATEGORIES = (
  "simple",
  "multiple",
  "parallel",
  "parallel_multiple",
  "irrelevance",
)

# What became of an example, best first; reports show them in this order.
OUTCOMES = (
  "exact",
  "abstained",
  "wrong value",
  "extra argument",
  "missing argument",
  "wrong tool",
  "wrong number of calls",
  "no call",
  "call where none fits",
  "unparsed",
  "skipped",
)

# Text that holds no call in any format.
GARBAGE = "la la la la la la la la"


@dataclasses.dataclass(frozen=True)
class Judgement:
  """One answer against its gold.

  Attributes:
    example_id: the example.
    category: its category; "irrelevance" (or a name with it) if none fits.
    outcome: one of `OUTCOMES`.
    parsed: whether the answer could be read in the call format.
    parse_reason: the parser's typed reason when not, else "".
    gold_calls: number of gold calls.
    made_calls: number of calls in the answer.
    exact: whether the calls are right, all of them, and no others.
    names: whether the multiset of names is right.
    arguments_right: arguments whose value equals gold's.
    arguments_made: arguments in the answer.
    arguments_gold: arguments in gold.
    finish_reason: see `OutputRecord`.
  """

  example_id: str
  category: str
  outcome: str
  parsed: bool
  parse_reason: str
  gold_calls: int
  made_calls: int
  exact: bool
  names: bool
  arguments_right: int
  arguments_made: int
  arguments_gold: int
  finish_reason: str = "stop"

  @property
  def precision(self) -> float:
    """Share of made arguments that are right."""
    return self._share(self.arguments_made)

  @property
  def recall(self) -> float:
    """Share of gold arguments that were given rightly."""
    return self._share(self.arguments_gold)

  @property
  def f1(self) -> float:
    """Harmonic mean of precision and recall."""
    return self._share((self.arguments_made + self.arguments_gold) / 2)

  def _share(self, of: float) -> float:
    if self.arguments_made == self.arguments_gold == 0:
      return float(self.names)
    return self.arguments_right / of if of else 0.0


@dataclasses.dataclass(frozen=True)
class CategoryScores:
  """Scores over the examples of one category, or of several.

  Attributes:
    category: its name; "overall" for the sum of those with gold calls.
    n: examples.
    exact: share that is exact; of irrelevance, the share that abstained.
    names: share with all names right; None where no tool fits.
    precision: mean argument precision; None where no tool fits.
    recall: mean argument recall; None where no tool fits.
    f1: mean argument F1; None where no tool fits.
    parsed: share that parsed.
    over_call: share with calls where none fit; None where tools fit.
    under_call: share without a call; None where no tool fits.
    cut: answers that ran into the token limit.
    skipped: examples that were never answered.
    outcomes: examples by outcome.
  """

  category: str
  n: int
  exact: Figure
  names: Figure | None
  precision: Figure | None
  recall: Figure | None
  f1: Figure | None
  parsed: Figure
  over_call: Figure | None
  under_call: Figure | None
  cut: int
  skipped: int
  outcomes: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class CallScores:
  """Scores of one set of outputs.

  Attributes:
    overall: over all examples with gold calls; None without any.
    irrelevance: over all examples where no tool fits; None without any.
    categories: each category by itself, in the order of `CATEGORIES`.
    parse_reasons: unparsed answers by reason.
  """

  overall: CategoryScores | None
  irrelevance: CategoryScores | None
  categories: tuple[CategoryScores, ...]
  parse_reasons: Mapping[str, int]


def category_of(example: Example) -> str:
  """The category of an example: its provenance's, or by its shape.

  An example without gold calls is always some kind of "irrelevance", whatever
  its provenance says, so that it can never be averaged with the others.
  """
  named = str(example.provenance.get("category") or "")
  if not example.calls:
    return named if "irrelevance" in named else "irrelevance"
  if named and "irrelevance" not in named:
    return named
  several = len(example.calls) > 1
  choice = len(example.tools) > 1
  if several:
    return "parallel_multiple" if choice else "parallel"
  return "multiple" if choice else "simple"


def parse_answer(
  text: str, call_format: str, tools: Sequence[Tool]
) -> tuple[tuple[Call, ...] | None, str]:
  """The calls of an answer, or None and the parser's reason.

  Args:
    text: the answer.
    call_format: name of the format it should be in.
    tools: those offered.
  """
  names = [tool.name for tool in tools]
  try:
    return formats.get_format(call_format).parse(text, names).calls, ""
  except formats.ParseError as e:
    return None, e.reason.value


def judge(
  example: Example, output: OutputRecord, call_format: str
) -> Judgement:
  """Judges one answer against its example's gold calls.

  Raises:
    UserError: the example's source knows no answer, so that its having no gold
      calls does not mean that none is right.
  """
  if example.provenance.get("labelled") is False:
    raise errors.UserError(
      f"example {example.id!r} has no known answer (provenance says"
      " labelled: false); leave it out of the evaluation set"
    )
  made, reason = parse_answer(output.text, call_format, example.tools)
  calls = made or ()
  tools = {tool.name: tool for tool in example.tools}
  exact = made is not None and canonical.canonical_key(
    calls, example.tools
  ) == canonical.canonical_key(example.calls, example.tools)
  skipped = output.finish_reason == "skipped"
  names = made is not None and called_names(calls) == called_names(
    example.calls
  )
  counts = count_arguments(calls, example.calls, tools)
  exact, names = exact and not skipped, names and not skipped
  return Judgement(
    example_id=example.id,
    category=category_of(example),
    outcome=(
      "skipped" if skipped else _outcome(made, example, exact, names, counts)
    ),
    parsed=made is not None and not skipped,
    parse_reason=reason,
    gold_calls=len(example.calls),
    made_calls=len(calls),
    exact=exact,
    names=names,
    arguments_right=counts.right,
    arguments_made=counts.made,
    arguments_gold=counts.gold,
    finish_reason=output.finish_reason,
  )


def judge_all(
  examples: Sequence[Example], answers: Iterable[OutputRecord], call_format: str
) -> list[Judgement]:
  """Judges outputs, in the order of the examples they answer."""
  paired = outputs.pair(examples, answers)
  return [
    judge(example, output, call_format)
    for example, output in zip(examples, paired, strict=True)
  ]


def _outcome(
  made: tuple[Call, ...] | None,
  example: Example,
  exact: bool,
  names: bool,
  counts: Arguments,
) -> str:
  """The first thing that went wrong, coarse before fine."""
  if made is None:
    return "unparsed"
  if exact:
    return "exact" if example.calls else "abstained"
  if not example.calls:
    return "call where none fits"
  if not made:
    return "no call"
  if len(made) != len(example.calls):
    return "wrong number of calls"
  if not names:
    return "wrong tool"
  if counts.shared < counts.gold:
    return "missing argument"
  if counts.shared < counts.made:
    return "extra argument"
  return "wrong value"


def score(judgements: Sequence[Judgement], seed: int = 0) -> CallScores:
  """Aggregates judgements by category and overall.

  Args:
    judgements: judged answers.
    seed: seed of the bootstrap intervals.
  """
  with_gold = [j for j in judgements if j.gold_calls]
  without = [j for j in judgements if not j.gold_calls]
  present = {j.category for j in judgements}
  ordered = [c for c in CATEGORIES if c in present]
  ordered += sorted(present - set(CATEGORIES))
  return CallScores(
    overall=_score_group("overall", with_gold, seed) if with_gold else None,
    irrelevance=(
      _score_group("irrelevance", without, seed) if without else None
    ),
    categories=tuple(
      _score_group(c, [j for j in judgements if j.category == c], seed)
      for c in ordered
    ),
    parse_reasons=sorted_counts(
      j.parse_reason for j in judgements if j.parse_reason
    ),
  )


def _score_group(
  name: str, group: Sequence[Judgement], seed: int
) -> CategoryScores:
  """Scores of examples that all have gold calls, or all have none."""
  n = len(group)
  fits = group[0].gold_calls > 0
  precision = recall = f1 = None
  if fits:
    values = np.array([(j.precision, j.recall, j.f1) for j in group])
    precision, recall, f1 = intervals.means(values, seed)
  outcomes = collections.Counter(j.outcome for j in group)
  return CategoryScores(
    category=name,
    n=n,
    exact=intervals.share(j.exact for j in group),
    names=intervals.share(j.names for j in group) if fits else None,
    precision=precision,
    recall=recall,
    f1=f1,
    parsed=intervals.share(j.parsed for j in group),
    over_call=None
    if fits
    else intervals.share(j.made_calls > 0 for j in group),
    under_call=intervals.share(j.outcome == "no call" for j in group)
    if fits
    else None,
    cut=sum(j.finish_reason == "length" for j in group),
    skipped=sum(j.finish_reason == "skipped" for j in group),
    outcomes={o: outcomes[o] for o in OUTCOMES if outcomes[o]},
  )


def sorted_counts(values: Iterable[str]) -> dict[str, int]:
  """Counts, most frequent first, ties by name."""
  counts = collections.Counter(values)
  return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def evaluate_calls(
  generator: TextGenerator,
  examples: Sequence[Example],
  call_format: str,
  seed: int = 0,
) -> tuple[list[Judgement], CallScores]:
  """Has a generator answer the examples, and judges the answers."""
  answers = generator.generate(examples, "invocation")
  judgements = judge_all(examples, answers, call_format)
  return judgements, score(judgements, seed)


def garbage_outputs(examples: Sequence[Example]) -> list[OutputRecord]:
  """What a model that emits garbage answers: the row to read scores against."""
  return [OutputRecord(example.id, GARBAGE) for example in examples]


def compare(
  before: Sequence[Judgement],
  after: Sequence[Judgement],
  figure: str = "exact",
  seed: int = 0,
) -> Comparison | None:
  """Compares two sets of outputs on the same examples with gold calls.

  Args:
    before: judgements of the first set.
    after: judgements of the second set.
    figure: "exact", "names", "precision", "recall" or "f1".
    seed: seed of the bootstrap.

  Returns:
    The paired comparison, or None when no example has gold calls.

  Raises:
    UserError: the sets are not of the same examples.
  """
  later = {j.example_id: j for j in after}
  ids = [j.example_id for j in before]
  if len(set(ids)) < len(ids) or sorted(ids) != sorted(later):
    odd = sorted(set(ids) ^ set(later))
    raise errors.UserError(
      "cannot compare outputs of different examples: "
      + (f"{odd[0]!r} is in only one set" if odd else "an id appears twice")
    )
  pairs = [(j, later[j.example_id]) for j in before if j.gold_calls]
  if not pairs:
    return None
  return intervals.compare(
    [float(getattr(b, figure)) for b, _ in pairs],
    [float(getattr(a, figure)) for _, a in pairs],
    figure,
    seed,
  )
