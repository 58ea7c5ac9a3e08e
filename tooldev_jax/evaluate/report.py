"""The report of a run: `report.html`, self-contained, and `report.md`.

Both draw the tables of `tables` and compute nothing. The page holds its style
and its plots, loads nothing and runs no script; a content security policy in
it says so to the browser. Everything that a model or a user wrote is escaped.
"""

import html
import re
import string
from collections.abc import Callable, Sequence

from etils import epath

from tooldev_jax import io
from tooldev_jax.evaluate import plots, run_tables, tables, wording
from tooldev_jax.evaluate.summary import RunSummary, ShownSample, write_summary
from tooldev_jax.evaluate.tables import Table

HTML_NAME, MARKDOWN_NAME, JSON_NAME = (
  "report.html",
  "report.md",
  "summary.json",
)
GOOD_OUTCOMES = ("exact", "abstained")
_SAMPLE_CHARS = 4000
_TEMPLATE = epath.Path(__file__).parent / "report_template.html"

_Section = tuple[str, tuple[Callable[[RunSummary], Table | str | None], ...]]

_SECTIONS: tuple[_Section, ...] = (
  (
    "Scores",
    (
      tables.scores,
      plots.score_by_stage,
      tables.categories,
      tables.final_detail,
      tables.outcomes,
    ),
  ),
  ("Official benchmark", (tables.bfcl, tables.bfcl_slice)),
  ("Tool making", (tables.tool_making,)),
  (
    "Self-evolution",
    (
      run_tables.rounds,
      plots.fates_by_round,
      run_tables.fates,
      run_tables.sample_reasons,
      plots.vote_shares,
      run_tables.labels,
      run_tables.label_bands,
      run_tables.diversity,
    ),
  ),
  ("Training", (run_tables.training, plots.losses)),
  ("Left out and cut", (run_tables.notices,)),
)


def write_report(folder: io.PathLike, summary: RunSummary) -> epath.Path:
  """Writes the page, its Markdown twin and the summary they show.

  Args:
    folder: where `report.html`, `report.md` and `summary.json` go.
    summary: the run.

  Returns:
    The path of the page.
  """
  folder = epath.Path(folder)
  write_summary(folder / JSON_NAME, summary)
  io.write_text(folder / MARKDOWN_NAME, render_markdown(summary))
  io.write_text(folder / HTML_NAME, render_html(summary))
  return folder / HTML_NAME


def headline(summary: RunSummary) -> list[tuple[str, str]]:
  """The few figures to know first: (figure, what it is)."""
  found: list[tuple[str, str]] = []
  first = next((s for s in summary.stages if s.calls), None)
  final = summary.final
  if first and first.calls and final and final.calls:
    if final.calls.overall:
      was = first.calls.overall
      note = f"exact calls, {final.name}"
      if was and first is not final:
        note += f"; {first.name} had {wording.percent(was.exact.value)}"
      found.append((wording.percent(final.calls.overall.exact.value), note))
    if final.calls.irrelevance:
      share = wording.percent(final.calls.irrelevance.exact.value)
      found.append((share, "abstained where no tool fits"))
  if final and final.bfcl and final.bfcl.ast:
    share = wording.percent(final.bfcl.ast.value)
    found.append((share, "BFCL cases with gold calls, official checker"))
  if final and final.tools:
    share = wording.percent(final.tools.usable.value)
    found.append((share, "queries with usable made tools"))
  judged = [r for r in summary.rounds if r.labels]
  if judged and judged[-1].labels:
    share = wording.percent(judged[-1].labels.values_exact.value)
    found.append((share, f"of self-made labels right, {judged[-1].name}"))
  return found


# HTML


def render_html(summary: RunSummary) -> str:
  """The page."""
  parts = [_header(summary)]
  links = []
  for index, (title, makers) in enumerate(_SECTIONS):
    drawn = [_draw(made) for make in makers if (made := make(summary))]
    if drawn:
      links.append((f"part{index}", title))
      parts.append(f'<h2 id="part{index}">{_safe(title)}</h2>')
      parts += drawn
  if summary.samples:
    links.append(("samples", "Samples"))
    parts.append('<h2 id="samples">Samples beside gold</h2>')
    parts += [_sample(sample) for sample in summary.samples]
  links.append(("run", "What ran"))
  parts.append(_what_ran(summary))
  menu = "".join(
    f'<a href="#{anchor}">{_safe(title)}</a>' for anchor, title in links
  )
  parts.insert(1, f"<nav>{menu}</nav>")
  template = string.Template(_TEMPLATE.read_text(encoding="utf-8"))
  return template.substitute(title=_safe(summary.title), body="\n".join(parts))


def _safe(text: str) -> str:
  return html.escape(wording.visible(text))


def _header(summary: RunSummary) -> str:
  items = "".join(
    f"<li><b>{_tied(value)}</b><span>{_tied(what)}</span></li>"
    for value, what in headline(summary)
  )
  facts = list(summary.facts.items())[:4]
  lead = " · ".join(f"{_safe(k)}: {_safe(v)}" for k, v in facts)
  return (
    f"<h1>{_safe(summary.title)}</h1>"
    + (f'<p class="lead">{lead}</p>' if lead else "")
    + (f'<ul class="headline">{items}</ul>' if items else "")
  )


def _tied(text: str) -> str:
  """Safe text that does not break before a per-cent sign."""
  return _safe(text).replace(" %", "&nbsp;%")


def _draw(made: Table | str) -> str:
  return made if isinstance(made, str) else _table(made)


def _table(table: Table) -> str:
  head = "".join(
    f'<th scope="col"{_text_class(table, i)}>{_cell(name, False)}</th>'
    for i, name in enumerate(table.columns)
  )
  body = "".join(
    f'<tr class="{row.kind}">'
    f'<th scope="row" class="text">{_cell(row.cells[0], False)}</th>'
    + "".join(
      f"<td{_text_class(table, i)}>{_cell(cell, i in table.texts)}</td>"
      for i, cell in enumerate(row.cells)
      if i
    )
    + "</tr>"
    for row in table.rows
  )
  note = f'<p class="note">{_safe(table.note)}</p>' if table.note else ""
  return (
    f'<h3>{_safe(table.title)}</h3><div class="scroll" tabindex="0"><table>'
    f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
  )


def _text_class(table: Table, index: int) -> str:
  return ' class="text"' if index == 0 or index in table.texts else ""


def _cell(cell: str, is_text: bool) -> str:
  """A cell; the interval behind a figure is drawn smaller."""
  if is_text or " (" not in cell:
    return _safe(cell)
  value, rest = cell.split(" (", 1)
  return f"{_safe(value)} <small>({_safe(rest)}</small>"


def _sample(sample: ShownSample) -> str:
  kind = "good" if sample.outcome in GOOD_OUTCOMES else "bad"
  tools = wording.shorten(", ".join(sample.tools) or "none", 300)
  query = wording.shorten(sample.query, _SAMPLE_CHARS)
  return (
    f'<article class="sample {kind}"><header>'
    f'<span class="outcome">{_safe(sample.outcome)}</span>'
    f"<span>{_safe(sample.stage)}</span>"
    f"<span>{_safe(sample.category.replace('_', ' '))}</span>"
    f"<span>{_safe(sample.example_id)}</span>"
    f"<span>tools: {_safe(tools)}</span></header>"
    f'<p class="query">{_safe(query)}</p>'
    '<div class="pair">'
    f"<div><h4>gold</h4><pre>{_text(sample.gold)}</pre></div>"
    f"<div><h4>answer</h4><pre>{_text(sample.output)}</pre></div>"
    "</div></article>"
  )


def _text(text: str) -> str:
  return _safe(wording.shorten(text, _SAMPLE_CHARS)) or "(empty)"


def _what_ran(summary: RunSummary) -> str:
  clock = summary.clock
  facts = dict(summary.facts)
  if clock:
    facts |= {
      name: value
      for name, value in (
        ("machine", clock.machine),
        ("started", clock.started),
        ("finished", clock.finished),
      )
      if value
    }
    if clock.seconds:
      facts["wall time"] = wording.duration(sum(clock.seconds.values()))
  rows = "".join(
    f"<dt>{_safe(k)}</dt><dd>{_safe(v)}</dd>" for k, v in facts.items()
  )
  next_step = (
    f"<p>Next: <code>{_safe(summary.next_step)}</code></p>"
    if summary.next_step
    else ""
  )
  config = (
    "<details><summary>The whole config</summary>"
    f"<pre>{_safe(summary.config)}</pre></details>"
    if summary.config
    else ""
  )
  return f'<h2 id="run">What ran</h2><dl>{rows}</dl>{next_step}{config}'


# Markdown


def render_markdown(summary: RunSummary) -> str:
  """The same without plots, for a terminal or a code host."""
  parts = [f"# {_flat(summary.title)}"]
  parts += [f"- **{_flat(v)}** {_flat(w)}" for v, w in headline(summary)]
  for title, makers in _SECTIONS:
    made = [table for make in makers if (table := make(summary))]
    drawn = [_markdown_table(t) for t in made if isinstance(t, Table)]
    if drawn:
      parts.append(f"\n## {title}")
      parts += drawn
  if summary.samples:
    parts.append("\n## Samples beside gold")
    parts += [_markdown_sample(sample) for sample in summary.samples]
  parts.append("\n## What ran\n")
  facts = dict(summary.facts)
  if summary.clock:
    facts |= {"machine": summary.clock.machine}
  parts += [f"- {_flat(k)}: {_flat(v)}" for k, v in facts.items() if v]
  if summary.next_step:
    parts.append(f"\nNext:\n\n{_fence(summary.next_step)}")
  if summary.config:
    parts.append(f"\nThe whole config:\n\n{_fence(summary.config)}")
  return "\n".join(parts) + "\n"


def _flat(text: str) -> str:
  """Foreign text inside a line of Markdown: no markup, no line ends."""
  line = " ".join(wording.visible(text).split())
  return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", line)


def _fence(text: str) -> str:
  """Text as a block that nothing in it can close."""
  shown = wording.shorten(wording.visible(text), _SAMPLE_CHARS * 4)
  longest = max((len(run) for run in re.findall("`+", shown)), default=0)
  fence = "`" * max(3, longest + 1)
  return f"{fence}text\n{shown}\n{fence}"


def _markdown_table(table: Table) -> str:
  rule = [
    ":--" if i == 0 or i in table.texts else "--:"
    for i in range(len(table.columns))
  ]
  lines = [f"\n### {_flat(table.title)}\n", _markdown_row(table.columns)]
  lines.append("| " + " | ".join(rule) + " |")
  for row in table.rows:
    lines.append(_markdown_row(row.cells))
  if table.note:
    lines.append(f"\n{_flat(table.note)}")
  return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
  return "| " + " | ".join(_flat(cell) for cell in cells) + " |"


def _markdown_sample(sample: ShownSample) -> str:
  return "\n".join(
    (
      f"\n### {_flat(sample.outcome)}: {_flat(sample.example_id)}"
      f" ({_flat(sample.stage)})\n",
      _fence(sample.query),
      "\nGold:\n",
      _fence(sample.gold),
      "\nAnswer:\n",
      _fence(sample.output),
    )
  )
