"""Tables of scores, apart from where they are drawn.

Each function makes one table of a `RunSummary`, or None where the run has
nothing for it. HTML, Markdown and the terminal draw the same tables, so they
cannot disagree.
"""

import dataclasses
from collections.abc import Callable, Sequence

from tooldev_jax.evaluate import bfcl_cases, wording
from tooldev_jax.evaluate.bfcl import BfclScores
from tooldev_jax.evaluate.intervals import Comparison, Figure
from tooldev_jax.evaluate.metrics import OUTCOMES, CallScores, CategoryScores
from tooldev_jax.evaluate.summary import RunSummary, StageSummary

PLAIN, FINAL, REJECTED, GARBAGE = "plain", "final", "rejected", "garbage"


@dataclasses.dataclass(frozen=True)
class Row:
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


def without_empty_columns(table: Table) -> Table:
  """The same table without columns in which no row has a figure."""
  kept = [
    index
    for index in range(len(table.columns))
    if index == 0
    or any(row.cells[index] not in ("", wording.NONE) for row in table.rows)
  ]
  return dataclasses.replace(
    table,
    columns=tuple(table.columns[i] for i in kept),
    rows=tuple(
      Row(tuple(row.cells[i] for i in kept), row.kind) for row in table.rows
    ),
    texts=tuple(kept.index(i) for i in table.texts if i in kept),
  )


def row_kind(summary: RunSummary, stage: StageSummary) -> str:
  """How a stage's row is drawn."""
  if not stage.accepted:
    return REJECTED
  return FINAL if stage is summary.final else PLAIN


def row_label(stage: StageSummary) -> str:
  """How a stage's row is called."""
  return stage.name if stage.accepted else f"{stage.name} (rolled back)"


def scores(summary: RunSummary) -> Table | None:
  """Scores by stage and round, and what garbage would score."""
  rows = [
    Row(
      (
        row_label(stage),
        *_call_cells(stage.calls, stage.change),
        wording.figure(stage.tools.usable if stage.tools else None),
        wording.figure(stage.tools.solved if stage.tools else None),
        wording.figure(_official_calls(stage)),
      ),
      row_kind(summary, stage),
    )
    for stage in summary.stages
    if stage.calls or stage.tools or (stage.bfcl and not stage.bfcl.skipped)
  ]
  if not rows:
    return None
  if summary.garbage:
    official = summary.garbage_bfcl.ast if summary.garbage_bfcl else None
    cells = _call_cells(summary.garbage, None)
    tools = (wording.NONE, wording.NONE)
    rows.append(
      Row(("garbage", *cells, *tools, wording.figure(official)), GARBAGE)
    )
  return without_empty_columns(
    Table(
      "Scores by stage",
      (
        "stage",
        "exact calls",
        "change",
        "tool names",
        "argument F1",
        "over-calls",
        "usable tools",
        "solved with them",
        "BFCL AST",
      ),
      tuple(rows),
      "Exact calls, tool names and argument F1 are over examples with gold"
      " calls. “Over-calls” is the share answered with a call where no tool"
      " fits; it is never averaged with the rest: the garbage row, a model"
      " that emits no calls at all, has none. “Change” is in percentage points"
      " of exact calls against the state whose adapter the stage started from"
      f"{_starts(summary)}, paired over the same examples, with an exact"
      " McNemar test. “Usable tools”"
      " are made by the model for a query and could answer it; “solved with"
      " them” is what the same model makes of its own tools. Brackets are 95"
      " % intervals.",
    )
  )


def _starts(summary: RunSummary) -> str:
  """Where stages started that did not go on from the last accepted one."""
  told, last = [], ""
  for stage in summary.stages:
    if stage.started_from not in ("", last):
      told.append(f"{stage.name} from {stage.started_from}")
    last = stage.name if stage.accepted else last
  return f" ({', '.join(told)})" if told else ""


def _official_calls(stage: StageSummary) -> Figure | None:
  """BFCL cases with gold calls: of the slice that all stages answer, if any."""
  scores = stage.bfcl_slice or stage.bfcl
  return scores.ast if scores else None


def _call_cells(
  calls: CallScores | None, change: Comparison | None
) -> tuple[str, ...]:
  overall = calls.overall if calls else None
  none_fits = calls.irrelevance if calls else None
  return (
    wording.figure(overall.exact if overall else None),
    (
      f"{wording.points(change.delta)}, {wording.p_value(change.p_value)}"
      if change
      else wording.NONE
    ),
    wording.figure(overall.names if overall else None),
    wording.figure(overall.f1 if overall else None),
    wording.figure(none_fits.over_call if none_fits else None),
  )


def categories(summary: RunSummary) -> Table | None:
  """Exact calls of each category, stage by stage."""
  stages = [stage for stage in summary.stages if stage.calls]
  names: list[str] = []
  for stage in stages:
    assert stage.calls is not None
    names += [c.category for c in stage.calls.categories]
  names = list(dict.fromkeys(names))
  if not names:
    return None
  rows = []
  for stage in stages:
    assert stage.calls is not None
    found = {c.category: c.exact for c in stage.calls.categories}
    cells = tuple(wording.figure(found.get(name)) for name in names)
    rows.append(Row((row_label(stage), *cells), row_kind(summary, stage)))
  sizes = {
    c.category: c.n for s in stages if s.calls for c in s.calls.categories
  }
  return Table(
    "Exact calls by category",
    ("stage", *(f"{spaced(n)} (n = {sizes[n]})" for n in names)),
    tuple(rows),
    "In irrelevance, exact means that no call was made.",
  )


def final_detail(summary: RunSummary) -> Table | None:
  """All figures of the final stage by category."""
  final = summary.final
  if final is None or final.calls is None:
    return None
  groups = [*final.calls.categories]
  if final.calls.overall:
    groups.append(final.calls.overall)
  columns: Sequence[tuple[str, Callable[[CategoryScores], Figure | None]]] = (
    ("exact", lambda c: c.exact),
    ("names", lambda c: c.names),
    ("argument precision", lambda c: c.precision),
    ("argument recall", lambda c: c.recall),
    ("argument F1", lambda c: c.f1),
    ("parsed", lambda c: c.parsed),
    ("under-call", lambda c: c.under_call),
    ("over-call", lambda c: c.over_call),
  )
  return Table(
    f"All figures of the final state ({final.name})",
    ("category", "n", *(heading for heading, _ in columns)),
    tuple(
      Row(
        (
          "overall, calls fit"
          if c.category == "overall"
          else spaced(c.category),
          wording.count(c.n),
          *(wording.figure(read(c)) for _, read in columns),
        ),
        FINAL if c.category == "overall" else PLAIN,
      )
      for c in groups
    ),
    "Under-call: a readable answer without any call where gold has some."
    " Over-call: a call where none fits.",
  )


def outcomes(summary: RunSummary) -> Table | None:
  """What became of the answers, stage by stage."""
  stages = [stage for stage in summary.stages if stage.calls]
  counted = [(stage, _outcomes(stage.calls)) for stage in stages if stage.calls]
  names = [o for o in OUTCOMES if any(o in counts for _, counts in counted)]
  if not names:
    return None
  return Table(
    "What became of the answers",
    ("stage", *names),
    tuple(
      Row(
        (row_label(stage), *(wording.count(counts.get(o, 0)) for o in names)),
        row_kind(summary, stage),
      )
      for stage, counts in counted
    ),
    "Each example counts once, under the first thing that went wrong.",
  )


def _outcomes(calls: CallScores) -> dict[str, int]:
  total: dict[str, int] = {}
  for group in calls.categories:
    for outcome, n in group.outcomes.items():
      total[outcome] = total.get(outcome, 0) + n
  return total


def tool_making(summary: RunSummary) -> Table | None:
  """Tool making by stage."""
  rows = [
    Row(
      (
        row_label(stage),
        wording.count(t.n),
        *(
          wording.figure(f)
          for f in (
            t.parsed,
            t.valid,
            t.named,
            t.parameters,
            t.typed,
            t.usable,
            t.usable_by_name,
            t.solved,
          )
        ),
        f"{t.made_tools:.2f}",
      ),
      row_kind(summary, stage),
    )
    for stage in summary.stages
    if (t := stage.tools)
  ]
  if not rows:
    return None
  table = Table(
    "Making tools for a query",
    (
      "stage",
      "n",
      "parsed",
      "valid",
      "gold tool by name",
      "parameters by name",
      "… and type",
      "usable",
      "usable by name",
      "solved",
      "tools an answer",
    ),
    tuple(rows),
    "Usable: the tools are sound, and each gold call could be written"
    " with one of them: every value finds a parameter that admits it, and"
    " no required parameter stays empty. “Usable by name” is stricter:"
    " values stay under gold's parameter names."
    + (
      " Solved: the model answers the query with the made tools and fills in"
      " exactly gold's values."
      if any(s.tools and s.tools.solved for s in summary.stages)
      else ""
    ),
  )
  return without_empty_columns(table)


def bfcl(summary: RunSummary) -> Table | None:
  """Official scores of the first and the final state, by category."""
  columns = [
    (row_label(s), s.bfcl)
    for s in summary.stages
    if s.bfcl and not s.bfcl.skipped
  ]
  if columns and summary.garbage_bfcl:
    columns.append(("garbage", summary.garbage_bfcl))
  return _official("BFCL, official checker", columns)


def bfcl_slice(summary: RunSummary) -> Table | None:
  """Official scores on the slice that every stage answers, by category."""
  columns = [
    (row_label(s), s.bfcl_slice)
    for s in summary.stages
    if s.bfcl_slice and not s.bfcl_slice.skipped
  ]
  return _official("BFCL, a slice, by stage", columns)


def _official(
  title: str, columns: Sequence[tuple[str, BfclScores]]
) -> Table | None:
  if not columns:
    return None
  found = [{c.category: c.accuracy for c in b.categories} for _, b in columns]
  rows = [
    Row(
      (
        f"{spaced(name)} (n = {max(f[name].n for f in found if name in f)})",
        *(wording.figure(f.get(name)) for f in found),
      )
    )
    for name in bfcl_cases.CATEGORIES
    if any(name in f for f in found)
  ]
  totals = (
    ("all with gold calls", lambda b: wording.figure(b.ast)),
    ("leaderboard, non-live AST", lambda b: wording.percent(b.non_live_ast)),
    ("leaderboard, live AST", lambda b: wording.percent(b.live_ast)),
    ("irrelevance, all", lambda b: wording.figure(b.irrelevance)),
  )
  rows += [
    Row((name, *(read(b) for _, b in columns)), FINAL)
    for name, read in totals
    if any(read(b) != wording.NONE for _, b in columns)
  ]
  checkers = sorted({b.checker for _, b in columns})
  return Table(
    title,
    ("category", *(name for name, _ in columns)),
    tuple(rows),
    f"Judged in process by {', '.join(checkers)}. Irrelevance stands beside the"
    " AST categories: an answer that cannot be decoded passes it.",
  )


def spaced(name: str) -> str:
  """An identifier as words."""
  return name.replace("_", " ")
