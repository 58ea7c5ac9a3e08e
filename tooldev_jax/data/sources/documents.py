"""Tool documents (OpenAPI, MCP, lists of many dialects) as examples.

Each definition is one example without a query: it has an adaption view and no
other. Reading them is the work of `toolcall.importers`.
"""

import re

from etils import epath

from tooldev_jax.data.sources import rows
from tooldev_jax.toolcall import importers, vocabulary

_LINE = re.compile(r":(\d+)\Z")


def read(path: epath.Path) -> rows.Read:
  """Reads all tools of a document, or a folder of them.

  What is refused is a bad row; what a tool lacks of its document is told.
  """
  found = importers.import_tools(path)
  examples = tuple(
    vocabulary.Example(
      id=f"{path.name}-{i}-{tool.name}",
      messages=(),
      tools=(tool,),
      provenance={"source": "documents", "category": "tool"},
    )
    for i, tool in enumerate(found.tools)
  )
  return rows.Read(
    examples,
    rejected=tuple(_row(path, one) for one in found.refused),
    left_out=tuple(_row(path, one) for one in found.left_out),
  )


def _row(path: epath.Path, refusal: importers.Refusal) -> rows.BadRow:
  return rows.BadRow(
    path=str(path),
    line=_line(refusal.where),
    reason=str(refusal.reason),
    detail=f"{refusal.where}: {refusal.detail}",
  )


def _line(where: str) -> int:
  """The line that a refusal names; 1 in a file that is one document."""
  match = _LINE.search(where.partition("#")[0])
  return int(match.group(1)) if match else 1
