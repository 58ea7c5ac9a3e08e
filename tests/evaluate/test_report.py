"""The report: whole, deterministic, self-contained and safe to open."""

import dataclasses
import html.parser
import io
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import rich.console
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluate.fake_run import fake_judgements, fake_summary
from tooldev_jax import records
from tooldev_jax.evaluate import (
  metrics,
  plots,
  report,
  round_tables,
  tables,
  terminal,
  wording,
)
from tooldev_jax.evaluate.bfcl import BfclScores
from tooldev_jax.evaluate.summary import (
  Notice,
  RoundSummary,
  RunSummary,
  ShownSample,
  StageSummary,
  read_summary,
)

HOSTILE = (
  '</pre></td><script>alert(1)</script><img src=x onerror="alert(2)">'
  "\x1b[31m\x00\u202e\uffff"
  "[link](javascript:alert(3)) | cell\n```\n# heading\n````"
  "$body ${title} [bold red]rich[/bold red] {0} %s \ud800"
)

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(html.parser.HTMLParser):
  """Collects elements and attributes, and checks that they nest."""

  def __init__(self):
    super().__init__(convert_charrefs=True)
    self.open, self.elements, self.text = [], [], []

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


def parse(page):
  parser = Page()
  parser.feed(page)
  parser.close()
  assert parser.open == []
  return parser


def hostile_summary(text=HOSTILE):
  """A run in which every foreign text tries to break out."""
  calls = metrics.score(fake_judgements(0.5, 0))
  return RunSummary(
    title=text,
    facts={text: text},
    stages=(
      StageSummary(text, note=text, calls=calls),
      StageSummary(
        "last", calls=calls, losses=(1.0,), loss_steps=(1,), tokens=1
      ),
    ),
    rounds=(
      RoundSummary(
        text,
        statuses={"kept": 1, text: 2},
        sample_reasons={text: 1},
        vote_shares=(0.5,),
        diversity={text: 1.5},
        verdict=text,
      ),
    ),
    samples=(ShownSample(text, text, text, text, text, (text,), text, text),),
    notices=(Notice(text, 1, 2, text),),
    config=text,
    next_step=text,
  )


def test_report_files_are_whole_and_equal_on_every_run(tmp_path):
  page = report.write_report(tmp_path, fake_summary())
  assert page == tmp_path / "report.html"
  assert page.read_text() == report.render_html(fake_summary())
  markdown = (tmp_path / "report.md").read_text()
  assert markdown == report.render_markdown(fake_summary())
  assert read_summary(tmp_path / "summary.json") == fake_summary()


def test_the_page_loads_nothing_and_runs_nothing():
  page = report.render_html(fake_summary())
  found = parse(page)
  assert not {"script", "link", "iframe", "img", "object"} & {
    tag for tag, _ in found.elements
  }
  for _, attributes in found.elements:
    assert not any(name.startswith("on") for name in attributes)
    for name in ("src", "srcset", "action", "xlink:href"):
      assert name not in attributes
    assert attributes.get("href", "#").startswith("#")
  assert "url(" not in page and "@import" not in page
  assert "default-src 'none'" in page


def test_links_inside_the_page_lead_somewhere():
  found = parse(report.render_html(fake_summary()))
  ids = {a["id"] for _, a in found.elements if "id" in a}
  links = {a["href"][1:] for t, a in found.elements if t == "a"}
  assert links and links <= ids


def test_hostile_text_stays_text_on_the_page(tmp_path):
  found = parse(report.render_html(hostile_summary()))
  tags = {tag for tag, _ in found.elements}
  assert not {"script", "img"} & tags
  plain = parse(report.render_html(fake_summary()))
  assert tags <= {tag for tag, _ in plain.elements}
  text = "".join(found.text)
  assert "<script>alert(1)</script>" in text
  assert "$body" in text and "${title}" in text
  for character in "\x00\x1b\u202e":
    assert character not in text
  report.write_report(tmp_path, hostile_summary_without_surrogates())


def hostile_summary_without_surrogates():
  """JSON on disk is UTF-8: lone surrogates never get into a summary there."""
  value = json.dumps(dataclasses.asdict(hostile_summary()))
  return records.from_json(
    RunSummary, json.loads(value.replace("\\ud800", "?"))
  )


def test_hostile_text_stays_text_in_markdown():
  text = report.render_markdown(hostile_summary())
  fence = None
  for line in text.split("\n"):
    run = re.match("`{3,}", line)
    if run and fence is None:
      fence = run[0]
    elif fence is not None and line == fence:
      fence = None
    elif fence is None:
      assert "<script" not in line.replace("\\<", "")
      assert "](javascript" not in line.replace("\\]", "")
      assert line.count("#") == line.count("\\#") or line.startswith("#")
  assert fence is None
  widths = {
    len(re.findall(r"(?<!\\)\|", line))
    for line in text.split("\n")
    if line.startswith("| ")
  }
  assert all(width > 1 for width in widths)


def test_hostile_text_neither_styles_nor_steers_the_terminal():
  text = io.StringIO()
  console = rich.console.Console(file=text, width=200, force_terminal=True)
  terminal.print_summary(hostile_summary(), console)
  shown = text.getvalue()
  assert "\x1b[31m" not in shown
  assert "\x00" not in shown and "\u202e" not in shown
  assert "⟨001B⟩" in re.sub(r"\s|│", "", re.sub("\x1b\\[[0-9;]*m", "", shown))


@settings(max_examples=8, deadline=None)
@given(text=st.text(min_size=1, max_size=40))
def test_any_text_can_stand_anywhere_in_a_report(text):
  run = hostile_summary(text)
  page = parse(report.render_html(run))
  assert ("details", {}) in page.elements
  assert report.render_markdown(run).startswith("# ")
  assert terminal.summary_text(run, 200)


@pytest.mark.parametrize(
  "plot",
  [
    plots.score_by_stage,
    plots.statuses_by_round,
    plots.vote_shares,
    plots.losses,
  ],
)
def test_plots_are_well_formed_and_stay_inside_their_frame(plot):
  for run in (fake_summary(), hostile_summary()):
    drawn = plot(run)
    assert drawn == plot(run)
    svg = ElementTree.fromstring(drawn).find("div/svg")
    assert svg.get("role") == "img" and svg.get("aria-label")
    width, height = map(float, svg.get("viewBox").split()[2:])
    for element in svg.iter("path"):
      if element.get("id"):
        continue  # A mark, drawn where it is used.
      numbers = re.findall(r"-?[\d.]+", element.get("d"))
      for x, y in zip(*[map(float, numbers)] * 2, strict=True):
        assert -0.5 <= x <= width + 0.5 and -0.5 <= y <= height + 0.5
    for element in (*svg.iter("text"), *svg.iter("use")):
      moved = re.match(
        r"translate\((\S+) (\S+)\)", element.get("transform", "")
      )
      x, y = moved.groups() if moved else map(element.get, ("x", "y"))
      assert -0.5 <= float(x) <= width + 0.5
      assert -0.5 <= float(y) <= height + 0.5
  assert plot(RunSummary("empty", {}, ())) is None


def test_plots_take_the_colours_of_the_page():
  page = report.render_html(fake_summary())
  drawn = "".join(re.findall("<svg.*?</svg>", page, re.DOTALL))
  assert not re.search("#[0-9a-f]{6}", drawn)
  assert "font-family" not in drawn and "<style" not in drawn
  used = set(re.findall(r"var\((--\w+)\)", drawn))
  assert {"--c0", "--c1", "--soft", "--rule", "--on"} <= used
  declared = set(re.findall(r"(--\w+):", page))
  assert used <= declared


def test_plots_name_what_lies_under_the_pointer():
  run = fake_summary()
  tips = _tips(plots.statuses_by_round(run))
  assert f"round 1: kept {run.rounds[0].kept}" in tips
  exact = run.stages[0].calls.overall.exact
  tips = _tips(plots.score_by_stage(run))
  assert f"base, exact calls: {wording.figure(exact)}" in tips
  assert len(tips) == 3 * len(run.stages)


def _tips(drawn):
  tree = ElementTree.fromstring(drawn)
  return [title.text for title in tree.iter("title")]


def test_no_two_elements_of_the_page_share_an_id():
  found = parse(report.render_html(fake_summary()))
  ids = [a["id"] for _, a in found.elements if "id" in a]
  assert len(ids) == len(set(ids))


def test_names_of_stages_are_no_mathematics_and_no_colours():
  stage = dataclasses.replace(fake_summary().stages[0], name="$x_1$ #010000")
  drawn = plots.score_by_stage(RunSummary("t", {}, (stage,)))
  assert "$x_1$ #010000</text>" in drawn


def test_plot_of_losses_is_thinned_and_skips_what_is_not_finite():
  steps = tuple(range(1, 5001))
  values = (*(5.0 / s for s in steps[:-1]), float("inf"))
  points = plots.thinned(steps, values)
  assert 100 < len(points) <= plots.MOST_POINTS
  first = [7.0, sum(5.0 / s for s in range(1, 14)) / 13]
  assert points[0].tolist() == pytest.approx(first, rel=1e-12)
  assert np.isfinite(points).all()
  assert plots.thinned((1, 2), (float("nan"), 3.0)).tolist() == [[2.0, 3.0]]
  stage = StageSummary("long", loss_steps=steps, losses=values)
  assert "nan" not in plots.losses(RunSummary("t", {}, (stage,)))
  broken = dataclasses.replace(stage, losses=(float("inf"),) * 5000)
  assert "long" in plots.losses(RunSummary("t", {}, (broken,)))


def test_every_bar_of_the_statuses_is_as_long_as_its_count():
  run = fake_summary()
  tree = ElementTree.fromstring(plots.statuses_by_round(run))
  lengths = {}
  for group in tree.iter("g"):
    if (title := group.find("title")) is not None:
      numbers = re.findall(r"[\d.]+", group.find("path").get("d"))
      left, right = float(numbers[0]), float(numbers[2])
      lengths[title.text] = right - left
  counts = [n for r in run.rounds for n in r.statuses.values() if n]
  assert len(lengths) == len(counts)
  scale = lengths[f"round 1: kept {run.rounds[0].kept}"] / run.rounds[0].kept
  for text, length in lengths.items():
    count = int(text.rsplit(" ", 1)[1])
    assert length == pytest.approx(count * scale, abs=0.01)


def test_a_round_that_kept_nothing_does_not_wear_the_colour_of_kept():
  run = RunSummary("t", {}, (), (RoundSummary("round 1", {"no_majority": 3}),))
  drawn = plots.statuses_by_round(run)
  assert "fill: var(--c1)" in drawn and "var(--c0)" not in drawn
  assert '<span class="key s0"></span>kept' in drawn
  shown = {
    row.cells[0]: row.cells[1] for row in round_tables.statuses(run).rows
  }
  assert shown == {"kept": "0", "no majority": "3"}


def test_a_single_loss_is_a_dot():
  stage = StageSummary("short", loss_steps=(1,), losses=(2.0,))
  assert "<use" in plots.losses(RunSummary("t", {}, (stage,)))
  longer = StageSummary("short", loss_steps=(1, 2), losses=(2.0, 1.0))
  assert "<use" not in plots.losses(RunSummary("t", {}, (longer,)))


def test_histogram_counts_every_share_once():
  shares = [0.0, 0.125, 0.2, 3 / 8, 0.375000000001, 1.0]
  assert plots.histogram(shares) == [2, 1, 2, 0, 0, 0, 0, 1]


def test_rolled_back_rounds_are_shown_but_never_final():
  run = fake_summary()
  assert run.final.name == "round 3"
  shown = tables.scores(run)
  kinds = {row.cells[0]: row.kind for row in shown.rows}
  assert kinds["round 2 (rolled back)"] == tables.REJECTED
  assert kinds["round 3"] == tables.FINAL
  assert kinds["garbage"] == tables.GARBAGE
  last = dataclasses.replace(run, stages=run.stages[:5])
  assert last.final.name == "round 1"


def test_irrelevance_is_in_no_average():
  run = fake_summary()
  shown = tables.scores(run)
  column = shown.columns.index("exact calls")
  garbage = shown.rows[-1].cells
  assert garbage[column].startswith("0.0 %")
  assert garbage[shown.columns.index("over-calls")].startswith("0.0 %")
  for stage in run.stages:
    assert stage.calls.overall.n == sum(
      c.n for c in stage.calls.categories if c.category != "irrelevance"
    )


def test_what_was_skipped_is_said_with_its_reason():
  run = dataclasses.replace(
    fake_summary(),
    stages=(
      StageSummary(
        "base", bfcl=BfclScores(skipped="scores were skipped: no package")
      ),
    ),
  )
  shown = tables.notices(run)
  cells = [row.cells for row in shown.rows]
  assert ("BFCL", "all", "scores were skipped: no package") in cells
  assert tables.bfcl(run) is None
  for text in (
    report.render_html(run),
    report.render_markdown(run),
    terminal.summary_text(run, 200),
  ):
    assert "scores were skipped: no package" in text


def test_an_empty_run_has_a_report():
  run = RunSummary("Nothing yet", {}, ())
  assert "Nothing yet" in report.render_html(run)
  assert report.render_markdown(run).startswith("# Nothing yet")
  assert terminal.summary_text(run) == ""


def test_all_media_show_the_same_figures():
  run = fake_summary()
  figure = wording.percent(run.final.calls.overall.exact.value)
  for text in (
    report.render_html(run),
    report.render_markdown(run),
    terminal.summary_text(run, 160),
  ):
    assert figure in text


def test_terminal_text_has_no_codes_and_no_trailing_space():
  text = terminal.summary_text(fake_summary(), 120)
  assert "\x1b" not in text
  assert all(line == line.rstrip() for line in text.split("\n"))
  assert max(map(len, text.split("\n"))) <= 120


@pytest.mark.parametrize(
  "seconds,text",
  [
    (0.0, "0.0 s"),
    (59.94, "59.9 s"),
    (59.96, "1 min 00 s"),
    (200.4, "3 min 20 s"),
    (3599.6, "1 h 00 min"),
    (7501, "2 h 05 min"),
  ],
)
def test_duration(seconds, text):
  assert wording.duration(seconds) == text


def test_words_of_figures():
  figure = metrics.Figure(0.0312, -0.004, 0.0656, 9)
  assert wording.points(figure) == "+3.1 (−0.4 to +6.6)"
  assert wording.figure(metrics.Figure(0.421, 0.38, 0.463, 9)) == (
    "42.1 % (38.0–46.3)"
  )
  assert wording.points(metrics.Figure(-0.0001, 0.0, 0.0, 9)).startswith("0.0 ")
  assert wording.figure(None) == wording.percent(None) == "–"
  assert wording.p_value(0.0004) == "p < 0.001"
  assert wording.p_value(0.04) == "p = 0.040"
  assert wording.number(12345) == "12,345"
  assert wording.number(0.12345) == "0.123"
  assert wording.visible("a\tb\n\x07\u200b") == "a\tb\n⟨0007⟩⟨200B⟩"
  assert wording.shorten("abc", 3) == "abc"
  assert wording.shorten("abcd", 3) == "abc … [1 more characters]"
