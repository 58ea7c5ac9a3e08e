"""The plots of a report, as inline SVG by matplotlib.

Equal summaries give equal bytes: no dates, and ids made with a fixed salt.
Colours are those of the page's style sheet (`--c0`, `--c1`, … for series), so
they follow its light or dark theme, and text stays text. Each plot has a title
for screen readers, and its numbers stand in a table of the report.
"""

import io
import math
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tooldev_jax.evaluate import wording
from tooldev_jax.evaluate.summary import RunSummary
from tooldev_jax.evaluate.tables import field_at

SERIES = 8  # colours that the style sheet has
BINS = 8  # of the vote shares
MOST_POINTS = 400  # of a loss curve

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
# Stand-ins that matplotlib draws with, for the page's colours.
_COLOURS = {f"#0100{k:02x}": f"var(--c{k})" for k in range(SERIES)}
_PAPER, _SOFT, _RULE, _ON = "#020000", "#020001", "#020002", "#020003"
_COLOURS |= dict(
  zip(
    (_PAPER, _SOFT, _RULE, _ON),
    ("var(--paper)", "var(--soft)", "var(--rule)", "var(--on)"),
    strict=True,
  )
)
_STYLE: Any = {
  "svg.fonttype": "none",
  "font.size": 8,
  "text.parse_math": False,  # names are foreign text
  "text.color": _SOFT,
  "axes.labelcolor": _SOFT,
  "xtick.color": _SOFT,
  "ytick.color": _SOFT,
  "xtick.major.size": 0,
  "ytick.major.size": 0,
  "axes.edgecolor": _RULE,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.spines.left": False,
  "axes.axisbelow": True,
  "grid.color": _RULE,
  "lines.linewidth": 1.4,
}


@mpl.rc_context(_STYLE)
def score_by_stage(summary: RunSummary) -> Markup | None:
  """Scores of each stage with their intervals; hollow marks: rolled back."""
  stages = [stage for stage in summary.stages if stage.calls]
  if not stages:
    return None
  figure, (axes,) = _figure(3.0)
  every = {
    "exact calls": "calls.overall.exact",
    "argument F1": "calls.overall.f1",
    "over-calls where no tool fits": "calls.irrelevance.over_call",
  }
  all_series = {
    name: [field_at(stage, path) for stage in stages]
    for name, path in every.items()
  }
  series = {name: line for name, line in all_series.items() if any(line)}
  for index, (name, line) in enumerate(series.items()):
    # Side by side, so that whiskers do not hide one another.
    shift = 0.08 * (index - (len(series) - 1) / 2)
    marks = [
      (x + shift, found, stages[x].accepted)
      for x, found in enumerate(line)
      if found
    ]
    kept = [(x, 100 * found.value) for x, found, accepted in marks if accepted]
    axes.plot(*zip(*kept, strict=True), color=_colour(index))
    for x, found, accepted in marks:
      low, high = 100 * found.low, 100 * found.high
      axes.plot([x, x], [low, high], color=_colour(index), alpha=0.7)
      (mark,) = axes.plot(
        [x],
        [100 * found.value],
        "o",
        color=_colour(index),
        markersize=5,
        markerfacecolor=_colour(index) if accepted else _PAPER,
      )
      stage = stages[round(x)].name
      mark.set_gid(_tip(f"{stage}, {name}: {wording.figure(found)}"))
  axes.set_ylim(bottom=0)
  axes.set_xticks(range(len(stages)), [_short(s.name) for s in stages])
  axes.grid(axis="y")
  title = "Scores by stage, in percent, with 95 % intervals"
  return _svg(figure, title, series)


@mpl.rc_context(_STYLE)
def statuses_by_round(summary: RunSummary) -> Markup | None:
  """Queries of each round, kept and dropped by reason, as stacked bars."""
  rounds = [r for r in summary.rounds if r.queries]
  if not rounds:
    return None
  # "kept" comes first and has the first colour, even if nothing was kept.
  names = dict.fromkeys(["kept", *(n for r in rounds for n in r.statuses)])
  figure, (axes,) = _figure(0.6 + 0.5 * len(rounds))
  most = max(r.queries for r in rounds)
  for row, r in enumerate(rounds):
    done = 0
    for index, name in enumerate(names):
      found = r.statuses.get(name, 0)
      if not found:
        continue
      (bar,) = axes.barh(
        [row], [found], 0.62, done, color=_colour(index), edgecolor=_PAPER
      )
      bar.set_gid(_tip(f"{r.name}: {wording.spaced(name)} {found}"))
      if found > 0.015 * most * len(str(found)):
        axes.text(
          done + found / 2, row, str(found),
          color=_ON, ha="center", va="center", fontweight="bold",
        )  # fmt: skip
      done += found
  axes.set_yticks(range(len(rounds)), [_short(r.name) for r in rounds])
  axes.invert_yaxis()
  axes.grid(axis="x")
  title = "Queries by round: kept, and dropped by reason"
  return _svg(figure, title, map(wording.spaced, names))


@mpl.rc_context(_STYLE)
def vote_shares(summary: RunSummary) -> Markup | None:
  """Histogram of the winners' vote shares, one panel a round."""
  rounds = [r for r in summary.rounds if r.vote_shares]
  if not rounds:
    return None
  figure, panels = _figure(2.2, len(rounds))
  for axes, r in zip(panels, rounds, strict=True):
    counts = histogram(r.vote_shares)
    bars = axes.bar(
      [(k + 0.5) / BINS for k in range(BINS)],
      counts,
      0.9 / BINS,
      color=_colour(0),
    )
    for k, bar in enumerate(bars):
      share = f"{k / BINS:g} to {(k + 1) / BINS:g}"
      bar.set_gid(_tip(f"{r.name}: {counts[k]} queries at {share}"))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel(_short(r.name))
    axes.grid(axis="y")
  return _svg(figure, "Vote share of the winning calls, queries by share")


def histogram(shares: Sequence[float]) -> list[int]:
  """Counts in BINS bins of equal width, each with its upper end."""
  # 3/8 computed in floating point may lie a hair above its bin's end.
  bins = np.ceil(np.round(np.asarray(shares) * BINS, 9)).astype(int) - 1
  return np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS).tolist()


@mpl.rc_context(_STYLE)
def losses(summary: RunSummary) -> Markup | None:
  """Training loss of all stages, one after another."""
  stages = [stage for stage in summary.stages if stage.losses]
  if not stages:
    return None
  figure, (axes,) = _figure(2.6)
  done, centres, names = 0, [], []
  for index, stage in enumerate(stages):
    points = thinned(stage.loss_steps, stage.losses)
    axes.plot(
      done + points[:, 0],
      points[:, 1],
      "o-" if len(points) == 1 else "-",
      color=_colour(index),
      markersize=3,
    )
    steps = stage.loss_steps[-1]
    if index:
      axes.axvline(done, color=_RULE, linewidth=0.8)
    centres.append(done + steps / 2)
    names.append(f"{_short(stage.name)}\n{wording.count(steps)} steps")
    done += steps
  axes.set_xlim(0, max(1, done))
  axes.set_ylim(bottom=0)
  axes.set_xticks(centres, names)
  axes.grid(axis="y")
  return _svg(figure, "Training loss by step, nats a trained token")


def thinned(steps: Sequence[int], values: Sequence[float]) -> np.ndarray:
  """At most MOST_POINTS points: means of neighbours where there are more.

  Values that are not finite are left out.

  Returns:
    [N, 2] steps and values.
  """
  points = np.array([steps, values], np.float64).T
  points = points[np.isfinite(points[:, 1])]
  group = math.ceil(len(points) / MOST_POINTS) or 1
  parts = [points[i : i + group] for i in range(0, len(points), group)]
  return np.array([part.mean(axis=0) for part in parts]).reshape(-1, 2)


def _short(name: str) -> str:
  """Foreign text as a label."""
  text = wording.visible(name)
  return text if len(text) <= 20 else f"{text[:19]}…"


def _figure(height: float, panels: int = 1) -> tuple[Figure, Sequence[Axes]]:
  """A figure of 7.2 by `height` inches, with panels that share the y axis."""
  figure = Figure(figsize=(7.2, height), layout="constrained")
  drawn = figure.subplots(1, panels, sharey=True, squeeze=False)
  return figure, drawn[0]


def _colour(series: int) -> str:
  return f"#0100{series % SERIES:02x}"


def _tip(text: str) -> str:
  """The id of an element that shows `text` under the pointer."""
  return f"tip {wording.visible(text)}"


def _svg(figure: Figure, title: str, legend: Iterable[str] = ()) -> Markup:
  """The figure as a part of the page, with a legend under it."""
  file = io.StringIO()
  nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
  # Ids differ from plot to plot. Letters are drawn in the reader's own font.
  with mpl.rc_context({"svg.hashsalt": title}), warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Glyph .* missing")
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
  root = ElementTree.fromstring(file.getvalue())
  for size in ("width", "height"):
    del root.attrib[size]
  root.attrib |= {"role": "img", "aria-label": title}
  _tidy(root)
  keys = [
    f'<li><span class="key s{index % SERIES}"></span>{escape(name)}</li>'
    for index, name in enumerate(map(wording.visible, legend))
  ]
  return Markup(
    '<figure><div class="scroll" tabindex="0">'
    + ElementTree.tostring(root, encoding="unicode")
    + f"</div><figcaption>{escape(title)}</figcaption>"
    + (f'<ul class="legend">{"".join(keys)}</ul>' if keys else "")
    + "</figure>"
  )


def _tidy(root: ElementTree.Element) -> None:
  """Gives the page's colours and font, real tooltips, and no spare ids."""
  linked = {element.get(_LINK, "")[1:] for element in root.iter()}
  for element in list(root.iter()):
    element.tag = element.tag.removeprefix(_SVG)
    element.attrib.pop("clip-path", None)  # Nothing is drawn outside.
    if "style" in element.attrib:
      style = re.sub("font-family: [^;]*; ", "", element.attrib["style"])
      element.attrib["style"] = re.sub(
        "#[0-9a-f]{6}", lambda found: _COLOURS.get(found[0], found[0]), style
      )
    if _LINK in element.attrib:
      element.attrib["href"] = element.attrib.pop(_LINK)
    name = element.get("id", "")
    if name and name not in linked:
      del element.attrib["id"]
    if name.startswith("tip "):
      tip = ElementTree.Element("title")
      tip.text = name.removeprefix("tip ")
      element.insert(0, tip)
  for element in list(root.iter()):
    for child in list(element):
      if child.tag in ("clipPath", "metadata", "style"):
        element.remove(child)
