"""OpenAPI 3 and Swagger 2: each operation becomes a tool.

- The name is the `operationId`, or method and path without one.
- Parameters of the path, query, header, cookie and body are merged into one
  flat object. Of two with one name the later gets its place appended,
  `id` and `id_body`.
- A body that is an object gives its properties. Of alternatives (`oneOf`,
  `anyOf`) it gives those of all, and requires what all require. Any other body
  is one parameter `body`. What a body requires is required even where the body
  as a whole may be left out: a flat tool cannot say "all or none".
- Properties that are `readOnly` are not sent, so they are left out.
- The headers Accept, Content-Type and Authorization are no parameters: the
  standard says that they are ignored.
- Only references within the document are followed (`schema_inliner`).
- Webhooks and callbacks are no tools: it is the server that calls them.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tooldev_jax.toolcall import dialects
from tooldev_jax.toolcall.findings import pointer
from tooldev_jax.toolcall.importers.base import (
  Entry,
  Importer,
  RefusalReason,
  Refused,
  refuse,
)
from tooldev_jax.toolcall.importers.schema_inliner import SchemaInliner
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema
from tooldev_jax.toolcall.vocabulary import Tool

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PATH_KEYS = ("$ref", "summary", "description", "servers", "parameters")
_BODY_KINDS = (
  "application/json",
  "application/x-www-form-urlencoded",
  "multipart/form-data",
)
_IGNORED_HEADERS = frozenset(("accept", "content-type", "authorization"))
# What a Swagger 2 parameter says about itself rather than about its value.
_OWN_KEYS = frozenset(
  ("name", "in", "required", "description", "schema", "collectionFormat")
)


@dataclasses.dataclass(frozen=True)
class _Parameter:
  """One named value of an operation; `place` is where HTTP would carry it."""

  name: str
  place: str
  schema: Json
  required: bool


def _matches(document: Json) -> bool:
  return isinstance(document, Mapping) and (
    "openapi" in document or "swagger" in document
  )


def _entries(document: Json) -> Iterator[Entry]:
  paths = document.get("paths") if isinstance(document, Mapping) else None
  if not isinstance(paths, Mapping):
    refuse("/paths is no object")
  for path, item in paths.items():
    where = pointer("paths", path)
    try:
      item = SchemaInliner(document).follow(item)
    except Refused as error:
      yield Entry(where, functools.partial(_refuse_path, error))
      continue
    for method in _METHODS:
      if method in item:
        operation = _Operation(document, path, item, method)
        yield Entry(where + pointer(method), operation.build)
    for key in item:
      if key not in (*_METHODS, *_PATH_KEYS) and not key.startswith("x-"):
        unknown = functools.partial(refuse, f"no method is {key!r}")
        yield Entry(where + pointer(key), unknown)


def _refuse_path(error: Refused) -> Tool:
  raise error


class _Operation:
  """One method of one path, on its way to a tool."""

  def __init__(
    self,
    document: Mapping[str, Json],
    path: str,
    item: Mapping[str, Json],
    method: str,
  ):
    self._item = item
    self._operation: Any = item[method]
    self._path = path
    self._method = method
    self._inliner = SchemaInliner(document)

  def build(self) -> Tool:
    """Raises Refused or RecordError where the operation cannot be a tool."""
    if not isinstance(self._operation, Mapping):
      refuse("an operation must be an object")
    found, open_schema = self._parameters()
    properties: dict[str, Json] = {}
    required: list[str] = []
    for one in found:
      name = one.name
      while name in properties:
        name = f"{name}_{one.place}"
      properties[name] = one.schema
      if one.required:
        required.append(name)
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    if required:
      schema["required"] = required
    if open_schema is not None:
      schema["additionalProperties"] = open_schema
    try:
      modern = dialects.modernise(schema)
    except dialects.SchemaTooLarge as error:
      raise Refused(RefusalReason.TOO_LARGE, str(error)) from None
    return Tool.from_json(
      {
        "name": self._name(),
        "description": self._description(),
        "parameters": modern,
      }
    )

  def _name(self) -> Json:
    if self._operation.get("operationId"):
      return self._operation["operationId"]
    words = re.findall(r"[A-Za-z0-9]+", self._path)
    return "_".join((self._method, *words))

  def _description(self) -> str:
    """Summary and description, one of them where they say the same."""
    texts: list[str] = []
    for key in ("summary", "description"):
      text = str(self._operation.get(key) or "").strip()
      if text and not any(text in other or other in text for other in texts):
        texts.append(text)
      elif text and len(text) > len(texts[0]):
        texts = [text]
    return "\n".join(texts) or str(self._item.get("description") or "").strip()

  def _parameters(self) -> tuple[list[_Parameter], Json]:
    """All parameters, and what the body says of properties without a name."""
    listed: dict[tuple[str, str], Mapping[str, Json]] = {}
    for holder in (self._item, self._operation):
      parameters = holder.get("parameters") or []
      if not isinstance(parameters, list):
        refuse("the parameters must be a list")
      for described in parameters:
        parameter = self._inliner.follow(described)
        key = (str(parameter.get("name")), str(parameter.get("in")))
        listed[key] = parameter
    found: list[_Parameter] = []
    open_schema: Json = None
    for (name, place), parameter in listed.items():
      if place == "body":
        body = self._schema(parameter.get("schema", {}))
        fields, open_schema = _body(body, name)
        found.extend(fields)
      elif place != "header" or name.lower() not in _IGNORED_HEADERS:
        found.append(self._parameter(name, place, parameter))
    if "requestBody" in self._operation:
      fields, open_schema = _body(self._request_body(), "body")
      found.extend(fields)
    return found, open_schema

  def _parameter(
    self, name: str, place: str, parameter: Mapping[str, Json]
  ) -> _Parameter:
    for key in ("name", "in"):
      if not isinstance(parameter.get(key), str):
        refuse("a parameter must have a name and a place ('in')")
    if "schema" in parameter:
      own = parameter["schema"]
    elif "content" in parameter:
      own = _content(parameter["content"])
    else:
      own = {
        key: value for key, value in parameter.items() if key not in _OWN_KEYS
      }
    schema = self._schema(own)
    if schema.get("type") == "file":
      schema |= {"type": "string", "format": "binary"}
    if parameter.get("description"):
      schema["description"] = parameter["description"]
    required = parameter.get("required") is True or place == "path"
    return _Parameter(name, place, schema, required)

  def _schema(self, node: Json) -> dict[str, Json]:
    """A schema in place; the one that allows all says nothing."""
    found = self._inliner.schema(node)
    if found is False:
      refuse("a schema that allows nothing")
    return {} if found is True else dict(found)

  def _request_body(self) -> Schema:
    body = self._inliner.follow(self._operation["requestBody"])
    schema = self._schema(_content(body.get("content")))
    if body.get("description"):
      schema.setdefault("description", body["description"])
    return schema


def _content(content: Json) -> Json:
  """The schema of the media type that says most about itself."""
  if not isinstance(content, Mapping) or not content:
    refuse("content must be an object with a media type")
  bare = {kind.partition(";")[0].strip().lower(): kind for kind in content}
  kinds = [bare[kind] for kind in _BODY_KINDS if kind in bare]
  kinds += [kind for name, kind in bare.items() if name.endswith("+json")]
  media = content[kinds[0] if kinds else next(iter(content))]
  return media.get("schema", {}) if isinstance(media, Mapping) else {}


def _body(schema: Schema, name: str) -> tuple[list[_Parameter], Json]:
  """The fields of a body, and its `additionalProperties` unless false."""
  branches = [
    branch for key in ("oneOf", "anyOf") for branch in schema.get(key, ())
  ]
  parts = [schema, *branches] if "properties" in schema else branches
  if not parts or not all(map(_has_fields, parts)):
    return [_Parameter(name, "body", schema, True)], None
  required = _required(schema)
  if branches:
    required |= set.intersection(*map(_required, branches))
  described: dict[str, list[Json]] = {}
  for part in parts:
    for field, own in part["properties"].items():
      described.setdefault(field, []).append(own)
  return [
    _Parameter(field, "body", _either(ways), field in required)
    for field, ways in described.items()
  ], schema.get("additionalProperties") or None


def _required(schema: Schema) -> set[str]:
  """Names that a schema requires; the bool of a field's own is none."""
  listed = schema.get("required")
  names = listed if isinstance(listed, list) else []
  return {name for name in names if isinstance(name, str)}


def _has_fields(part: Json) -> bool:
  return isinstance(part, Mapping) and "properties" in part


def _either(ways: list[Json]) -> Json:
  """One schema for a field that alternatives describe each in their way."""
  different = [way for i, way in enumerate(ways) if way not in ways[:i]]
  if len(different) == 1:
    return different[0]
  lists = [
    way
    for way in different
    if isinstance(way, Mapping) and isinstance(way.get("enum"), list)
  ]
  types = {str(way.get("type")) for way in lists}
  if len(types) == 1 and len(lists) == len(different):
    values = [value for way in different for value in way["enum"]]
    unique = [
      value for i, value in enumerate(values) if value not in values[:i]
    ]
    return {**different[0], "enum": unique}
  return {"anyOf": different}


OPENAPI = Importer("openapi", _matches, _entries)
