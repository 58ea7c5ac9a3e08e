"""The tables that a run ends with, on the terminal and as plain text."""

import io

import rich.console
import rich.table
import rich.text

from tooldev_jax.evaluate import round_tables, tables, wording
from tooldev_jax.evaluate.summary import RunSummary

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
  text = io.StringIO()
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
