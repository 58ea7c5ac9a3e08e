"""Seal-Tools: `{"api_name", "api_description", "parameters", "required"}`.

Parameters are a flat object of `{"type": "str", "description": …}`. Types get
their JSON Schema names; a unit is added to the description, `choices` become
an enum, examples stay examples. The responses are no part of a definition.
"""

from collections.abc import Iterator, Mapping

from tooldev_jax.toolcall import schemas
from tooldev_jax.toolcall.importers.base import (
  Entry,
  Importer,
  RefusalReason,
  Refused,
)
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Tool


def _matches(document: Json) -> bool:
  return isinstance(document, Mapping) and "api_name" in document


def _entries(document: Json) -> Iterator[Entry]:
  yield Entry("", lambda: _build(document))


def _build(record: Json) -> Tool:
  if not isinstance(record, Mapping):
    raise Refused(RefusalReason.BAD_RECORD, "a record must be an object")
  parameters = record.get("parameters", {})
  if not isinstance(parameters, Mapping):
    raise Refused(RefusalReason.BAD_RECORD, "/parameters is no object")
  return Tool.from_json(
    {
      "name": record.get("api_name"),
      "description": record.get("api_description"),
      "parameters": {
        "type": "object",
        "properties": {
          name: _property(name, described)
          for name, described in parameters.items()
        },
        "required": record.get("required", []),
      },
    }
  )


def _property(name: str, described: Json) -> dict[str, Json]:
  where = f"/parameters/{name}"
  if not isinstance(described, Mapping):
    raise Refused(RefusalReason.BAD_RECORD, f"{where} is no object")
  try:
    named = schemas.json_type(str(described.get("type")))
  except KeyError:
    detail = f"{where}/type is {described.get('type')!r}, which is not known"
    raise Refused(RefusalReason.BAD_RECORD, detail) from None
  found: dict[str, Json] = {} if named is None else {"type": named}
  description = str(described.get("description") or "")
  if described.get("unit"):
    description = f"{description} (unit: {described['unit']})"
  found["description"] = description
  if isinstance(described.get("choices"), list):
    found["enum"] = described["choices"]
  if "default" in described:
    found["default"] = described["default"]
  examples = [
    described[key]
    for key in ("example", "examples", "example_values")
    if key in described
  ]
  if examples:
    many = isinstance(examples[0], list)
    found["examples"] = examples[0] if many else examples
  return found


SEAL_TOOLS = Importer("seal_tools", _matches, _entries)
