"""Schemas as documents have them, mended where a keyword is harmlessly wrong.

A tool is not lost for a keyword that only narrows or describes: `null` is left
out, `maxLength: 10.0` and `"10"` are the number 10, `"true"` is a boolean, and
what cannot be read so is left out and told.
"""

from collections.abc import Callable, Mapping

from tooldev_jax.toolcall import dialects, jsontext, schemas
from tooldev_jax.toolcall.findings import pointer
from tooldev_jax.toolcall.importers import type_names
from tooldev_jax.toolcall.importers.base import Tell, refuse
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema

# null is a value of these, not a sign that they are left out.
_NULLABLE = frozenset(("default", "const", "example"))


class SchemaReader:
  """Reads schemas; `tell` gets what is left out of them."""

  # What stands for a property whose schema is null; None leaves it out, since
  # columnar files pad every row with the properties of all others.
  _null_property: Json = None

  def __init__(self, tell: Tell):
    self._tell = tell

  def schema(self, node: Json, where: str = "") -> Json:
    """`node` with keywords that hold what they may hold.

    Args:
      node: a schema.
      where: its JSON pointer, for what is told.

    Raises:
      Refused: it is no schema, or one inside it is none.
    """
    found = self._node(node, where)
    if isinstance(found, dict) and isinstance(found.get("required"), bool):
      del found["required"]  # What it says of itself is for who holds it.
    return found

  def _node(self, node: Json, where: str) -> Json:
    if _is_flag(node):
      node = as_flag(node)
    if isinstance(node, bool):
      return node
    if node == []:  # PHP writes an empty object so.
      node = {}
    if not isinstance(node, Mapping):
      refuse(f"the schema {where or '/'} is {shown(node)}, not an object")
    return self._object(node, where)

  def _object(self, node: Schema, where: str) -> Json:
    found: dict[str, Json] = {}
    for key, value in node.items():
      key = "type" if key == "type_" else key  # Gemini's messages.
      if self._is_left_out(key, value):
        continue
      try:
        found[key] = self._keyword(key, value, where + pointer(key))
      except ValueError as error:
        self._tell(f"{where}{pointer(key)} is {shown(value)}, {error}")
    self._name_types(found, where)
    _collect_required(found)
    return found

  def _is_left_out(self, key: str, value: Json) -> bool:
    return value is None and key not in _NULLABLE

  def _keyword(self, key: str, value: Json, where: str) -> Json:
    """The value of a keyword; ValueError where it can be left out."""
    if key in dialects.NAMED:
      return self._named(key, value, where)
    if key in dialects.LISTED or (key == "items" and isinstance(value, list)):
      if not isinstance(value, list):
        refuse(f"{where} is {shown(value)}, not a list")
      if not value:
        raise ValueError("an empty list")
      return [
        self.schema(item, f"{where}/{index}")
        for index, item in enumerate(value)
        if item is not None
      ]
    if key in dialects.SINGLE:
      if isinstance(value, str):  # `items: string`
        value = type_names.type_schema(value) or value
      if not isinstance(value, Mapping | bool | list) and not _is_flag(value):
        raise ValueError("not a schema")
      return self.schema(value, where)
    return _READ[key](value) if key in _READ else value

  def _named(self, key: str, value: Json, where: str) -> dict[str, Json]:
    if value == []:
      return {}
    if not isinstance(value, Mapping):
      refuse(f"{where} is {shown(value)}, not an object")
    read = self._node if key == "properties" else self.schema
    return {
      name: read(
        self._null_property if item is None else item, where + pointer(name)
      )
      for name, item in value.items()
      if item is not None or self._null_property is not None
    }

  def _name_types(self, found: dict[str, Json], where: str) -> None:
    """Leaves out names that are no types; some are known for what they mean."""
    named = found.get("type")
    if isinstance(named, str) and not _is_type(named):
      del found["type"]
      meaning = type_names.type_schema(named)
      if meaning is None:
        self._tell(f"{where}/type is {shown(named)}, which is not known")
      else:
        found.update({**meaning, **found})


def shown(value: Json) -> str:
  return repr(value)[:60]


def as_text(value: Json) -> str:
  """Text, also where YAML read `description: 404` as a number.

  Raises:
    ValueError: it is a list or an object.
  """
  if isinstance(value, str):
    return value
  if isinstance(value, Mapping | list):
    raise ValueError("not text")
  return jsontext.dump(value)


def _is_type(name: Json) -> bool:
  try:
    schemas.json_type(name)
  except (KeyError, AttributeError):
    return False
  return True


def as_flag(value: Json) -> bool:
  """A boolean, also as text; ValueError if it is none."""
  text = as_text(value).strip().lower()
  if text in ("true", "yes", "on", "1"):  # In YAML 1.1, `yes` is true.
    return True
  if text in ("false", "no", "off", "0"):
    return False
  raise ValueError("not a boolean")


def _is_flag(value: Json) -> bool:
  return isinstance(value, bool | str) and str(value).lower() in (
    "true",
    "false",
  )


def _number(value: Json) -> int | float:
  try:
    read = jsontext.load(value) if isinstance(value, str) else value
  except jsontext.JsonTextError:
    read = None
  if isinstance(read, bool) or not isinstance(read, int | float):
    raise ValueError("not a number")
  return read


def _count(value: Json) -> int:
  number = _number(value)
  if number < 0 or number != int(number):
    raise ValueError("not a count")
  return int(number)


def _positive(value: Json) -> int | float:
  number = _number(value)
  if number <= 0:
    raise ValueError("not above 0")
  return number


def _bound(value: Json) -> bool | int | float:
  """Draft 4's boolean, or a number."""
  return as_flag(value) if _is_flag(value) else _number(value)


def _list(value: Json) -> list[Json]:
  if not isinstance(value, list) or not value:
    raise ValueError("not a list of values")
  return value


def _required(value: Json) -> bool | list[str]:
  if isinstance(value, str) and not _is_flag(value):
    return [value]
  if not isinstance(value, list):
    return as_flag(value)
  names = [name for name in value if name is not None]
  if not all(isinstance(name, str) for name in names):
    raise ValueError("not a list of names")
  return list(dict.fromkeys(names))


def _dependent(value: Json) -> Mapping[str, list[str]]:
  if not isinstance(value, Mapping) or not all(
    isinstance(names, list) and all(isinstance(name, str) for name in names)
    for names in value.values()
  ):
    raise ValueError("not lists of names")
  return {key: list(dict.fromkeys(names)) for key, names in value.items()}


def _examples(value: Json) -> list[Json]:
  """A list; OpenAPI's objects with a `value` each are told apart by name."""
  if isinstance(value, Mapping):
    items = list(value.values())
    return [
      item.get("value", item) if isinstance(item, Mapping) else item
      for item in items
    ]
  return value if isinstance(value, list) else [value]


def _type(value: Json) -> str | list[str]:
  if isinstance(value, list) and value:
    names = ["null" if name is None else name for name in value]
    if all(map(_is_type, names)):
      return list(dict.fromkeys(names))
  elif isinstance(value, str):
    return value
  raise ValueError("not the name of a type")


_READ: Mapping[str, Callable[[Json], Json]] = {
  **dict.fromkeys(("title", "description", "format", "pattern"), as_text),
  **dict.fromkeys(("contentMediaType", "contentEncoding", "$comment"), as_text),
  **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _count),
  **dict.fromkeys(("minProperties", "maxProperties"), _count),
  **dict.fromkeys(("minContains", "maxContains"), _count),
  **dict.fromkeys(("minimum", "maximum"), _number),
  **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _bound),
  **dict.fromkeys(("uniqueItems", "nullable", "deprecated"), as_flag),
  **dict.fromkeys(("readOnly", "writeOnly"), as_flag),
  "multipleOf": _positive,
  "enum": _list,
  "examples": _examples,
  "required": _required,
  "dependentRequired": _dependent,
  "type": _type,
}

# All that a schema may hold.
KEYWORDS = frozenset(
  (*_READ, *dialects.NAMED, *dialects.LISTED, *dialects.SINGLE)
) | {"default", "const", "$ref"}


def _collect_required(found: dict[str, Json]) -> None:
  """Draft 3, and many other files: a property says it of itself."""
  said = {
    name: item.pop("required")
    for name, item in schemas.properties(found).items()
    if isinstance(item, dict) and isinstance(item.get("required"), bool)
  }
  own = [name for name, required in said.items() if required]
  listed = found.get("required", [])
  if own and isinstance(listed, list):
    found["required"] = list(dict.fromkeys((*listed, *own)))
