"""MCP: the answer to `tools/list`, alone or with the server that gave it.

Read are `{"tools": [{"name", "description", "inputSchema"}, …]}`, the same
inside a JSON-RPC `result`, a list of these, and a bare list of such tools. The
schema is kept as the server wrote it. Anthropic's lists say `input_schema` for
the same thing, and are read too.
"""

import functools
from collections.abc import Iterator, Mapping

from tooldev_jax.toolcall.findings import pointer
from tooldev_jax.toolcall.importers.base import Entry, Importer, refuse
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Tool

SCHEMA_KEYS = ("inputSchema", "input_schema")


def _is_tool(item: Json) -> bool:
  return isinstance(item, Mapping) and any(key in item for key in SCHEMA_KEYS)


def _answer(document: Json) -> tuple[str, Json]:
  """The tools of one answer, and where in the document they are."""
  where = ""
  if isinstance(document, Mapping) and "result" in document:
    where, document = "/result", document["result"]
  if isinstance(document, Mapping):
    return f"{where}/tools", document.get("tools")
  return where, document


def _has_tools(document: Json) -> bool:
  """Whether it is an object that holds tools."""
  _, tools = _answer(document)
  return (
    isinstance(document, Mapping)
    and isinstance(tools, list)
    and any(map(_is_tool, tools))
  )


def _matches(document: Json) -> bool:
  if isinstance(document, list):
    return any(_is_tool(item) or _has_tools(item) for item in document)
  where, tools = _answer(document)
  # A server may have no tools.
  return _has_tools(document) or (where != "" and tools == [])


def _entries(document: Json) -> Iterator[Entry]:
  if isinstance(document, list) and any(map(_has_tools, document)):
    for index, answer in enumerate(document):
      yield from _entries_of(answer, pointer(index))
  else:
    yield from _entries_of(document, "")


def _entries_of(document: Json, above: str) -> Iterator[Entry]:
  """The tools of one answer, or of a bare list; else it is one bad entry."""
  where, tools = _answer(document)
  where = above + where
  if not isinstance(tools, list):
    detail = f"{where or 'the document'} is no list of tools"
    yield Entry(above, functools.partial(refuse, detail))
    return
  for index, tool in enumerate(tools):
    yield Entry(where + pointer(index), functools.partial(_build, tool))


def _build(tool: Json) -> Tool:
  if not isinstance(tool, Mapping):
    refuse("a tool must be an object")
  schemas = [tool[key] for key in SCHEMA_KEYS if key in tool]
  if not schemas:
    refuse("inputSchema is missing")
  fields = {key: tool[key] for key in ("name", "description") if key in tool}
  return Tool.from_json(fields | {"parameters": schemas[0]})


MCP = Importer("mcp", _matches, _entries)
