"""Removes the nulls that columnar stores add to rows.

Arrow gives every row of a nested column the union of all fields and fills what
a row does not have with null. A tool then gains parameters whose schema is
null, and a call gains arguments whose value is null.

A null where a schema belongs is no schema, and a null keyword says nothing. A
null argument is kept where the tool's schema allows null, and is padding
elsewhere. An object that holds nothing but padding is padding too.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from tooldev_jax.toolcall import schemas, vocabulary
from tooldev_jax.toolcall.jsontext import Json

_NAMED_SCHEMAS = frozenset(
  (
    "properties", "patternProperties", "$defs", "definitions",
    "dependentSchemas",
  )
)  # fmt: skip
_SCHEMAS = frozenset(
  (
    "items", "prefixItems", "additionalItems", "additionalProperties",
    "unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames",
    "anyOf", "oneOf", "allOf", "not", "if", "then", "else",
  )
)  # fmt: skip
_STATES_VALUES = ("type", "enum", "const")


def without_nulls(record: Mapping[str, Json]) -> dict[str, Json]:
  """The fields of `record` that are not null."""
  return {key: value for key, value in record.items() if value is not None}


def read_tool(definition: Json) -> vocabulary.Tool:
  """Reads a tool whose definition may be padded.

  Raises:
    MalformedError: as `Tool.from_json`.
  """
  return vocabulary.Tool.from_json(_definition(definition))


def _definition(value: Json) -> Json:
  if not isinstance(value, Mapping):
    return value
  found = without_nulls(value)
  if "function" in found:
    found["function"] = _definition(found["function"])
  if "parameters" in found:
    found["parameters"] = clean_schema(found["parameters"])
  return found


def clean_schema(schema: Json) -> Json:
  """`schema` without null schemas and null keywords, at every depth."""
  if isinstance(schema, list):
    return [clean_schema(part) for part in schema if not _is_no_schema(part)]
  if not isinstance(schema, Mapping):
    return schema
  found: dict[str, Json] = {}
  for key, value in schema.items():
    if value is None:
      # Here null may be a value: pydantic writes `"default": null`.
      if key not in ("default", "const") or not allows_null(schema, {}):
        continue
      found[key] = None
    elif key in _NAMED_SCHEMAS and isinstance(value, Mapping):
      found[key] = {
        name: clean_schema(part)
        for name, part in value.items()
        if not _is_no_schema(part)
      }
    elif key in _SCHEMAS:
      if not _is_no_schema(value):
        found[key] = clean_schema(value)
    else:
      found[key] = value
  return found


def _is_no_schema(value: Json) -> bool:
  """Whether padding stands where a schema belongs."""
  if isinstance(value, Mapping) and value.keys() <= {"default", "const"}:
    return False  # Anything, null if nothing is said.
  return is_padding(value)


def is_padding(value: Json) -> bool:
  """Null, or an object that is not empty and holds nothing but padding."""
  if isinstance(value, Mapping):
    return bool(value) and all(map(is_padding, value.values()))
  return value is None


def allows_null(schema: Json, root: schemas.Schema) -> bool:
  """Whether null is a value that `schema` describes.

  A schema that states no type and no values describes everything.
  """
  states = False
  for part in schemas.alternatives([schema], root):
    if part.get("nullable") is True or None in schemas.enum_of(part):
      return True
    if part.get("type") is not None:
      types = schemas.types_of(part)
      if not types or "null" in types:
        return True
    states |= any(part.get(key) is not None for key in _STATES_VALUES)
  return not states


def clean_call(
  call: vocabulary.Call, tools: Mapping[str, vocabulary.Tool]
) -> vocabulary.Call:
  """`call` without the null arguments that its tool does not allow."""
  tool = tools.get(call.name)
  if tool is None or not _holds_null(call.arguments):
    return call
  root = tool.parameters
  # A definition that lists no parameters takes none.
  listed = {"properties": {}, **root}
  return dataclasses.replace(
    call, arguments=_object(call.arguments, listed, root)
  )


def _holds_null(value: Json) -> bool:
  if isinstance(value, Mapping):
    return any(map(_holds_null, value.values()))
  if isinstance(value, list):
    return any(map(_holds_null, value))
  return value is None


def _object(
  value: Mapping[str, Json], schema: schemas.Schema, root: schemas.Schema
) -> dict[str, Json]:
  flat = schemas.resolve(schema, root)
  described = schemas.properties(flat)
  required = flat.get("required")
  needed = required if isinstance(required, Sequence) else ()
  rest = flat.get("additionalProperties", "properties" not in flat)
  found: dict[str, Json] = {}
  for name, item in value.items():
    part = described.get(name, rest)
    if item is None:
      if part is not False and allows_null(part, root):
        found[name] = None
      continue
    cleaned = _value(item, part, root)
    if cleaned != item and not cleaned and name not in needed:
      continue
    found[name] = cleaned
  return found


def _value(value: Json, schema: Json, root: schemas.Schema) -> Json:
  flat = schemas.resolve(schema, root)
  if isinstance(value, Mapping):
    return _object(value, flat, root)
  if isinstance(value, list):
    items = flat.get("items", True)
    return [
      _value(item, items, root)
      for item in value
      if item is not None or allows_null(items, root)
    ]
  return value
