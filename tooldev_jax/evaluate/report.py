"""The report of a run: `report.html`, self-contained, and `report.md`.

Both are templates over one `RunSummary`; they draw the tables of `tables` and
the plots of `plots` and compute nothing. The page holds its style and its
plots, loads nothing and runs no script; a content security policy in it says
so to the browser. Everything that a model or a user wrote is escaped.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jinja2
from etils import epath
from markupsafe import Markup

from tooldev_jax import io
from tooldev_jax.evaluate import plots, round_tables, tables, wording
from tooldev_jax.evaluate.summary import RunSummary, write_summary
from tooldev_jax.evaluate.tables import Table

HTML_NAME, MARKDOWN_NAME, JSON_NAME = (
  "report.html",
  "report.md",
  "summary.json",
)
GOOD_OUTCOMES = ("exact", "abstained")
_SAMPLE_CHARS = 4000
_TEMPLATES = epath.Path(__file__).parent / "templates"

_Maker = Callable[[RunSummary], Table | Markup | None]
_SECTIONS: dict[str, Sequence[_Maker]] = {
  "Scores": (
    tables.scores,
    plots.score_by_stage,
    tables.categories,
    tables.final_detail,
    tables.outcomes,
  ),
  "Official benchmark": (tables.bfcl, tables.bfcl_slice),
  "Tool making": (tables.tool_making,),
  "Self-evolution": (
    round_tables.rounds,
    plots.statuses_by_round,
    round_tables.statuses,
    round_tables.sample_reasons,
    plots.vote_shares,
    round_tables.labels,
    round_tables.label_bands,
    round_tables.diversity,
  ),
  "Training": (tables.training, plots.losses),
  "Left out and cut": (tables.notices,),
}


class _Section(NamedTuple):
  """A part of the report: its tables and plots, in order."""

  title: str
  parts: Sequence[Table | Markup]

  @property
  def tables(self) -> list[Table]:
    """What of it Markdown can show."""
    return [part for part in self.parts if isinstance(part, Table)]


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


def render_html(summary: RunSummary) -> str:
  """The page."""
  environment = _environment(_visible)
  return environment.get_template(HTML_NAME).render(_contents(summary))


def render_markdown(summary: RunSummary) -> str:
  """The same without plots, for a terminal or a code host."""
  environment = _environment(_flat)
  return environment.get_template(MARKDOWN_NAME).render(_contents(summary))


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


def _contents(summary: RunSummary) -> dict[str, Any]:
  """What the templates show."""
  sections = [
    _Section(title, [part for make in makers if (part := make(summary))])
    for title, makers in _SECTIONS.items()
  ]
  facts, clock = dict(summary.facts), summary.clock
  if clock:
    facts |= {
      "machine": clock.machine,
      "started": clock.started,
      "finished": clock.finished,
    }
    if clock.seconds:
      facts["wall time"] = wording.duration(sum(clock.seconds.values()))
  return {
    "title": summary.title,
    "lead": list(summary.facts.items())[:4],
    "headline": headline(summary),
    "sections": [section for section in sections if section.parts],
    "samples": summary.samples,
    "good_outcomes": GOOD_OUTCOMES,
    "facts": [(name, value) for name, value in facts.items() if value],
    "next_step": summary.next_step,
    "config": summary.config,
  }


def _environment(finalize: Callable[[Any], Any]) -> jinja2.Environment:
  """The templates.

  Every text that they show goes through `finalize`, and what that does not
  return as markup is escaped for HTML.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    finalize=finalize,
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
  )
  shorten = lambda text, most=_SAMPLE_CHARS: wording.shorten(text, most)
  environment.filters |= {
    "shorten": shorten,
    "spaced": wording.spaced,
    "fence": _fence,
  }
  environment.tests["plot"] = lambda part: isinstance(part, Markup)
  return environment


def _visible(value: Any) -> Any:
  """Foreign text without control characters; what is markup stays."""
  if isinstance(value, Markup) or not isinstance(value, str):
    return value
  return wording.visible(value)


def _flat(value: Any) -> Any:
  """Foreign text inside a line of Markdown: no markup, no line ends."""
  if isinstance(value, Markup) or not isinstance(value, str):
    return value
  line = " ".join(wording.visible(value).split())
  return Markup(re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", line))


def _fence(text: str) -> Markup:
  """Text as a block of Markdown that nothing in it can close."""
  shown = wording.shorten(wording.visible(text), _SAMPLE_CHARS * 4)
  longest = max((len(run) for run in re.findall("`+", shown)), default=0)
  fence = "`" * max(3, longest + 1)
  return Markup(f"{fence}text\n{shown}\n{fence}")
