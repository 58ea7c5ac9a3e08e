"""Schemas of an OpenAPI document, without references to the document."""

from collections.abc import Mapping
from typing import Any

from tooldev_jax.toolcall import dialects, schemas
from tooldev_jax.toolcall.importers import all_of
from tooldev_jax.toolcall.importers.base import RefusalReason, Tell, refuse
from tooldev_jax.toolcall.importers.schema_reader import SchemaReader, shown
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema

# What OpenAPI adds to JSON Schema and a caller need not know.
_DROPPED = frozenset(
  ("$ref", "discriminator", "xml", "externalDocs", "collectionFormat",
   "example", "allOf")
)  # fmt: skip

_MAX_DEPTH = 2 * dialects.MAX_DEPTH  # References and `allOf` count as levels.


class SchemaInliner(SchemaReader):
  """Puts what references mean in their place.

  A reference inside what it refers to is cut: only the type and description of
  its target are left. An `allOf`, and what stands beside a reference, becomes
  one schema as far as one can say it. Examples are written as JSON Schema has
  them. Properties that are `readOnly` are left out, since they are not sent.
  """

  _null_property: Json = {}  # noqa: RUF012  # YAML: `name:` without a schema.

  def __init__(self, document: Mapping[str, Json], tell: Tell):
    super().__init__(tell)
    self._document = document
    self._nodes = 0
    self._depth = 0
    self._trail: list[str] = []

  def follow(self, holder: Json) -> Mapping[str, Any]:
    """`holder`, or the object that it refers to, without its empty keys."""
    for _ in range(dialects.MAX_DEPTH):
      if not isinstance(holder, Mapping):
        refuse(f"expected an object, found {shown(holder)}")
      if holder.get("$ref") is None:
        return {
          key: value for key, value in holder.items() if value is not None
        }
      beside = {
        key: value
        for key, value in holder.items()
        if key != "$ref" and value is not None
      }
      target = self._target(holder["$ref"])
      if not isinstance(target, Mapping):
        refuse(f"{holder['$ref']!r} is {shown(target)}, not an object")
      holder = {**target, **beside}
    refuse("a reference to itself", RefusalReason.BAD_REFERENCE)

  def _object(self, node: Schema, where: str) -> Json:
    self._nodes += 1
    self._depth += 1
    if self._nodes > dialects.MAX_NODES or self._depth > _MAX_DEPTH:
      refuse("the schemas unfold too far", RefusalReason.TOO_LARGE)
    found = self._merged(node, super()._object(node, where), where)
    self._depth -= 1
    return found

  def _merged(self, node: Schema, found: Json, where: str) -> Json:
    """What was read of a node, with what it refers to and its `allOf`."""
    if node.get("example") is not None:
      found.setdefault("examples", [node["example"]])
    _modernise_bounds(found)
    merged: Json = True
    if node.get("$ref") is not None:
      merged = self._referred(node["$ref"], where)
    parts = node.get("allOf")
    if parts is not None and not isinstance(parts, list):
      refuse(f"{where}/allOf is {shown(parts)}, not a list")
    for index, part in enumerate(parts or ()):
      read = self.schema({} if part is None else part, f"{where}/allOf/{index}")
      merged = all_of.merge(merged, read, self._tell)
    if merged is not True:
      found = all_of.merge(merged, found, self._tell)
    if isinstance(found, dict):  # It may be `false`.
      _leave_out_read_only(found)
    return found

  def _is_left_out(self, key: str, value: Json) -> bool:
    return (
      key in _DROPPED
      or key.startswith("x-")
      or (value is None and key != "const")
    )

  def _target(self, reference: Json) -> Json:
    target = None
    if isinstance(reference, str):
      target = schemas.lookup(reference, self._document)
    if target is None:
      detail = f"{shown(reference)} is not in this document"
      refuse(detail, RefusalReason.BAD_REFERENCE)
    return target

  def _referred(self, reference: Json, where: str) -> Json:
    target = self._target(reference)
    if reference in self._trail:
      cut = target if isinstance(target, Mapping) else {}
      kept = {key: cut[key] for key in ("type", "description") if key in cut}
      return self.schema(kept, where)
    self._trail.append(reference)
    found = self._node(target, where)
    self._trail.pop()
    return found


def _modernise_bounds(schema: dict[str, Json]) -> None:
  """Draft 4's `exclusiveMinimum: true` as a bound of its own."""
  for bound in ("minimum", "maximum"):
    key = f"exclusive{bound.title()}"
    if schema.get(key) is False:
      del schema[key]
    elif schema.get(key) is True:
      del schema[key]
      if bound in schema:
        schema[key] = schema.pop(bound)


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
