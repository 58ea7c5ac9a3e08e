"""MCP: the answer to `tools/list`, alone or with the server that gave it.

Read are `{"tools": [{"name", "description", "inputSchema"}, …]}`, the same
inside a JSON-RPC `result`, and a bare list of such tools. The schema is kept as
the server wrote it.
"""

import functools
from collections.abc import Iterator, Mapping

from tooldev_jax.tools.findings import pointer
from tooldev_jax.tools.importers.base import (
  Entry,
  Importer,
  RefusalReason,
  Refused,
)
from tooldev_jax.tools.jsontext import Json
from tooldev_jax.tools.vocabulary import Tool


def _tools(document: Json) -> tuple[str, Json]:
  """The list of tools, and where in the document it is."""
  where = ""
  if isinstance(document, Mapping) and "result" in document:
    where, document = "/result", document["result"]
  if isinstance(document, Mapping):
    return f"{where}/tools", document.get("tools")
  return where, document


def _matches(document: Json) -> bool:
  where, tools = _tools(document)
  if tools == [] and where:
    return True  # A server without tools.
  return isinstance(tools, list) and any(
    isinstance(tool, Mapping) and "inputSchema" in tool for tool in tools
  )


def _entries(document: Json) -> Iterator[Entry]:
  where, tools = _tools(document)
  if not isinstance(tools, list):
    detail = f"{where or 'the document'} is no list of tools"
    raise Refused(RefusalReason.BAD_RECORD, detail)
  for index, tool in enumerate(tools):
    yield Entry(where + pointer(index), functools.partial(_build, tool))


def _build(tool: Json) -> Tool:
  if not isinstance(tool, Mapping):
    raise Refused(RefusalReason.BAD_RECORD, "a tool must be an object")
  if "inputSchema" not in tool:
    raise Refused(RefusalReason.BAD_RECORD, "inputSchema is missing")
  fields = {key: tool[key] for key in ("name", "description") if key in tool}
  return Tool.from_json(fields | {"parameters": tool["inputSchema"]})


MCP = Importer("mcp", _matches, _entries)
