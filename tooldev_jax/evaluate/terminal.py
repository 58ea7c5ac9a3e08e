"""The score table at the end of a run, in the terminal and as plain text."""

import io

import rich.console
import rich.table
import rich.text

from tooldev_jax.evaluate import run_tables, tables, wording
from tooldev_jax.evaluate.summary import RunSummary

_STYLES = {
  tables.PLAIN: "",
  tables.FINAL: "bold",
  tables.REJECTED: "dim",
  tables.GARBAGE: "italic dim",
}


def score_tables(summary: RunSummary) -> list[rich.table.Table]:
  """The tables that a run ends with: scores, rounds, what was left out."""
  found = (
    tables.scores(summary),
    run_tables.rounds(summary),
    run_tables.notices(summary),
  )
  return [draw(table) for table in found if table is not None]


def draw(table: tables.Table) -> rich.table.Table:
  """A table for the terminal. Foreign text cannot style or steer it."""
  drawn = rich.table.Table(
    title=table.title, title_justify="left", title_style="bold"
  )
  for index, heading in enumerate(table.columns):
    figures = index > 0 and index not in table.texts
    drawn.add_column(
      rich.text.Text(wording.visible(heading)),
      justify="right" if figures else "left",
    )
  for row in table.rows:
    cells = [rich.text.Text(wording.visible(cell)) for cell in row.cells]
    drawn.add_row(*cells, style=_STYLES[row.kind])
  return drawn


def print_summary(
  summary: RunSummary, console: rich.console.Console | None = None
) -> None:
  """Prints the tables that a run ends with."""
  console = console or rich.console.Console()
  for table in score_tables(summary):
    console.print(table)


def summary_text(summary: RunSummary, width: int = 120) -> str:
  """What `print_summary` prints, as plain text without colours."""
  text = io.StringIO()
  print_summary(
    summary,
    rich.console.Console(
      file=text, width=width, color_system=None, force_terminal=False
    ),
  )
  # Spaces at line ends would differ from what editors keep of a README.
  return "\n".join(line.rstrip() for line in text.getvalue().split("\n"))
