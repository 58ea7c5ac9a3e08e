"""Schemas of an OpenAPI document, without references to the document."""

from collections.abc import Mapping
from typing import Any

from tooldev_jax.toolcall import dialects, schemas
from tooldev_jax.toolcall.importers.base import RefusalReason, Refused, refuse
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema

# What OpenAPI adds to JSON Schema and a caller need not know.
_DROPPED = frozenset(
  ("discriminator", "xml", "externalDocs", "collectionFormat", "example")
)
# Where two parts of an `allOf` differ in these, the first one's hold.
_NOTES = frozenset(("title", "description", "examples", "default"))


class SchemaInliner:
  """Puts what references mean in their place.

  A reference inside what it refers to is cut: only the type and description of
  its target are left. An `allOf` whose parts do not contradict one another
  becomes one schema. Examples are written as JSON Schema has them, and so is a
  property that says of itself `required: true`. What a keyword may not hold is
  refused here, so that all who read the result can rely on it.
  """

  def __init__(self, document: Mapping[str, Json]):
    self._document = document
    self._nodes = 0

  def follow(self, holder: Json) -> Mapping[str, Any]:
    """`holder`, or the object that it refers to."""
    for _ in range(dialects.MAX_DEPTH):
      if not isinstance(holder, Mapping):
        refuse("expected an object")
      if "$ref" not in holder:
        return holder
      holder = self._target(holder["$ref"])
    raise Refused(RefusalReason.BAD_REFERENCE, "a reference to itself")

  def schema(self, node: Json, trail: tuple[str, ...] = ()) -> Any:
    """`node` without references; `trail` holds those it is already inside."""
    self._nodes += 1
    if self._nodes > dialects.MAX_NODES or len(trail) > dialects.MAX_DEPTH:
      raise Refused(RefusalReason.TOO_LARGE, "the schemas unfold too far")
    if isinstance(node, bool):
      return node
    if not isinstance(node, Mapping):
      refuse(f"a schema is {_shown(node)}, not an object")
    if "$ref" in node:
      return self._referred(node, trail)
    found = {
      key: self._keyword(key, value, trail)
      for key, value in node.items()
      if key not in _DROPPED and not key.startswith("x-")
    }
    if "example" in node:
      found.setdefault("examples", [node["example"]])
    _collect_required(found)
    _leave_out_read_only(found)
    return _merged(found)

  def _target(self, reference: Json) -> Json:
    target = None
    if isinstance(reference, str):
      target = schemas.lookup(reference, self._document)
    if target is None:
      detail = f"{reference!r} is not in this document"
      raise Refused(RefusalReason.BAD_REFERENCE, detail)
    return target

  def _referred(self, node: Schema, trail: tuple[str, ...]) -> Any:
    reference = node["$ref"]
    target = self._target(reference)
    beside = {key: value for key, value in node.items() if key != "$ref"}
    if reference in trail:
      kept = ("type", "description")
      cut = target if isinstance(target, Mapping) else {}
      found = {key: cut[key] for key in kept if key in cut}
    else:
      found = self.schema(target, (*trail, reference))
    if not beside or not isinstance(found, Mapping):
      return found
    return {**found, **self.schema(beside, trail)}

  def _keyword(self, key: str, value: Json, trail: tuple[str, ...]) -> Json:
    if key in dialects.NAMED:
      if not isinstance(value, Mapping):
        refuse(f"{key!r} is {_shown(value)}, not an object")
      return {name: self.schema(item, trail) for name, item in value.items()}
    if key in dialects.LISTED and not isinstance(value, list):
      refuse(f"{key!r} is {_shown(value)}, not a list")
    if key in (*dialects.LISTED, "items") and isinstance(value, list):
      return [self.schema(item, trail) for item in value]
    if key == "required" and not isinstance(value, bool):
      names = isinstance(value, list) and all(
        isinstance(name, str) for name in value
      )
      if not names:
        refuse(f"'required' is {_shown(value)}, not a list of names")
    return self.schema(value, trail) if key in dialects.SINGLE else value


def _shown(value: Json) -> str:
  return repr(value)[:40]


def _collect_required(schema: dict[str, Json]) -> None:
  """Draft 3, and many an OpenAPI file: a property says it of itself."""
  properties = schemas.properties(schema)
  said = {
    name: item["required"]
    for name, item in properties.items()
    if isinstance(item, Mapping) and isinstance(item.get("required"), bool)
  }
  if not said:
    return
  schema["properties"] = {
    name: _without_required(item) if name in said else item
    for name, item in properties.items()
  }
  listed = schema.get("required", [])
  own = [name for name, required in said.items() if required]
  if own and isinstance(listed, list):
    schema["required"] = list(dict.fromkeys((*listed, *own)))


def _without_required(schema: Schema) -> Schema:
  return {key: value for key, value in schema.items() if key != "required"}


def _leave_out_read_only(schema: dict[str, Json]) -> None:
  properties = schemas.properties(schema)
  hidden = {
    name
    for name, item in properties.items()
    if isinstance(item, Mapping) and item.get("readOnly") is True
  }
  if not hidden:
    return
  schema["properties"] = {
    name: item for name, item in properties.items() if name not in hidden
  }
  if isinstance(schema.get("required"), list):
    schema["required"] = [
      name for name in schema["required"] if name not in hidden
    ]


def _merged(schema: dict[str, Json]) -> dict[str, Json]:
  """`schema` with its `allOf` merged in, if the parts allow it."""
  parts = schema.get("allOf")
  if not isinstance(parts, list):
    return schema
  rest = {key: value for key, value in schema.items() if key != "allOf"}
  found: dict[str, Json] = {}
  for part in (rest, *parts):
    if not isinstance(part, Mapping):
      return schema
    for key, value in part.items():
      if key not in found:
        found[key] = value
      elif key == "properties":
        found[key] = {**found[key], **value, **found[key]}
      elif key == "required":
        found[key] = list(dict.fromkeys((*found[key], *value)))
      elif key not in _NOTES and found[key] != value:
        return schema  # A contradiction, or what one schema cannot say.
  return found
