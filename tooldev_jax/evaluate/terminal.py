"""The tables that a run ends with, on the terminal and as plain text."""

import os
import sys
from collections.abc import Callable
from io import StringIO

import rich.console
import rich.table
import rich.text
from etils import epath

from tooldev_jax import io
from tooldev_jax.evaluate import report, round_tables, tables, wording
from tooldev_jax.evaluate.summary import RunSummary, read_summary

_STYLES = {
  tables.PLAIN: "",
  tables.FINAL: "bold",
  tables.REJECTED: "dim",
  tables.GARBAGE: "italic dim",
}


def print_summary(summary: RunSummary, console: rich.console.Console) -> None:
  """Prints scores, rounds, and what was left out."""
  for make in (tables.scores, round_tables.rounds, tables.notices):
    if table := make(summary):
      console.print(_draw(table))


def summary_text(summary: RunSummary, width: int = 120) -> str:
  """The same as plain text without colours."""
  text = StringIO()
  console = rich.console.Console(file=text, width=width, color_system=None)
  print_summary(summary, console)
  # Spaces at line ends would differ from what editors keep of a README.
  return "\n".join(line.rstrip() for line in text.getvalue().split("\n"))


def _draw(table: tables.Table) -> rich.table.Table:
  """A table for the terminal. Foreign text cannot style or steer it."""
  drawn = rich.table.Table(
    title=table.title, title_justify="left", title_style="bold"
  )
  for index, heading in enumerate(table.columns):
    is_text = index == 0 or index in table.texts
    drawn.add_column(_plain(heading), justify="left" if is_text else "right")
  for row in table.rows:
    drawn.add_row(*map(_plain, row.cells), style=_STYLES[row.kind])
  return drawn


def _plain(text: str) -> rich.text.Text:
  return rich.text.Text(wording.visible(text))


def say_results(
  workdir: epath.Path, adapter: epath.Path, say: Callable[[str], None]
) -> None:
  """The tables of a run, where its results are, what to try next.

  Args:
    workdir: the run's folder.
    adapter: folder of the exported adapter; may not be there.
    say: prints a line.
  """
  file = workdir / report.JSON_NAME
  if file.exists():
    say(summary_text(read_summary(file)))
  for what, path in (
    ("adapter", adapter),
    ("report", workdir / report.HTML_NAME),
  ):
    if path.exists():
      say(f"{what + ':':9} {_as_typed(path)}")
  say(f"try next: {next_step(workdir)}")


def next_step(workdir: epath.Path) -> str:
  """A command to try next: what the adapter was trained on, in colour."""
  return (
    f"{_as_typed(sys.executable)} -m launch.show"
    f" --workdir={_as_typed(workdir)} --stage=decompose"
  )


def _as_typed(path: io.PathLike) -> str:
  """A path as it is typed here: short where it is below this folder."""
  seen = os.path.relpath(path)
  return str(path) if "://" in str(path) or seen.startswith("..") else seen
