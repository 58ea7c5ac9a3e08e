"""The canonical form of calls: two calls are equal if their forms are.

Majority votes and exact match both use it.

- Arguments that the tool gives a default are filled in, also inside nested
  objects and lists of objects that were given. So leaving an argument out and
  writing its default are the same.
- Numbers: 1.0 is 1 where the type is `number` (or `float`) or not given. Where
  it is `integer`, 1.0 differs from 1, as in the official BFCL checker. True is
  never 1.
- The string "3" is never the number 3, whatever the schema: a model that quotes
  a number made a mistake, and a vote that forgave it would train on it.
- Strings are Unicode NFC without white space at the ends. Case is kept.
- The order of arguments and of parallel calls is free. A call made twice
  counts twice.
- null is a value: `f(a=null)` is `f()` only where null is the default of `a`.
"""

import unicodedata
from collections.abc import Mapping, Sequence

from tooldev_jax.toolcall import jsontext, schemas
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema
from tooldev_jax.toolcall.vocabulary import Call, Tool

_MAX_DEFAULTS = 150  # filled into one call


def canonical_call(call: Call, tool: Tool | None = None) -> Call:
  """The canonical form of `call`.

  Args:
    call: of any shape that JSON allows, also one that does not fit `tool`.
    tool: the definition to take types and defaults from; without it no
      default is filled in and numbers are compared by value.

  Returns:
    A call whose arguments are sorted by name.
  """
  root: Schema = tool.parameters if tool is not None else {}
  walk = _Walk(root)
  return Call(_text(call.name), walk.value(dict(call.arguments), root, ()))


def canonical_key(calls: Sequence[Call], tools: Sequence[Tool] = ()) -> str:
  """A string that is equal for equal sets of calls, and stable across runs.

  Args:
    calls: parallel calls, in any order; none gives the key "[]".
    tools: looked up by name for each call; the first of a name counts.
  """
  by_name = {tool.name: tool for tool in reversed(tools)}
  texts = [
    jsontext.dump(
      canonical_call(call, by_name.get(call.name)).to_json(), sort_keys=True
    )
    for call in calls
  ]
  return f"[{','.join(sorted(texts))}]"


class _Walk:
  """One walk over a value and its schema.

  It follows the value, so a recursive schema ends where the value does. An
  object whose default is an empty object of its own kind would be filled
  without end; so no default is filled in below itself, and no more than
  `_MAX_DEFAULTS` in all.
  """

  def __init__(self, root: Schema):
    self._root = root
    self._defaults_left = _MAX_DEFAULTS

  def value(self, value: Json, schema: Json, above: tuple[int, ...]) -> Json:
    """`value` in canonical form; `above` identifies the schemas around it."""
    view = schemas.resolve(schema, self._root)
    if isinstance(value, str):
      return _text(value)
    if isinstance(value, float):
      return _number(value, view)
    if isinstance(value, Mapping):
      return self._object(value, view, (*above, id(schema)))
    if isinstance(value, list | tuple):
      items = view.get("items")
      return [self.value(item, items, above) for item in value]
    return value

  def _object(
    self, value: Mapping[str, Json], view: Schema, above: tuple[int, ...]
  ) -> Json:
    described = schemas.properties(view)
    full = dict(value)
    for name, schema in described.items():
      if name in full or id(schema) in above:
        continue
      field = schemas.resolve(schema, self._root)
      if "default" in field and self._defaults_left:
        self._defaults_left -= 1
        full[name] = field["default"]
    return {
      name: self.value(full[name], described.get(name), above)
      for name in sorted(full)
    }


def _number(value: float, view: Schema) -> int | float:
  types = schemas.types_of(view)
  by_value = not types or "number" in types
  return int(value) if by_value and value.is_integer() else value


def _text(value: str) -> str:
  return unicodedata.normalize("NFC", value).strip()
