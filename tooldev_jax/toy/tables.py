"""Reads the world's tables: one row a line, cells between `|`."""

import pathlib

_FOLDER = pathlib.Path(__file__).parent / "tables"


def rows(name: str, columns: int) -> list[list[str]]:
  """The rows of `tables/<name>.txt`; `#` begins a comment.

  Args:
    name: of the table; its first lines say what the columns are.
    columns: cells of a row; missing ones at the end are empty, and what is
      beyond is left in the last one.
  """
  lines = (_FOLDER / f"{name}.txt").read_text("utf-8").splitlines()
  found = []
  for line in lines:
    if line.strip() and not line.startswith("#"):
      cells = [cell.strip() for cell in line.split("|", columns - 1)]
      found.append(cells + [""] * (columns - len(cells)))
  return found


def parts(cell: str, mark: str) -> tuple[str, ...]:
  """What stands between the marks of a cell."""
  return tuple(part.strip() for part in cell.split(mark) if part.strip())
