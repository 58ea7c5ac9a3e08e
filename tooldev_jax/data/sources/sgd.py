"""Schema-guided dialogues (SGD), condensed: dialogues and services' schemas.

Dialogues: `{"dialogue_id", "services", "turns": [{"speaker", "utterance",
"calls"?, "results"?}]}`; a system turn calls first and speaks after the result.
Schemas: `<name>_schema.jsonl.gz` beside `<name>.jsonl.gz`. A tool is one intent
of one service, named `Service_Intent`; its parameters are the intent's slots.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from etils import epath

from tooldev_jax.data.sources import dialogues, rows
from tooldev_jax.toolcall import jsontext, vocabulary

_Services = Mapping[str, Sequence[vocabulary.Tool]]


def read(path: epath.Path) -> rows.Read:
  """Reads one dialogue a line, with all intents of its services as tools."""
  schema_path = path.parent / path.name.replace(".jsonl", "_schema.jsonl", 1)
  if not schema_path.exists():
    raise rows.SourceError(f"{path}: its schemas are missing: {schema_path}")
  services = _services(schema_path)

  def row_of(row: jsontext.Json) -> Sequence[vocabulary.Example]:
    return [_example(dialogues.record(row), services)]

  return rows.read_lines(path, "sgd", row_of)


def read_documents(path: epath.Path) -> rows.Read:
  """Reads a schema file: every intent as an example without a query."""
  return rows.read_lines(path, "sgd", _documents)


def _documents(row: jsontext.Json) -> Sequence[vocabulary.Example]:
  return [
    vocabulary.Example("", (), (tool,), provenance={"category": "tool"})
    for tool in _tools(dialogues.record(row))
  ]


def _services(path: epath.Path) -> _Services:
  found: dict[str, list[vocabulary.Tool]] = {}
  for line, text in rows.numbered_lines(path):
    try:
      service = dialogues.record(rows.load_row(text))
      name = dialogues.text_field(service, "service_name")
      found[name] = _tools(service)
    except (rows.RowError, vocabulary.RecordError) as e:
      raise rows.SourceError(f"{path}:{line}: {e}") from e
  return found


def _tools(service: rows.Row) -> list[vocabulary.Tool]:
  slots = {
    slot.get("name"): slot
    for slot in map(dialogues.record, _list(service, "slots"))
  }
  return [
    vocabulary.Tool(
      name=_tool_name(service.get("service_name"), intent.get("name")),
      description=str(intent.get("description") or ""),
      parameters=_parameters(intent, slots),
    )
    for intent in map(dialogues.record, _list(service, "intents"))
  ]


def _tool_name(service: jsontext.Json, intent: jsontext.Json) -> str:
  if not isinstance(service, str) or not isinstance(intent, str):
    raise rows.RowError("no name of service or intent")
  return f"{service}_{intent}"


def _parameters(
  intent: rows.Row, slots: Mapping[jsontext.Json, rows.Row]
) -> dict[str, jsontext.Json]:
  required = _list(intent, "required_slots")
  optional = dialogues.record(intent.get("optional_slots") or {})
  properties = {}
  for name in (*required, *optional):
    slot = slots.get(name, {})
    schema: dict[str, jsontext.Json] = {"type": "string"}
    if slot.get("description"):
      schema["description"] = slot["description"]
    values = list(_list(slot, "possible_values"))
    if slot.get("is_categorical") and values:
      default = optional.get(name)
      extra = [default] if default and default not in values else []
      schema["enum"] = values + extra
    if optional.get(name):
      schema["default"] = optional[name]
    properties[name] = schema
  made = {"type": "object", "properties": properties}
  return {**made, "required": list(required)} if required else made


def _example(row: rows.Row, services: _Services) -> vocabulary.Example:
  tools: list[vocabulary.Tool] = []
  for service in _list(row, "services"):
    if service not in services:
      raise rows.RowError("unknown service", str(service))
    tools += services[service]
  messages = [
    message
    for turn in _list(row, "turns")
    for message in _turn(dialogues.record(turn))
  ]
  example_id = str(row.get("dialogue_id") or "")
  example = dialogues.finish(example_id, messages, tools)
  named = {**example.provenance, "services": list(_list(row, "services"))}
  return dataclasses.replace(example, provenance=named)


def _turn(turn: rows.Row) -> Iterator[vocabulary.Message]:
  """A user's turn, or a system's: calls, their results, then words."""
  text = str(turn.get("utterance") or "")
  if turn.get("speaker") == "USER":
    yield vocabulary.Message("user", text)
    return
  if turn.get("speaker") != "SYSTEM":
    raise rows.RowError("unknown speaker", repr(turn.get("speaker")))
  calls = [_call(dialogues.record(call)) for call in _list(turn, "calls")]
  if calls:
    yield vocabulary.Message("assistant", "", tuple(calls))
  results = _list(turn, "results")
  for i, result in enumerate(results):
    name = calls[i].name if i < len(calls) else ""
    yield vocabulary.Message("tool", jsontext.dump(result), name=name)
  yield vocabulary.Message("assistant", text)


def _call(call: rows.Row) -> vocabulary.Call:
  name = _tool_name(call.get("service"), call.get("method"))
  arguments = call.get("parameters") or {}
  return vocabulary.Call.from_json({"name": name, "arguments": arguments})


def _list(row: rows.Row, key: str) -> Sequence[jsontext.Json]:
  value = row.get(key) or []
  if not isinstance(value, Sequence) or isinstance(value, str):
    raise rows.RowError(f"{key} are no list")
  return value
