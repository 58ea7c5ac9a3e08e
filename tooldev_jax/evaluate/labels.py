"""How right the labels are that a model made for itself.

The queries of a round have gold calls in a file that only evaluation opens.
A self-made label uses a tool that the model made, so its names differ from
gold's and only what was filled in can be compared. What the figures mean:

- *values exact*: the label has as many calls as gold, and they can be paired
  so that each pair states the same multiset of values. Values are the leaves
  of the arguments (nested lists and objects are opened, names ignored),
  compared as plain text: case and outer white space ignored, 3.0 is 3 and "3"
  is 3, since the made tool may type a value otherwise than gold. A value that
  is a default, of gold's tool or of the made one, may be stated or not.
- *value precision, recall*: share of the label's values that gold states, and
  of gold's values that the label states, call borders ignored; means over
  labels.
- *names*: share of labels whose calls all use tools of gold's names (letters
  and digits, case ignored).

"Values exact" is the precision of the self-made labels. It is strict about
what was filled in and blind to *where*: swapping two values of one type stays
unseen, and a value that is worded otherwise but means the same counts as
wrong. A label for a query that no tool fits is right when it holds no call.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tooldev_jax import errors
from tooldev_jax.evaluate import intervals
from tooldev_jax.evaluate.intervals import Figure
from tooldev_jax.evaluate.matching import covers, plain_name
from tooldev_jax.toolcall import schemas
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Call, Example, Tool

# Upper ends of the bands of vote share in which precision is also reported.
SHARE_BANDS = (0.5, 0.625, 0.75, 0.875, 1.0)  # chosen: eighths, as n is 8

_DECIMAL = re.compile(r"[+-]?[0-9]+\.[0-9]+")


@dataclasses.dataclass(frozen=True)
class LabelJudgement:
  """One label against gold; see the module for the figures.

  `known` is False where gold does not have the query: nothing is known then,
  and the other fields say nothing.
  """

  example_id: str
  vote_share: float
  calls_right: bool  # as many calls as gold
  values_exact: bool
  value_precision: float
  value_recall: float
  names: bool
  known: bool = True


@dataclasses.dataclass(frozen=True)
class ShareBand:
  """Labels whose vote share lies in (low, high]."""

  low: float
  high: float
  values_exact: Figure


@dataclasses.dataclass(frozen=True)
class LabelScores:
  """Precision of the self-made labels of a round.

  Attributes:
    n: labels that gold knows.
    without_gold: labels whose query has no gold, which nothing is known of.
    values_exact: share of labels with exactly gold's values.
    calls: share of labels with as many calls as gold.
    value_precision: mean share of a label's values that are gold's.
    value_recall: mean share of gold's values that are in the label.
    names: share of labels with gold's tool names throughout.
    by_vote_share: `values_exact` in bands of vote share, lowest first; bands
      without labels are left out.
  """

  n: int
  without_gold: int
  values_exact: Figure
  calls: Figure
  value_precision: Figure
  value_recall: Figure
  names: Figure
  by_vote_share: tuple[ShareBand, ...]


def judge(made: Example, gold: Example) -> LabelJudgement:
  """Judges a self-made label against the gold calls of its query.

  Args:
    made: the query with the calls that won the vote and the tools that the
      model made; `provenance` may have its "vote_share".
    gold: the same query with what is right.
  """
  made_tools = {tool.name: tool for tool in made.tools}
  gold_tools = {tool.name: tool for tool in gold.tools}
  mine = [_values(c, made_tools.get(c.name)) for c in made.calls]
  theirs = [_values(c, gold_tools.get(c.name)) for c in gold.calls]
  same_count = len(mine) == len(theirs)
  pairs = np.array([[_same(m, g) for g in theirs] for m in mine], bool).reshape(
    len(mine), len(theirs)
  )
  stated = sum((v.stated for v in mine), collections.Counter())
  wanted = sum((v.stated for v in theirs), collections.Counter())
  common = (stated & wanted).total()
  return LabelJudgement(
    example_id=made.id,
    vote_share=_vote_share(made),
    calls_right=same_count,
    values_exact=same_count and covers(pairs),
    value_precision=_share(common, stated.total(), wanted.total()),
    value_recall=_share(common, wanted.total(), stated.total()),
    names=_names(made.calls) == _names(gold.calls),
  )


def _vote_share(made: Example) -> float:
  return float(str(made.provenance.get("vote_share", 1.0)))


def judge_all(
  kept: Iterable[Example], gold: Iterable[Example]
) -> list[LabelJudgement]:
  """Judges what a round kept by the gold of its queries, in order.

  Raises:
    UserError: gold has an id twice.
  """
  by_id: dict[str, Example] = {}
  for example in gold:
    if example.id in by_id:
      raise errors.UserError(f"gold has example {example.id!r} twice")
    by_id[example.id] = example
  return [
    judge(made, by_id[made.id])
    if made.id in by_id
    else LabelJudgement(
      made.id, _vote_share(made), False, False, 0.0, 0.0, False, False
    )
    for made in kept
  ]


def score(
  judgements: Sequence[LabelJudgement], seed: int = 0
) -> LabelScores | None:
  """Aggregates judgements; None when gold knows no label's query."""
  known = [j for j in judgements if j.known]
  if not known:
    return None
  values = np.array([(j.value_precision, j.value_recall) for j in known])
  precision_recall = intervals.means(values, seed)
  return LabelScores(
    n=len(known),
    without_gold=len(judgements) - len(known),
    values_exact=intervals.share(j.values_exact for j in known),
    calls=intervals.share(j.calls_right for j in known),
    value_precision=precision_recall[0],
    value_recall=precision_recall[1],
    names=intervals.share(j.names for j in known),
    by_vote_share=tuple(_bands(known)),
  )


def _bands(judgements: Sequence[LabelJudgement]) -> Iterator[ShareBand]:
  for low, high in zip((0.0, *SHARE_BANDS), SHARE_BANDS, strict=False):
    inside = [
      j.values_exact
      for j in judgements
      if (low < j.vote_share <= high) or j.vote_share == low == 0.0
    ]
    if inside:
      yield ShareBand(low, high, intervals.share(inside))


def _share(part: int, whole: int, other: int) -> float:
  """part / whole; with nothing stated, right only if nothing was wanted."""
  return part / whole if whole else float(other == 0)


def _names(calls: Iterable[Call]) -> collections.Counter[str]:
  return collections.Counter(plain_name(call.name) for call in calls)


@dataclasses.dataclass(frozen=True)
class _Values:
  """The values of a call, as multisets of plain text.

  Attributes:
    stated: values of the call's arguments.
    needed: those that are not the default of their parameter.
    defaults: the defaults of all the tool's parameters.
  """

  stated: collections.Counter[str]
  needed: collections.Counter[str]
  defaults: collections.Counter[str]


def _values(call: Call, tool: Tool | None) -> _Values:
  stated: collections.Counter[str] = collections.Counter()
  needed: collections.Counter[str] = collections.Counter()
  defaults = _defaults(tool) if tool is not None else {}
  for name, value in call.arguments.items():
    leaves = collections.Counter(_leaves(value))
    stated += leaves
    if leaves != defaults.get(name):
      needed += leaves
  every_default = sum(defaults.values(), collections.Counter())
  return _Values(stated, needed, every_default)


def _defaults(tool: Tool) -> dict[str, collections.Counter[str]]:
  root = tool.parameters
  found = {}
  for name, schema in schemas.properties(schemas.resolve(root, root)).items():
    field = schemas.resolve(schema, root)
    if "default" in field:
      found[name] = collections.Counter(_leaves(field["default"]))
  return found


def _same(mine: _Values, theirs: _Values) -> bool:
  """Whether two calls state the same values, up to defaults."""
  missing = theirs.needed - mine.stated
  extra = mine.needed - theirs.stated
  return missing <= mine.defaults and extra <= theirs.defaults


def _leaves(value: Json) -> Iterator[str]:
  """The scalar values inside a value, as plain text."""
  if isinstance(value, Mapping):
    for item in value.values():
      yield from _leaves(item)
  elif isinstance(value, (list, tuple)):
    for item in value:
      yield from _leaves(item)
  else:
    yield _plain_value(value)


def _plain_value(value: Json) -> str:
  if value is None or isinstance(value, bool):
    return str(value).casefold()
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  text = " ".join(str(value).casefold().split())
  # "007" and "7" stay apart: codes and telephone numbers are not quantities.
  if _DECIMAL.fullmatch(text):
    text = text.rstrip("0").rstrip(".")
  return text
