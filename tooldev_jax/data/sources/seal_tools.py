"""Seal-Tools: queries with calls, and the tools they call in a second file.

Calls: `{"id", "query", "calling": [{"api", "parameters", "responses"}]}`. Tools
are in `seal_tools.jsonl.gz`, beside the calls or in `../tools`. A value such as
`API_call_0` stands for the result of an earlier call; such an example has
`"nested": true` in its provenance, since one turn cannot know the value.
"""

import functools
import re

from etils import epath

from tooldev_jax.data.sources import padding, rows
from tooldev_jax.toolcall import importers, jsontext, vocabulary

_TOOLS_FILE = "seal_tools.jsonl.gz"
_REFERENCE = re.compile(r"API_call_\d+")


def read(path: epath.Path) -> rows.Read:
  """Reads one query a row; its tools are those that its calls name."""
  tools = {tool.name: tool for tool in _tools_beside(path)}
  return rows.reader("seal_tools", lambda row: [_example(row, tools)])(path)


def _tools_beside(path: epath.Path) -> tuple[vocabulary.Tool, ...]:
  candidates = (
    path.parent / _TOOLS_FILE,
    path.parent.parent / "tools" / _TOOLS_FILE,
  )
  for candidate in candidates:
    if candidate.exists():
      stat = candidate.stat()
      return _tools_in(candidate, stat.mtime, stat.length)
  raise rows.SourceError(
    f"{path}: the tools of Seal-Tools are in {_TOOLS_FILE}, which is missing; "
    f"looked for {' and '.join(str(c) for c in candidates)}"
  )


@functools.lru_cache(maxsize=2)
def _tools_in(
  path: epath.Path, mtime: float, length: int
) -> tuple[vocabulary.Tool, ...]:
  """The tools of a file as it is now: all splits of the calls share it."""
  del mtime, length  # They tell one state of the file from another.
  return importers.import_tools(path).tools


def _example(
  row: rows.Row, tools: dict[str, vocabulary.Tool]
) -> vocabulary.Example:
  listed = rows.records(row, "calling")
  if not listed:
    raise rows.RowError("no calling")
  calls = tuple(
    vocabulary.Call.from_json(
      {"name": item.get("api"), "arguments": item.get("parameters")}
    )
    for item in listed
  )
  unknown = [call.name for call in calls if call.name not in tools]
  if unknown:
    raise rows.RowError("calls an unknown tool", unknown[0])
  query = rows.text_field(row, "query")
  names = dict.fromkeys(call.name for call in calls)
  nested = any(
    _REFERENCE.search(jsontext.dump(call.arguments)) for call in calls
  )
  return vocabulary.Example(
    id=str(row.get("id") or ""),
    messages=(vocabulary.Message("user", query),),
    tools=tuple(tools[name] for name in names),
    calls=tuple(padding.clean_call(call, tools) for call in calls),
    provenance={"nested": nested},
  )
