"""Tool documents (MCP, OpenAPI, OpenAI lists, Seal-Tools) as examples.

Each definition is one example without a query: it has an adaption view and no
other. Reading them is the work of `tools.importers`.
"""

import re

from etils import epath

from tooldev_jax.data.sources import rows
from tooldev_jax.toolcall import importers, vocabulary

_LINE = re.compile(r":(\d+)\Z")


def read(path: epath.Path) -> rows.Read:
  """Reads all tools of a document; what it refuses is a bad row."""
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
  rejected = tuple(
    rows.BadRow(
      path=str(path),
      line=_line(refusal.where),
      reason=str(refusal.reason),
      detail=f"{refusal.where}: {refusal.detail}",
    )
    for refusal in found.refused
  )
  return rows.Read(examples, rejected)


def _line(where: str) -> int:
  """The line that a refusal names; 1 in a file that is one document."""
  match = _LINE.search(where.partition("#")[0])
  return int(match.group(1)) if match else 1
