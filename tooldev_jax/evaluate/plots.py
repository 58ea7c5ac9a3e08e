"""The plots of a report, as inline SVG.

Written by hand rather than by a plotting library: the same summary gives the
same bytes anywhere, colours follow the page's light or dark theme through its
style sheet (classes `s0`, `s1`, … are series), and text stays text. Each plot
has a title for screen readers, and its numbers stand in a table of the report.
"""

import dataclasses
import html
import math
from collections.abc import Sequence

from tooldev_jax.evaluate import wording
from tooldev_jax.evaluate.intervals import Figure
from tooldev_jax.evaluate.summary import RunSummary, StageSummary

SERIES = 8  # colours that the style sheet has
BINS = 8  # of the vote shares

_MOST_POINTS = 400  # of a loss curve
_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 16, 40


def score_by_stage(summary: RunSummary) -> str | None:
  """Scores of each stage with their intervals; hollow marks: rolled back."""
  stages = [stage for stage in summary.stages if stage.calls]
  if not stages:
    return None
  series = [
    ("exact calls", [_overall(s, "exact") for s in stages]),
    ("argument F1", [_overall(s, "f1") for s in stages]),
    ("over-calls where no tool fits", [_over_calls(s) for s in stages]),
  ]
  series = [(name, line) for name, line in series if any(line)]
  plot = _Plot("Scores by stage, in percent, with 95 % intervals")
  # As high as the highest interval: low scores would lie on the axis.
  highest = max(f.high for _, line in series for f in line if f)
  ticks = _nice_ticks(0, highest)
  plot.y_axis(0.0, highest, ticks, lambda v: f"{100 * v:g}")
  place = plot.x_names([s.name for s in stages])
  for index, (_, figures) in enumerate(series):
    # Side by side, so that whiskers do not hide one another.
    shift = 9 * (index - (len(series) - 1) / 2)
    marks = [
      (place(i) + shift, f, stages[i].accepted)
      for i, f in enumerate(figures)
      if f is not None
    ]
    plot.line([(x, plot.y(f.value)) for x, f, kept in marks if kept], index)
    for x, found, kept in marks:
      plot.whisker(x, found, index, hollow=not kept)
  return plot.render([name for name, _ in series])


def _overall(stage: StageSummary, name: str) -> Figure | None:
  overall = stage.calls.overall if stage.calls else None
  return getattr(overall, name) if overall else None


def _over_calls(stage: StageSummary) -> Figure | None:
  none_fits = stage.calls.irrelevance if stage.calls else None
  return none_fits.over_call if none_fits else None


def fates_by_round(summary: RunSummary) -> str | None:
  """Queries of each round, kept and dropped by reason, as stacked bars."""
  rounds = [r for r in summary.rounds if r.queries]
  if not rounds:
    return None
  # "kept" comes first and has the first colour, even if nothing was kept.
  names = list(dict.fromkeys(["kept", *(n for r in rounds for n in r.fates)]))
  bar, gap = 30, 18
  height = len(rounds) * (bar + gap) + gap + _BOTTOM
  plot = _Plot("Queries by round: kept, and dropped by reason", height)
  most = max(r.queries for r in rounds)
  left, right = _LEFT + 44, _WIDTH - _RIGHT
  ticks = _nice_ticks(0, most)
  scale = (right - left) / max(most, ticks[-1])
  for tick in ticks:
    x = left + tick * scale
    plot.add(_line(x, gap / 2, x, height - _BOTTOM, "grid"))
    plot.text(x, height - _BOTTOM + 18, wording.number(tick), "middle")
  for row, r in enumerate(rounds):
    y = gap + row * (bar + gap)
    plot.text(left - 8, y + bar / 2 + 4, r.name, "end")
    x = float(left)
    for index, name in enumerate(names):
      count = r.fates.get(name, 0)
      width = count * scale
      if not count:
        continue
      label = f"{r.name}: {_spaced(name)} {count}"
      plot.bar(x, y, width, bar, index, label)
      if width > 9 * len(str(count)):
        plot.text(x + width / 2, y + bar / 2 + 4, str(count), "middle", "on")
      x += width
  return plot.render([_spaced(name) for name in names])


def vote_shares(summary: RunSummary) -> str | None:
  """Histogram of the winners' vote shares, one panel a round."""
  rounds = [r for r in summary.rounds if r.vote_shares]
  if not rounds:
    return None
  plot = _Plot("Vote share of the winning calls, queries by share", 220)
  counts = [_histogram(r.vote_shares) for r in rounds]
  most = max(max(c) for c in counts)
  plot.y_axis(0, most, _nice_ticks(0, most, 4), wording.number)
  inner = plot.width - _LEFT - _RIGHT
  panel = inner / len(rounds)
  for index, (r, bins) in enumerate(zip(rounds, counts, strict=True)):
    left = _LEFT + index * panel + 14
    step = (panel - 28) / BINS
    for k, n in enumerate(bins):
      label = f"{r.name}: {n} queries at {k / BINS:g} to {(k + 1) / BINS:g}"
      top = plot.y(n)
      if n:
        plot.bar(left + k * step, top, step - 2, plot.bottom - top, 0, label)
    for k in range(0, BINS + 1, BINS // 2):
      plot.text(left + k * step, plot.bottom + 15, f"{k / BINS:g}", "middle")
    plot.text(left + panel / 2 - 14, plot.bottom + 32, r.name, "middle")
  return plot.render([])


def _histogram(shares: Sequence[float]) -> list[int]:
  """Counts in BINS bins of equal width, each with its upper end."""
  counts = [0] * BINS
  for share in shares:
    # 3/8 computed in floating point may lie a hair above its bin's end.
    index = math.ceil(round(share * BINS, 9)) - 1
    counts[min(BINS - 1, max(0, index))] += 1
  return counts


def losses(summary: RunSummary) -> str | None:
  """Training loss of all stages, one after another."""
  stages = [stage for stage in summary.stages if stage.losses]
  if not stages:
    return None
  plot = _Plot("Training loss by step, nats a trained token", 260)
  values = [v for s in stages for v in s.losses if math.isfinite(v)]
  ticks = _nice_ticks(0, max(values, default=1.0), 5)
  plot.y_axis(0, ticks[-1], ticks, wording.number)
  total = sum(s.loss_steps[-1] for s in stages) or 1
  inner = plot.width - _LEFT - _RIGHT
  done = 0
  for index, stage in enumerate(stages):
    start = _LEFT + inner * done / total
    end = _LEFT + inner * (done + stage.loss_steps[-1]) / total
    if index:
      plot.add(_line(start, _TOP, start, plot.bottom, "grid"))
    steps = wording.count(stage.loss_steps[-1])
    plot.text((start + end) / 2, plot.bottom + 16, stage.name, "middle")
    plot.text((start + end) / 2, plot.bottom + 31, f"{steps} steps", "middle")
    plot.line(
      [
        (_LEFT + inner * (done + step) / total, plot.y(value))
        for step, value in _thinned(stage.loss_steps, stage.losses)
      ],
      index % SERIES,
    )
    done += stage.loss_steps[-1]
  return plot.render([])


def _thinned(
  steps: Sequence[int], values: Sequence[float]
) -> list[tuple[float, float]]:
  """At most _MOST_POINTS points: means of neighbours where there are more.

  Losses that are not finite are left out; the table shows the last one.
  """
  points = [
    (float(step), value)
    for step, value in zip(steps, values, strict=True)
    if math.isfinite(value)
  ]
  group = math.ceil(len(points) / _MOST_POINTS) or 1
  if group == 1:
    return points
  return [
    (
      math.fsum(step for step, _ in part) / len(part),
      math.fsum(value for _, value in part) / len(part),
    )
    for start in range(0, len(points), group)
    if (part := points[start : start + group])
  ]


@dataclasses.dataclass
class _Plot:
  """An SVG under construction, in user units of about a pixel."""

  title: str
  height: float = _HEIGHT
  width: float = _WIDTH
  parts: list[str] = dataclasses.field(default_factory=list)
  low: float = 0.0
  high: float = 1.0

  @property
  def bottom(self) -> float:
    """Where the x axis runs."""
    return self.height - _BOTTOM

  def y(self, value: float) -> float:
    """Height of a value on the y axis."""
    share = (value - self.low) / ((self.high - self.low) or 1.0)
    return self.bottom - share * (self.bottom - _TOP)

  def add(self, part: str) -> None:
    self.parts.append(part)

  def text(
    self, x: float, y: float, text: str, anchor: str, style: str = "label"
  ) -> None:
    safe = html.escape(wording.visible(text))
    self.add(
      f'<text class="{style}" x="{x:.1f}" y="{y:.1f}"'
      f' text-anchor="{anchor}">{safe}</text>'
    )

  def y_axis(self, low, high, ticks, form) -> None:
    """Sets the scale and draws grid lines with their values."""
    self.low, self.high = float(low), float(max(high, ticks[-1]))
    for tick in ticks:
      y = self.y(tick)
      self.add(_line(_LEFT, y, self.width - _RIGHT, y, "grid"))
      self.text(_LEFT - 8, y + 4, form(tick), "end")

  def x_names(self, names: Sequence[str]):
    """Writes names along the x axis; returns index → x."""
    step = (self.width - _LEFT - _RIGHT) / len(names)
    place = lambda index: _LEFT + (index + 0.5) * step
    for index, name in enumerate(names):
      fits = max(4, int(step / 6.5))
      short = name if len(name) <= fits else name[: fits - 1] + "…"
      self.text(place(index), self.bottom + 20, short, "middle")
    return place

  def line(self, points: Sequence[tuple[float, float]], series: int) -> None:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if len(points) == 1:
      ((x, y),) = points
      self.add(
        f'<circle class="mark s{series}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
      )
    elif points:
      self.add(f'<polyline class="line s{series}" points="{text}"/>')

  def whisker(self, x: float, found: Figure, series: int, hollow: bool) -> None:
    low, high = self.y(found.low), self.y(found.high)
    self.add(_line(x, low, x, high, f"whisker s{series}"))
    kind = "hollow" if hollow else "mark"
    title = html.escape(wording.figure(found))
    self.add(
      f'<circle class="{kind} s{series}" cx="{x:.1f}"'
      f' cy="{self.y(found.value):.1f}" r="4"><title>{title}</title></circle>'
    )

  def bar(
    self,
    x: float,
    y: float,
    width: float,
    height: float,
    series: int,
    label: str,
  ) -> None:
    title = html.escape(wording.visible(label))
    self.add(
      f'<rect class="bar s{series % SERIES}" x="{x:.1f}" y="{y:.1f}"'
      f' width="{width:.1f}" height="{height:.1f}">'
      f"<title>{title}</title></rect>"
    )

  def render(self, legend: Sequence[str]) -> str:
    """The finished figure, with a legend under it."""
    title = html.escape(self.title)
    keys = "".join(
      f'<li><span class="key s{index % SERIES}"></span>'
      f"{html.escape(wording.visible(name))}</li>"
      for index, name in enumerate(legend)
    )
    return (
      '<figure><div class="scroll" tabindex="0">'
      f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img"'
      f' aria-label="{title}">{"".join(self.parts)}</svg></div>'
      f"<figcaption>{title}</figcaption>"
      + (f'<ul class="legend">{keys}</ul>' if keys else "")
      + "</figure>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
  return (
    f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}"'
    f' y2="{y2:.1f}"/>'
  )


def _nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
  """Round values from `low` to at least `high`."""
  span = (high - low) or 1.0
  power = 10.0 ** math.floor(math.log10(span / about))
  step = next(
    factor * power
    for factor in (1, 2, 5, 10)
    if span / (factor * power) <= about
  )
  count = math.ceil(round((high - low) / step, 9)) or 1
  return [round(low + k * step, 12) for k in range(count + 1)]


def _spaced(name: str) -> str:
  return name.replace("_", " ")
