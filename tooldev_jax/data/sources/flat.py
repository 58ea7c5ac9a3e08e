"""Flat parameter tables, as xLAM and ToolRL write them.

There a parameter is `{"description", "type", "default"}` with a Python type
name (`str`, `List[int]`, `float, optional`) and no JSON Schema around it. The
schema made of it says what the table says: known names become JSON's, an
unknown name promises nothing. *Chosen*: a parameter is required unless it is
called optional or has a default; an empty default is none.
"""

import re
from collections.abc import Mapping, Sequence

from tooldev_jax.data.sources import padding, rows
from tooldev_jax.toolcall import jsontext, schemas

_OPTIONAL = re.compile(r"\s*[,(]\s*optional\b\W*\Z", re.IGNORECASE)
_GENERIC = re.compile(r"(\w+)\s*\[(.*)\]", re.DOTALL)
_MAX_DEPTH = 8


def schema_of(table: jsontext.Json) -> dict[str, jsontext.Json]:
  """JSON Schema of a flat table: name to facts.

  Raises:
    RowError: the table or one of its entries is no object.
  """
  if table is None:
    table = {}
  if not isinstance(table, Mapping):
    raise rows.RowError("parameters are no object", type(table).__name__)
  properties: dict[str, jsontext.Json] = {}
  needed: list[str] = []
  for name, facts in padding.without_nulls(table).items():
    if not isinstance(facts, Mapping):
      raise rows.RowError("a parameter is no object", str(name))
    properties[name], optional = _property(facts)
    if not optional:
      needed.append(name)
  schema: dict[str, jsontext.Json] = {
    "type": "object",
    "properties": properties,
  }
  if needed:
    schema["required"] = needed
  return schema


def _property(
  facts: Mapping[str, jsontext.Json],
) -> tuple[dict[str, jsontext.Json], bool]:
  """A property's schema, and whether it may be left out."""
  facts = padding.without_nulls(facts)
  named = facts.get("type")
  optional = False
  schema: dict[str, jsontext.Json] = {}
  if isinstance(named, str):
    bare = _OPTIONAL.sub("", named).strip()
    optional = bare != named.strip() or bare.lower().startswith("optional[")
    schema = type_schema(bare)
  elif isinstance(named, Sequence):
    schema = {"type": list(named)}
  for key, value in facts.items():
    if key not in ("type", "default"):
      schema[key] = value
  default = facts.get("default")
  if default not in ("", None):
    schema["default"] = _typed(default, schema.get("type"))
    optional = True
  return schema, optional


def type_schema(name: str, depth: int = 0) -> dict[str, jsontext.Json]:
  """JSON Schema of a Python type name; empty for one that JSON lacks."""
  name = name.strip()
  if depth > _MAX_DEPTH:
    return {}
  generic = _GENERIC.fullmatch(name)
  if generic is None:
    try:
      plain = schemas.json_type(name)
    except KeyError:
      return {}
    return {} if plain is None else {"type": plain}
  outer, inner = generic.group(1).lower(), _split(generic.group(2))
  if outer == "optional":
    return type_schema(inner[0], depth + 1)
  if outer == "union":
    options = [type_schema(item, depth + 1) for item in inner]
    if all(len(o) == 1 and isinstance(o.get("type"), str) for o in options):
      return {"type": list(dict.fromkeys(o["type"] for o in options))}
    return {"anyOf": options} if all(options) else {}
  base = type_schema(outer, depth + 1)
  same = len({item.strip() for item in inner}) == 1
  if base.get("type") == "array" and same:
    items = type_schema(inner[0], depth + 1)
    return {**base, "items": items} if items else base
  return base


def _split(text: str) -> list[str]:
  """Splits at commas outside of brackets."""
  parts, depth, start = [], 0, 0
  for i, char in enumerate(text):
    depth += (char == "[") - (char == "]")
    if char == "," and depth == 0:
      parts.append(text[start:i])
      start = i + 1
  return [*parts, text[start:]]


def _typed(default: jsontext.Json, kind: jsontext.Json) -> jsontext.Json:
  """A default that the source wrote as text, as the type that it has."""
  if not isinstance(default, str) or kind in ("string", None):
    return default
  text = {"True": "true", "False": "false", "None": "null"}.get(
    default, default
  )
  try:
    return jsontext.load(text)
  except jsontext.JsonTextError:
    return default
