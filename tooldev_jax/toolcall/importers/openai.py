"""Function lists as chat APIs take them, and our own tools.

Read are a list of `{"type": "function", "function": {…}}` or of bare
`{"name", "description", "parameters"}`, a single one of these, and lists under
the key `tools` or `functions`.
"""

import functools
from collections.abc import Iterator, Mapping

from tooldev_jax.toolcall.findings import pointer
from tooldev_jax.toolcall.importers.base import Entry, Importer, refuse
from tooldev_jax.toolcall.importers.mcp import SCHEMA_KEYS
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Tool


def _functions(document: Json) -> tuple[str, Json]:
  """The list of functions, and where in the document it is."""
  if isinstance(document, Mapping):
    for key in ("tools", "functions"):
      if key in document:
        return pointer(key), document[key]
  return "", document


def _is_function(item: Json) -> bool:
  """Whether it says more than a name, which much else has too."""
  return isinstance(item, Mapping) and (
    "function" in item
    or ("name" in item and ("description" in item or "parameters" in item))
  )


def _matches(document: Json) -> bool:
  _, functions = _functions(document)
  if isinstance(functions, list):
    return any(map(_is_function, functions))
  return _is_function(functions)


def _entries(document: Json) -> Iterator[Entry]:
  where, functions = _functions(document)
  if isinstance(functions, Mapping):
    yield Entry(where, functools.partial(_build, functions))
    return
  if not isinstance(functions, list):
    detail = f"{where or 'the document'} is no list of functions"
    refuse(detail)
  for index, function in enumerate(functions):
    yield Entry(where + pointer(index), functools.partial(_build, function))


def _build(function: Json) -> Tool:
  """Refuses what has its parameters, or tools, where they are not read."""
  for key in (*SCHEMA_KEYS, "tools"):
    if isinstance(function, Mapping) and key in function:
      refuse(f"a function has no {key!r}")
  return Tool.from_json(function)


OPENAI = Importer("openai", _matches, _entries)
