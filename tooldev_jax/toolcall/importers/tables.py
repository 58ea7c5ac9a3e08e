"""Parameters as a table: names with a type, a description and little else.

Most tool sets that do not write JSON Schema write such a table, as an object
(`{"city": {"type": "str", "required": true}}`), as a list
(`[{"name": "city", "type": "STRING"}]`), or with a line of text for each
parameter (`"[REQUIRED] string: where"`). All become one JSON Schema.

A parameter is required if the table says so. In a table that says so of none,
it is required unless it has a default or is called optional.
"""

import re
from collections.abc import Iterator, Mapping

from tooldev_jax.toolcall import jsontext
from tooldev_jax.toolcall.importers.base import RefusalReason, Tell, refuse
from tooldev_jax.toolcall.importers.schema_reader import (
  KEYWORDS,
  as_flag,
  shown,
)
from tooldev_jax.toolcall.importers.type_names import is_optional, type_schema
from tooldev_jax.toolcall.jsontext import Json

# What a parameter says of itself, and under which names.
_FACTS: Mapping[str, tuple[str, ...]] = {
  "type": (
    "type", "type_", "data_type", "datatype", "param_type", "parameter_type",
    "value_type", "python_type",
  ),
  "description": ("description", "desc", "doc", "summary", "help"),
  "enum": ("enum", "choices", "options", "allowed_values", "possible_values"),
  "default": ("default", "default_value"),
  "examples": ("examples", "example", "example_value", "example_values"),
  "required": ("required", "is_required", "mandatory"),
  "optional": ("optional", "is_optional"),
  "nullable": ("nullable",),
  "unit": ("unit", "units"),
  "schema": ("schema", "schema_data", "json_schema"),
  "name": ("name", "parameter_name", "param_name"),
}  # fmt: skip
_FACT_OF = {key: fact for fact, keys in _FACTS.items() for key in keys}
_FLAG = re.compile(
  r"[\[(]\s*(required|optional)\s*[\])]|\A\s*(required|optional)\b[.:,;]",
  re.IGNORECASE,
)
_AFTER_TYPE = re.compile(r"[:.;]\s+|\s-\s|[:.;]\Z")


def plain_key(key: str) -> str:
  """`isRequired`, `IsRequired` and `is-required` as `is_required`."""
  key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
  return key.replace("-", "_").lower()


def schema_of(
  table: Json, where: str, required: bool | None, tell: Tell
) -> dict[str, Json]:
  """JSON Schema of a table.

  Args:
    table: a list or an object, as above.
    where: the key that holds it, for what is told.
    required: whether parameters are that say nothing themselves; None to go
      by the others.
    tell: gets what is left out.

  Raises:
    Refused: something in it describes no parameter.
  """
  properties: dict[str, Json] = {}
  said: dict[str, bool | None] = {}
  for name, facts in _rows(table, where):
    if name in properties:
      refuse(
        f"{where} has {name!r:.40} twice", RefusalReason.UNKNOWN_PARAMETERS
      )
    place = f"{where}/{name}"
    properties[name], said[name] = _parameter(facts, place, tell)
  if required is None and any(said.values()):
    required = False
  needed = [
    name
    for name, own in said.items()
    if (own if own is not None else _is_needed(properties[name], required))
  ]
  schema: dict[str, Json] = {"type": "object", "properties": properties}
  return {**schema, "required": needed} if needed else schema


def _is_needed(schema: Mapping[str, Json], required: bool | None) -> bool:
  return "default" not in schema if required is None else required


def _rows(table: Json, where: str) -> Iterator[tuple[str, Json]]:
  """(name, facts) of each parameter; a null is none, but padding."""
  if isinstance(table, Mapping):
    yield from ((n, facts) for n, facts in table.items() if facts is not None)
    return
  for index, row in enumerate(table):
    if isinstance(row, str):
      yield row, {}
      continue
    facts = row if isinstance(row, Mapping) else {}
    names = [facts[key] for key in facts if _fact_of(key) == "name"]
    if len(names) != 1 or not isinstance(names[0], str):
      refuse(
        f"{where}/{index} is {shown(row)}, which names no parameter",
        RefusalReason.UNKNOWN_PARAMETERS,
      )
    yield names[0], {k: v for k, v in facts.items() if _fact_of(k) != "name"}


def _fact_of(key: str) -> str | None:
  return _FACT_OF.get(plain_key(key))


def _parameter(
  facts: Json, where: str, tell: Tell
) -> tuple[dict[str, Json], bool | None]:
  """A parameter's schema, and whether it says that it is required."""
  if isinstance(facts, str):
    facts = _of_line(facts)
  if not isinstance(facts, Mapping):
    refuse(
      f"{where} is {shown(facts)}, which describes no parameter",
      RefusalReason.UNKNOWN_PARAMETERS,
    )
  known: dict[str, Json] = {}
  schema: dict[str, Json] = {}
  for key, value in facts.items():
    fact = _fact_of(key)
    if value is None or (value == "" and fact != "description"):
      continue
    if fact == "required" and isinstance(value, list):
      schema["required"] = value  # Of an object inside.
    elif fact is not None:
      known.setdefault(fact, value)
    elif key in KEYWORDS:
      schema[key] = value
    else:
      tell(f"{where}/{key} is {shown(value)}, which is not understood")
  named = known.get("type")
  if isinstance(known.get("schema"), Mapping):
    schema = {**known["schema"], **schema}
  schema = {**_type(named, where, tell), **schema}
  if unit := known.get("unit"):
    text = f"{known.get('description', '')} (unit: {unit})".strip()
    known["description"] = text
  for key in ("description", "enum", "default", "examples"):
    if key in known:
      schema[key] = known[key]
  if "default" in schema:
    schema["default"] = _typed(schema["default"], schema.get("type"))
  return schema, _says(known, named, where, tell)


def _type(named: Json, where: str, tell: Tell) -> dict[str, Json]:
  """The schema of what stands under `type`."""
  if named is None or isinstance(named, list):
    return {} if named is None else {"type": named}
  found = type_schema(named) if isinstance(named, str) else None
  if found is None:
    tell(f"{where}/type is {shown(named)}, which is not known")
  return found or {}


def _says(
  known: Mapping[str, Json], named: Json, where: str, tell: Tell
) -> bool | None:
  """Whether a parameter says that it is required, or not, or nothing."""
  for fact, meaning in (("required", True), ("optional", False)):
    if fact in known:
      try:
        return as_flag(known[fact]) is meaning
      except ValueError as error:
        tell(f"{where}/{fact} is {shown(known[fact])}, {error}")
  if isinstance(named, str) and is_optional(named):
    return False
  return False if known.get("nullable") is True else None


def _of_line(text: str) -> dict[str, Json]:
  """`[REQUIRED] string: where it is`, with any of the three left out."""
  facts: dict[str, Json] = {}
  if flag := _FLAG.search(text):
    said = (flag.group(1) or flag.group(2)).lower()
    facts["required"] = said == "required"
    text = text[: flag.start()] + text[flag.end() :]
  text = text.strip()
  named, *rest = _AFTER_TYPE.split(text, maxsplit=1)
  if type_schema(named) is None:
    return {**facts, "description": text}
  return {**facts, "type": named, "description": "".join(rest) or None}


def _typed(default: Json, kind: Json) -> Json:
  """A default that the source wrote as text, as the type that it has."""
  if not isinstance(default, str) or kind in ("string", None):
    return default
  words = {"True": "true", "False": "false", "None": "null"}
  try:
    return jsontext.load(words.get(default, default))
  except jsontext.JsonTextError:
    return default
