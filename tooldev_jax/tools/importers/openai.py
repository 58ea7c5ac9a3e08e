"""Function lists as chat APIs take them, and our own tools.

Read are a list of `{"type": "function", "function": {…}}` or of bare
`{"name", "description", "parameters"}`, a single one of these, and lists under
the key `tools` or `functions`.
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


def _functions(document: Json) -> tuple[str, Json]:
  """The list of functions, and where in the document it is."""
  if isinstance(document, Mapping):
    for key in ("tools", "functions"):
      if key in document:
        return pointer(key), document[key]
  return "", document


def _is_function(item: Json) -> bool:
  return isinstance(item, Mapping) and ("function" in item or "name" in item)


def _matches(document: Json) -> bool:
  _, functions = _functions(document)
  if isinstance(functions, list):
    return bool(functions) and _is_function(functions[0])
  return _is_function(functions)


def _entries(document: Json) -> Iterator[Entry]:
  where, functions = _functions(document)
  if _is_function(functions):
    yield Entry(where, functools.partial(Tool.from_json, functions))
    return
  if not isinstance(functions, list):
    detail = f"{where or 'the document'} is no list of functions"
    raise Refused(RefusalReason.BAD_RECORD, detail)
  for index, function in enumerate(functions):
    yield Entry(
      where + pointer(index),
      functools.partial(Tool.from_json, function),
    )


OPENAI = Importer("openai", _matches, _entries)
