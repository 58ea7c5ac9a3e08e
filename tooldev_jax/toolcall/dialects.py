"""Schemas of older and looser dialects, rewritten as JSON Schema 2020-12.

`modernise` rewrites Python's type names, an enum beside a list but meant for
its items, draft 4's `exclusiveMinimum: true`, draft 7's list of `items` and
OpenAPI 3.0's `nullable`. It drops

- identifiers and dialect names, so that `#/…` always means the schema itself
  and nothing is ever looked up elsewhere;
- `unevaluated…`, whose cost has no bound;
- `patternProperties`; objects that had it are open to any property.
"""

import re
import urllib.parse
from collections.abc import Iterator, Mapping

from tooldev_jax.toolcall import jsontext, patterns, schemas
from tooldev_jax.toolcall.findings import pointer
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema

MAX_NODES = 5000
MAX_DEPTH = 32
MAX_ENUM = 5000
MAX_PATTERNS = 500  # Compiling one takes up to 5 ms.

INTEGER = "x-tooldev-integer"  # A number must be written as an integer.

NAMED = ("properties", "$defs", "definitions", "dependentSchemas")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
SINGLE = (
  "items",
  "additionalProperties",
  "contains",
  "propertyNames",
  "not",
  "if",
  "then",
  "else",
)
_DROPPED = frozenset(
  (
    "$schema",
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$vocabulary",
    "additionalItems",
    "unevaluatedProperties",
    "unevaluatedItems",
    "nullable",
    INTEGER,
  )
)


_LISTED_ITEM = re.compile(r"/items/(?=\d+(?:/|\Z))")


class SchemaTooLarge(ValueError):
  """A schema over one of the bounds of this module."""


def modernise(schema: Schema) -> Schema:
  """`schema` as JSON Schema 2020-12; whether it is valid is not checked.

  Raises:
    SchemaTooLarge: see above.
  """
  return _Modernise().schema(schema, 0)


def checkable(schema: Schema) -> Schema:
  """As `modernise`, and ready for `validation.Validator`.

  Patterns that cannot be checked are dropped, references are written as URIs,
  and where only integers are allowed the keyword `INTEGER` is added.

  Raises:
    SchemaTooLarge: see above.
  """
  modern = _Checkable().schema(schema, 0)
  if not jsontext.is_within(modern):  # Such as the value of a default.
    raise SchemaTooLarge(f"more than {jsontext.MAX_DEPTH} levels")
  return modern


def modern_place(pointer: str) -> str:
  """Where `modernise` puts what `pointer` points to."""
  return _LISTED_ITEM.sub("/prefixItems/", pointer)


def _reference(reference: str) -> str:
  """A local reference, as a URI, to where `modernise` puts its target."""
  if not reference.startswith("#"):
    return reference
  pointer = urllib.parse.unquote(reference[1:])
  return "#" + schemas.quote(modern_place(pointer))


def subschemas(schema: Schema, where: str) -> Iterator[tuple[str, Schema]]:
  """`schema` and all schemas inside it, each with its JSON pointer.

  Call it on what `modernise` accepted; only then its size is bounded.
  """
  pending: list[tuple[str, Json]] = [(where, schema)]
  while pending:
    place, node = pending.pop()
    if not isinstance(node, Mapping):
      continue
    yield place, node
    inner: list[tuple[str, Json]] = []
    for key, value in node.items():
      if key in SINGLE and isinstance(value, Mapping):
        inner.append((f"{place}/{key}", value))
      elif key in NAMED and isinstance(value, Mapping):
        inner.extend(
          (place + pointer(key, name), item) for name, item in value.items()
        )
      elif key in (*LISTED, "items") and isinstance(value, list):
        inner.extend(
          (f"{place}/{key}/{index}", item) for index, item in enumerate(value)
        )
    pending.extend(reversed(inner))


class _Modernise:
  """One walk over a schema; counts its nodes."""

  def __init__(self) -> None:
    self._nodes = 0

  def schema(self, schema: Json, depth: int) -> Json:
    """`schema` rewritten; unchanged if it is no object."""
    self._nodes += 1
    if self._nodes > MAX_NODES:
      raise SchemaTooLarge(f"more than {MAX_NODES} subschemas")
    if depth > MAX_DEPTH:
      raise SchemaTooLarge(f"more than {MAX_DEPTH} levels")
    if not isinstance(schema, Mapping):
      return schema
    enum = schema.get("enum")
    if isinstance(enum, list) and len(enum) > MAX_ENUM:
      raise SchemaTooLarge(f"an enum of more than {MAX_ENUM} values")
    modern = {
      key: self._keyword(key, value, depth + 1)
      for key, value in schema.items()
      if key not in _DROPPED and not (key == "required" and value is None)
    }
    if isinstance(modern.get("items"), list):
      modern["prefixItems"] = modern.pop("items")
    if "patternProperties" in modern:
      del modern["patternProperties"]
      modern["additionalProperties"] = True
    for bound in ("minimum", "maximum"):
      _exclude(modern, bound)
    _set_type(modern, schema.get("nullable") is True)
    _move_enum(modern)
    return modern

  def _keyword(self, key: str, value: Json, depth: int) -> Json:
    if key in NAMED and isinstance(value, Mapping):
      return {name: self.schema(item, depth) for name, item in value.items()}
    if (key in LISTED or key == "items") and isinstance(value, list):
      return [self.schema(item, depth) for item in value]
    if key in SINGLE:
      return self.schema(value, depth)
    return value


class _Checkable(_Modernise):
  """The walk of `checkable`; counts patterns too."""

  def __init__(self) -> None:
    super().__init__()
    self._patterns = 0

  def schema(self, schema: Json, depth: int) -> Json:
    modern = super().schema(schema, depth)
    if not isinstance(modern, dict):
      return modern
    pattern = modern.get("pattern")
    if isinstance(pattern, str):
      self._patterns += 1
      if self._patterns > MAX_PATTERNS:
        raise SchemaTooLarge(f"more than {MAX_PATTERNS} patterns")
      if not patterns.is_known(pattern):
        del modern["pattern"]
    if isinstance(modern.get("$ref"), str):
      modern["$ref"] = _reference(modern["$ref"])
    types = schemas.types_of(modern)
    if "integer" in types and "number" not in types:
      modern[INTEGER] = True
    return modern


def _exclude(schema: dict[str, Json], bound: str) -> None:
  """Draft 4: `exclusiveMinimum: true` is a property of `minimum`."""
  key = f"exclusive{bound.title()}"
  if isinstance(schema.get(key), bool):
    excluded = schema.pop(key)
    if excluded and bound in schema:
      schema[key] = schema.pop(bound)


def _set_type(schema: dict[str, Json], nullable: bool) -> None:
  """Writes JSON Schema's own names; an unknown name is dropped."""
  if "type" not in schema:
    return
  named = schema["type"]
  if not isinstance(named, str | list):
    return  # Left for the meta-schema to refuse.
  types = schemas.types_of(schema)
  if not types:
    del schema["type"]
    return
  if nullable:
    types |= {"null"}
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
      schema["enum"] = [*schema["enum"], None]
  schema["type"] = sorted(types) if len(types) > 1 else next(iter(types))


def _move_enum(schema: dict[str, Json]) -> None:
  """BFCL and ToolACE write the enum of a list's items beside the list."""
  values = schema.get("enum")
  items = schema.get("items", {})
  if (
    schema.get("type") == "array"
    and isinstance(values, list)
    and isinstance(items, Mapping)
    and not any(isinstance(value, list) for value in values)
  ):
    del schema["enum"]
    schema["items"] = {"enum": values, **items}
