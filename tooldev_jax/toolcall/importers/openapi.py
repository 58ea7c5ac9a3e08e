"""OpenAPI 3 and Swagger 2: each operation becomes a tool.

- The name is the `operationId`. Without one it is made of method and path, at
  most 64 characters, and differs from all others of the document.
- Parameters of the path, query, header, cookie and body are merged into one
  flat object. Of two with one name the later gets its place appended,
  `id` and `id_body`.
- A variable of the path that no parameter describes is a required string.
- A body that is an object gives its properties. Of alternatives (`oneOf`,
  `anyOf`) it gives those of all, and requires what all require; what stands
  beside the alternatives holds too. Any other body is one parameter `body`.
  What a body requires is required even where the body as a whole may be left
  out: a flat tool cannot say "all or none".
- Properties that are `readOnly` are not sent, so they are left out.
- The headers Accept, Content-Type and Authorization are no parameters: the
  standard says that they are ignored. Nor are variables of a server's address.
- Only references within the document are followed (`schema_inliner`).
- Webhooks and callbacks are no tools: it is the server that calls them.
"""

import dataclasses
import functools
import hashlib
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tooldev_jax.toolcall import dialects, schemas
from tooldev_jax.toolcall.findings import pointer
from tooldev_jax.toolcall.importers import all_of
from tooldev_jax.toolcall.importers.base import (
  Entry,
  RefusalReason,
  Refused,
  Tell,
  refuse,
  refused_entry,
)
from tooldev_jax.toolcall.importers.schema_inliner import SchemaInliner
from tooldev_jax.toolcall.importers.schema_reader import as_flag, as_text, shown
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema
from tooldev_jax.toolcall.vocabulary import Tool

_T = TypeVar("_T")

MAX_MADE_NAME = 64  # as chat APIs allow for a function

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
# Keywords of a body that hold for a flat object as well, and those that are
# read from it or say nothing about a call.
_HELD = frozenset(
  ("additionalProperties", "allOf", "not", "if", "then", "else",
   "dependentRequired", "dependentSchemas")
)  # fmt: skip
_FLATTENED = frozenset(
  ("type", "properties", "required", "oneOf", "anyOf", "title", "description",
   "examples", "default", "nullable", "deprecated", "readOnly", "writeOnly")
)  # fmt: skip
# How RFC 6570 and others mark a variable: `{+path}`, `{id*}`, `{name=a/*}`.
_VARIABLE = re.compile(r"\s*[+#./;]?\s*([^*:=?&\s]+)")


@dataclasses.dataclass(frozen=True)
class _Parameter:
  """One named value of an operation; `place` is where HTTP would carry it."""

  name: str
  place: str
  schema: Json
  required: bool


def matches(document: Json) -> bool:
  """Whether a document is OpenAPI, or says so."""
  return isinstance(document, Mapping) and (
    "openapi" in document or "swagger" in document
  )


def entries(document: Json) -> Iterator[Entry]:
  """The operations of a document, in order.

  Raises:
    Refused: it has no paths.
  """
  paths = document.get("paths") if isinstance(document, Mapping) else None
  if not isinstance(paths, Mapping):
    refuse("/paths is no object")
  found = [
    one
    for path, item in paths.items()
    for one in _operations(document, path, item)
  ]
  # Names that the document gives are not for others.
  taken = {one.own_name for one in found if isinstance(one, _Operation)}
  for one in found:
    if isinstance(one, Entry):
      yield one
      continue
    name = one.own_name or _made_name(one.method, one.path, taken)
    taken.add(name)
    yield Entry(one.where, functools.partial(one.build, name))


def _operations(
  document: Mapping[str, Json], path: str, item: Json
) -> Iterator["Entry | _Operation"]:
  """The operations of a path, and what is wrong with it."""
  where = pointer("paths", path)
  if isinstance(item, Mapping):  # An operation may be empty.
    item = {
      key: {} if value is None and key in _METHODS else value
      for key, value in item.items()
    }
  try:
    item = SchemaInliner(document, _ignore).follow({} if item is None else item)
  except Refused as error:
    yield refused_entry(where, error)
    return
  for method in _METHODS:
    if method in item:
      yield _Operation(document, path, item, method)
  for key in item:
    if key not in (*_METHODS, *_PATH_KEYS) and not key.startswith("x-"):
      unknown = Refused(RefusalReason.BAD_RECORD, f"no method is {key!r}")
      yield refused_entry(where + pointer(key), unknown)


def _ignore(detail: str) -> None:
  """Nothing is left out of a path."""


def _made_name(method: str, path: str, taken: set[str]) -> str:
  """A name for an operation that has none, other than those `taken`.

  It has letters and digits of any script, so that each path says something.
  `/a/{b}` is `get_a_b`, or `get_a_by_b` where that is taken; what is too long
  or still not distinct ends with a digest.
  """
  text = unicodedata.normalize("NFKC", urllib.parse.unquote(path))
  tried = [_words(method, text), _words(method, text.replace("{", "/by/"))]
  for name in tried:
    if name not in taken and len(name) <= MAX_MADE_NAME:
      return name
  digest = hashlib.sha256(f"{method} {path}".encode(errors="replace"))
  ending = f"_{digest.hexdigest()[:8]}"
  return tried[0][: MAX_MADE_NAME - len(ending)].rstrip("_") + ending


def _words(method: str, path: str) -> str:
  words = re.findall(r"[^\W_]+", path)
  if not words:  # `/~` is `get_tilde`.
    named = " ".join(unicodedata.name(char, "") for char in path.strip("/"))
    words = re.findall(r"[a-z0-9]+", named.lower())
  return "_".join((method, *(words or ["root"])))


class _Operation:
  """One method of one path, on its way to a tool."""

  def __init__(
    self,
    document: Mapping[str, Json],
    path: str,
    item: Mapping[str, Json],
    method: str,
  ):
    self.path = path
    self.method = method
    self.where = pointer("paths", path, method)
    self._document = document
    self._item = item
    self._operation: Any = item[method]
    self._tell: Tell = _ignore
    self._inliner = SchemaInliner(document, _ignore)
    # The name that the document gives it; empty if none.
    self.own_name = (
      self._text(self._operation, "operationId").strip()
      if isinstance(self._operation, Mapping)
      else ""
    )

  def build(self, name: str, tell: Tell) -> Tool:
    """Raises Refused where the operation cannot be a tool."""
    self._tell = tell
    self._inliner = SchemaInliner(self._document, tell)
    self._operation = self._inliner.follow(self._operation)
    self._text(self._operation, "operationId")  # Told if it is no text.
    properties: dict[str, Json] = {}
    required: list[str] = []
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    listed, held = self._parameters()
    renamed = False
    for one in listed:
      key = one.name
      while key in properties:
        key = f"{key}_{one.place}"
      properties[key] = one.schema
      renamed |= key != one.name and one.place == "body"
      if one.required:
        required.append(key)
    required += held.pop("required", [])
    if required:
      schema["required"] = required
    for key, value in held.items():
      if renamed and key != "additionalProperties":
        tell(f"the body's {key}, since a name in it was taken")
      else:
        schema[key] = value
    try:
      modern = dialects.modernise(schema)
    except dialects.SchemaTooLarge as error:
      refuse(str(error), RefusalReason.TOO_LARGE)
    return Tool(name, self._description(), modern)

  def _text(self, holder: Mapping[str, Json], key: str) -> str:
    """The text at a key; empty if there is none, told if it is not text."""
    return self._read(holder, key, as_text) or ""

  def _read(
    self, holder: Mapping[str, Json], key: str, read: Callable[[Json], _T]
  ) -> _T | None:
    value = holder.get(key)
    try:
      return None if value is None else read(value)
    except ValueError as error:
      self._tell(f"{key} is {shown(value)}, {error}")
      return None

  def _description(self) -> str:
    """Summary and description, one of them where they say the same."""
    texts: list[str] = []
    for key in ("summary", "description"):
      text = self._text(self._operation, key).strip()
      if text and not any(text in other or other in text for other in texts):
        texts.append(text)
      elif text and len(text) > len(texts[0]):
        texts = [text]
    return "\n".join(texts) or self._text(self._item, "description").strip()

  def _parameters(self) -> tuple[list[_Parameter], dict[str, Json]]:
    """All parameters, and what the body says of them together."""
    listed: dict[tuple[str, str], Mapping[str, Json]] = {}
    for holder in (self._item, self._operation):
      parameters = holder.get("parameters") or []
      if not isinstance(parameters, list):
        refuse(f"the parameters are {shown(parameters)}, not a list")
      for described in parameters:
        if described is not None:
          parameter = self._inliner.follow(described)
          key = (self._text(parameter, "name"), self._text(parameter, "in"))
          if not all(key):
            refuse("a parameter must have a name and a place ('in')")
          listed[key] = parameter
    found: list[_Parameter] = []
    held: dict[str, Json] = {}
    for (name, place), parameter in listed.items():
      if place == "body":
        body = self._schema(parameter.get("schema", {}), "/body")
        fields, held = _flatten(body, name, self._tell)
        found.extend(fields)
      elif place != "header" or name.lower() not in _IGNORED_HEADERS:
        found.append(self._parameter(name, place, parameter))
    for inside in re.findall(r"\{([^{}]*)\}", self.path):
      variable = _VARIABLE.match(inside)
      if variable and (variable[1], "path") not in listed:
        listed[variable[1], "path"] = {}
        one = _Parameter(variable[1], "path", {"type": "string"}, True)
        found.append(one)
    if "requestBody" in self._operation:
      request = self._inliner.follow(self._operation["requestBody"])
      if request.get("content"):
        schema = self._request_body(request)
        fields, held = _flatten(schema, "body", self._tell)
        found.extend(fields)
      else:
        self._tell("requestBody, which has no content")
    return found, held

  def _parameter(
    self, name: str, place: str, parameter: Mapping[str, Json]
  ) -> _Parameter:
    if "schema" in parameter:
      own = parameter["schema"]
    elif "content" in parameter:
      own = _content(parameter["content"])
    else:
      own = {
        key: value for key, value in parameter.items() if key not in _OWN_KEYS
      }
    if isinstance(own, Mapping) and own.get("type") == "file":
      own = {**own, "type": "string", "format": "binary"}
    schema = self._schema(own, pointer(name))
    if described := self._text(parameter, "description"):
      schema["description"] = described
    required = self._read(parameter, "required", as_flag) or place == "path"
    return _Parameter(name, place, schema, required)

  def _schema(self, node: Json, where: str) -> dict[str, Json]:
    """A schema in place; the one that allows all says nothing."""
    found = self._inliner.schema(node, where)
    if found is False:
      refuse(f"the schema {where} allows nothing")
    return {} if found is True else dict(found)

  def _request_body(self, body: Mapping[str, Json]) -> Schema:
    schema = self._schema(_content(body["content"]), "/body")
    if described := self._text(body, "description"):
      schema.setdefault("description", described)
    return schema


def _content(content: Json) -> Json:
  """The schema of the media type that says most about itself."""
  if not isinstance(content, Mapping) or not content:
    refuse("content must be an object with a media type")
  bare = {kind.partition(";")[0].strip().lower(): kind for kind in content}
  kinds = [bare[kind] for kind in _BODY_KINDS if kind in bare]
  kinds += [kind for name, kind in bare.items() if name.endswith("+json")]
  media = content[kinds[0] if kinds else next(iter(content))]
  schema = media.get("schema") if isinstance(media, Mapping) else None
  return {} if schema is None else schema


def _flatten(
  schema: Schema, name: str, tell: Tell
) -> tuple[list[_Parameter], dict[str, Json]]:
  """The fields of a body, and the keywords that hold for them together."""
  branches = [
    branch for key in ("oneOf", "anyOf") for branch in schema.get(key, ())
  ]
  parts = [schema, *branches] if "properties" in schema else branches
  if not parts or not all(map(_has_fields, parts)):
    return [_Parameter(name, "body", schema, True)], {}
  required = _required(schema)
  if branches:
    required |= set.intersection(*map(_required, branches))
  fields = dict(schemas.properties(schema))
  ways: dict[str, list[Json]] = {}
  for branch in branches:
    for field, way in branch["properties"].items():
      ways.setdefault(field, []).append(way)
  for field, listed in ways.items():
    if field not in fields:
      fields[field] = _either(listed)
    elif len(listed) == len(branches):
      fields[field] = all_of.merge(fields[field], _either(listed), tell)
  for part in parts:
    for key, value in part.items():
      known = key in _FLATTENED or (part is schema and key in _HELD)
      if not known and (key, value) != ("additionalProperties", False):
        tell(f"the body's {key}, which has no place beside other parameters")
  held = {key: value for key, value in schema.items() if key in _HELD}
  if held.get("additionalProperties") is False:
    del held["additionalProperties"]  # As it is without.
  if undescribed := sorted(required - fields.keys()):
    held["required"] = undescribed
  return [
    _Parameter(field, "body", own, field in required)
    for field, own in fields.items()
  ], held


def _required(schema: Schema) -> set[str]:
  """Names that a schema requires; the bool of a field's own is none."""
  listed = schema.get("required")
  return set(listed) if isinstance(listed, list) else set()


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
