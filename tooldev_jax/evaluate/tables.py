"""The tables of a report, apart from where they are drawn.

Each function makes one table of a `RunSummary`, or None where the run has
nothing for it. HTML, Markdown and the terminal draw the same tables, so they
cannot disagree.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tooldev_jax.evaluate import bfcl_cases, wording
from tooldev_jax.evaluate.bfcl import BfclScores
from tooldev_jax.evaluate.metrics import OUTCOMES
from tooldev_jax.evaluate.summary import RunSummary, StageSummary
from tooldev_jax.evaluate.wording import count, figure, percent, spaced

PLAIN, FINAL, REJECTED, GARBAGE = "plain", "final", "rejected", "garbage"


class Row(NamedTuple):
  """Cells of text; the first names the row. `kind` says how to draw it."""

  cells: tuple[str, ...]
  kind: str = PLAIN


@dataclasses.dataclass(frozen=True)
class Table:
  """A table.

  Attributes:
    title: what it shows.
    columns: headings; the first column is text, the others are figures unless
      named in `texts`.
    rows: all with as many cells as there are columns.
    note: how to read it.
    texts: indices of further columns that are text.
  """

  title: str
  columns: tuple[str, ...]
  rows: tuple[Row, ...]
  note: str = ""
  texts: tuple[int, ...] = ()

  def __post_init__(self) -> None:
    for row in self.rows:
      if len(row.cells) != len(self.columns):
        raise ValueError(f"{self.title}: {row.cells} under {self.columns}")


class Line(NamedTuple):
  """What one row is about: its name, how it is drawn, and the record."""

  name: str
  kind: str
  record: Any


# The text of a cell, or the path of a figure, such as "overall.exact".
Column = str | Callable[[Any], str]


def make_table(
  title: str,
  lines: Iterable[Line],
  columns: Mapping[str, Column],
  note: str = "",
  texts: Sequence[str] = (),
) -> Table | None:
  """A table of records; None without any.

  Args:
    title: of the table.
    lines: one a row.
    columns: by heading, the name column first; it has no cells of its own.
      Columns in which no row has anything are left out.
    note: how to read it.
    texts: headings of columns that are text.
  """
  first, *others = columns
  lines = list(lines)
  cells = {
    heading: [_cell(columns[heading], line.record) for line in lines]
    for heading in others
  }
  kept = [
    heading
    for heading in others
    if any(cell not in ("", wording.NONE) for cell in cells[heading])
  ]
  if not kept:
    return None
  rows = tuple(
    Row((line.name, *(cells[heading][i] for heading in kept)), line.kind)
    for i, line in enumerate(lines)
  )
  text_columns = tuple(1 + kept.index(name) for name in texts if name in kept)
  return Table(title, (first, *kept), rows, note, text_columns)


def by_name(name: str) -> Callable[[Any], str]:
  """A column whose cells the records hold by its name."""
  return lambda cells: cells.get(name, wording.NONE)


def _cell(column: Column, record: Any) -> str:
  return (
    column(record) if callable(column) else figure(field_at(record, column))
  )


def field_at(record: Any, path: str) -> Any:
  """What lies at a dotted path of fields; None where one of them is None."""
  return functools.reduce(
    lambda found, name: None if found is None else getattr(found, name),
    path.split("."),
    record,
  )


def row_label(stage: StageSummary) -> str:
  """What a stage's row is called."""
  return stage.name if stage.accepted else f"{stage.name} (rolled back)"


def _stages(summary: RunSummary, path: str = "") -> list[Line]:
  """A line for each stage, or for what its field `path` holds, if anything."""
  return [
    Line(
      row_label(stage),
      REJECTED
      if not stage.accepted
      else FINAL
      if stage is summary.final
      else PLAIN,
      record,
    )
    for stage in summary.stages
    if (record := field_at(stage, path) if path else stage) is not None
  ]


def scores(summary: RunSummary) -> Table | None:
  """Scores by stage and round, and what garbage would score."""
  lines = [
    line
    for line in _stages(summary)
    if line.record.calls or line.record.tools or _official(line.record)
  ]
  if lines and summary.garbage:
    garbage = StageSummary(
      "garbage", calls=summary.garbage, bfcl=summary.garbage_bfcl
    )
    lines.append(Line("garbage", GARBAGE, garbage))
  changes = _changes(summary)
  return make_table(
    "Scores by stage",
    lines,
    {
      "stage": "",
      "exact calls": "calls.overall.exact",
      "change": lambda stage: changes.get(stage.name, wording.NONE),
      "tool names": "calls.overall.names",
      "argument F1": "calls.overall.f1",
      "over-calls": "calls.irrelevance.over_call",
      "usable tools": "tools.usable",
      "solved with them": "tools.solved",
      "BFCL AST": lambda stage: figure(field_at(_official(stage), "ast")),
    },
    "Exact calls, tool names and argument F1 are over examples with gold"
    " calls. “Over-calls” is the share answered with a call where no tool"
    " fits; it is never averaged with the rest: the garbage row, a model"
    " that emits no calls at all, has none. “Change” is in percentage points"
    " of exact calls against the state that the stage's training started from:"
    " the last accepted one, unless another is named. It is paired over the"
    " same examples, with an exact McNemar test. “Usable tools” are made by the"
    " model for a query and could answer it; “solved with them” is what the"
    " same model makes of its own tools. Brackets are 95 % intervals.",
  )


def _official(stage: StageSummary) -> BfclScores | None:
  """BFCL of the slice that all stages answer, if any, else of all cases."""
  found = stage.bfcl_slice or stage.bfcl
  return found if found and not found.skipped else None


def _changes(summary: RunSummary) -> dict[str, str]:
  """How exact calls changed, by stage; says where it is against another state
  than the last accepted one."""
  told, last = {}, ""
  for stage in summary.stages:
    if stage.change:
      told[stage.name] = (
        f"{wording.points(stage.change.delta)},"
        f" {wording.p_value(stage.change.p_value)}"
      )
      if stage.started_from not in ("", last):
        told[stage.name] += f", against {stage.started_from}"
    last = stage.name if stage.accepted else last
  return told


def categories(summary: RunSummary) -> Table | None:
  """Exact calls of each category, stage by stage."""
  lines = _stages(summary, "calls.categories")
  sizes = {c.category: c.n for line in lines for c in line.record}
  return make_table(
    "Exact calls by category",
    [
      line._replace(record={c.category: figure(c.exact) for c in line.record})
      for line in lines
    ],
    {
      "stage": "",
      **{f"{spaced(c)} (n = {n})": by_name(c) for c, n in sizes.items()},
    },
    "In irrelevance, exact means that no call was made.",
  )


def final_detail(summary: RunSummary) -> Table | None:
  """All figures of the final stage by category."""
  final = summary.final
  if final is None or final.calls is None:
    return None
  lines = [Line(spaced(c.category), PLAIN, c) for c in final.calls.categories]
  if final.calls.overall:
    lines.append(Line("overall, calls fit", FINAL, final.calls.overall))
  return make_table(
    f"All figures of the final state ({final.name})",
    lines,
    {
      "category": "",
      "n": lambda c: count(c.n),
      "exact": "exact",
      "names": "names",
      "argument precision": "precision",
      "argument recall": "recall",
      "argument F1": "f1",
      "parsed": "parsed",
      "under-call": "under_call",
      "over-call": "over_call",
    },
    "Under-call: a readable answer without any call where gold has some."
    " Over-call: a call where none fits.",
  )


def outcomes(summary: RunSummary) -> Table | None:
  """What became of the answers, stage by stage."""
  lines = _stages(summary, "calls.categories")
  totals = [
    sum((Counter(c.outcomes) for c in x.record), Counter()) for x in lines
  ]
  seen = [o for o in OUTCOMES if any(total[o] for total in totals)]
  return make_table(
    "What became of the answers",
    [
      line._replace(record={outcome: count(total[outcome]) for outcome in seen})
      for line, total in zip(lines, totals, strict=True)
    ],
    {"stage": "", **{outcome: by_name(outcome) for outcome in seen}},
    "Each example counts once, under the first thing that went wrong.",
  )


def tool_making(summary: RunSummary) -> Table | None:
  """Tool making by stage."""
  return make_table(
    "Making tools for a query",
    _stages(summary, "tools"),
    {
      "stage": "",
      "n": lambda tools: count(tools.n),
      "parsed": "parsed",
      "valid": "valid",
      "gold tool by name": "named",
      "parameters by name": "parameters",
      "… and type": "typed",
      "usable": "usable",
      "usable by name": "usable_by_name",
      "solved": "solved",
      "tools an answer": lambda tools: f"{tools.made_tools:.2f}",
    },
    "Usable: the tools are sound, and each gold call could be written with one"
    " of them: every value finds a parameter that admits it, and no required"
    " parameter stays empty. “Usable by name” is stricter: values stay under"
    " gold's parameter names."
    + (
      " Solved: the model answers the query with the made tools and fills in"
      " exactly gold's values."
      if any(s.tools and s.tools.solved for s in summary.stages)
      else ""
    ),
  )


def bfcl(summary: RunSummary) -> Table | None:
  """Official scores of the first and the final state, by category."""
  found = {
    row_label(s): s.bfcl
    for s in summary.stages
    if s.bfcl and not s.bfcl.skipped
  }
  if found and summary.garbage_bfcl:
    found["garbage"] = summary.garbage_bfcl
  return _by_category("BFCL, official checker", found)


def bfcl_slice(summary: RunSummary) -> Table | None:
  """Official scores on the slice that every stage answers, by category."""
  found = {
    row_label(s): s.bfcl_slice
    for s in summary.stages
    if s.bfcl_slice and not s.bfcl_slice.skipped
  }
  return _by_category("BFCL, a slice, by stage", found)


def _by_category(title: str, found: Mapping[str, BfclScores]) -> Table | None:
  """A row for each category of BFCL and for its sums; a column for a state."""
  accuracy = {
    name: {c.category: c.accuracy for c in scores.categories}
    for name, scores in found.items()
  }
  lines = []
  for category in bfcl_cases.CATEGORIES:
    sizes = [a[category].n for a in accuracy.values() if category in a]
    if sizes:
      name = f"{spaced(category)} (n = {max(sizes)})"
      lines.append(
        Line(name, PLAIN, {n: figure(accuracy[n].get(category)) for n in found})
      )
  for name, read in (
    ("all with gold calls", lambda b: figure(b.ast)),
    ("leaderboard, non-live AST", lambda b: percent(b.non_live_ast)),
    ("leaderboard, live AST", lambda b: percent(b.live_ast)),
    ("irrelevance, all", lambda b: figure(b.irrelevance)),
  ):
    cells = {n: read(scores) for n, scores in found.items()}
    if any(cell != wording.NONE for cell in cells.values()):
      lines.append(Line(name, FINAL, cells))
  checkers = ", ".join(sorted({scores.checker for scores in found.values()}))
  return make_table(
    title,
    lines,
    {"category": "", **{name: by_name(name) for name in found}},
    f"Judged in process by {checkers}. Irrelevance stands beside the AST"
    " categories: an answer that cannot be decoded passes it.",
  )


def notices(summary: RunSummary) -> Table | None:
  """What was skipped, cut or shortened, and why."""
  found = [
    (
      n.what,
      f"{count(n.count)} of {count(n.of)}" if n.of else count(n.count),
      n.why,
    )
    for n in summary.notices
  ]
  for stage in summary.stages:
    found += _answer_notices(stage)
  skipped = [
    scores.skipped
    for stage in summary.stages
    for scores in (stage.bfcl_slice, stage.bfcl)
    if scores and scores.skipped
  ]
  found += [("BFCL", "all", why) for why in dict.fromkeys(skipped)]
  return make_table(
    "Skipped, cut and left out",
    [Line(row[0], PLAIN, row) for row in found],
    {"what": "", "how many": lambda row: row[1], "why": lambda row: row[2]},
    "Skipped and cut answers stay in every denominator.",
    texts=["why"],
  )


def _answer_notices(stage: StageSummary) -> Iterable[tuple[str, str, str]]:
  """Answers that the token limits cut, and questions that did not fit."""
  for what, groups in (
    ("answers", stage.calls.categories if stage.calls else ()),
    ("made tools", (stage.tools,) if stage.tools else ()),
  ):
    of = sum(group.n for group in groups)
    for status, why in (
      ("cut", "they reached the token limit before they ended"),
      ("skipped", "the prompt did not fit; they count as wrong"),
    ):
      found = sum(getattr(group, status) for group in groups)
      if found:
        many = f"{count(found)} of {count(of)}"
        yield f"{what} {status}, {stage.name}", many, why


def training(summary: RunSummary) -> Table | None:
  """What each stage was trained on, and how long it took."""
  seconds = summary.clock.seconds if summary.clock else {}
  names = [stage.name for stage in summary.stages]
  lines = _stages(summary)
  lines += [
    Line(name, PLAIN, StageSummary(name))
    for name in seconds
    if name not in names
  ]
  some = lambda value: count(value) if value else wording.NONE
  return make_table(
    "Stages",
    lines,
    {
      "stage": "",
      "examples": lambda s: some(s.examples),
      "trained tokens": lambda s: some(s.tokens),
      "steps": lambda s: some(max(s.loss_steps, default=0)),
      "last loss": lambda s: (
        f"{s.losses[-1]:.4f}" if s.losses else wording.NONE
      ),
      "wall time": lambda s: (
        wording.duration(seconds[s.name]) if s.name in seconds else wording.NONE
      ),
      "note": lambda s: s.note,
    },
    texts=["note"],
  )
