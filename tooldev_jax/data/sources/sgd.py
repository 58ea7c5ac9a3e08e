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
  """Reads one dialogue a row, with all intents of its services as tools."""
  schema_path = path.parent / path.name.replace(".jsonl", "_schema.jsonl", 1)
  if not schema_path.exists():
    raise rows.SourceError(f"{path}: its schemas are missing: {schema_path}")
  services = _services(schema_path)
  return rows.reader("sgd", lambda row: [_example(row, services)])(path)


def _documents(service: rows.Row) -> Sequence[vocabulary.Example]:
  return [
    vocabulary.Example("", (), (tool,), provenance={"category": "tool"})
    for tool in _tools(service)
  ]


# Reads a schema file: every intent is an example without a query.
read_documents = rows.reader("sgd", _documents)


def _services(path: epath.Path) -> _Services:
  found: dict[str, list[vocabulary.Tool]] = {}
  for line, text in rows.numbered_rows(path):
    try:
      service = rows.record(rows.load_row(text))
      name = rows.text_field(service, "service_name")
      found[name] = _tools(service)
    except (rows.RowError, vocabulary.MalformedError) as e:
      raise rows.SourceError(f"{path}:{line}: {e}") from e
  return found


def _tools(service: rows.Row) -> list[vocabulary.Tool]:
  slots = {slot.get("name"): slot for slot in rows.records(service, "slots")}
  return [
    vocabulary.Tool(
      name=_tool_name(service.get("service_name"), intent.get("name")),
      description=str(intent.get("description") or ""),
      parameters=_parameters(intent, slots),
    )
    for intent in rows.records(service, "intents")
  ]


def _tool_name(service: jsontext.Json, intent: jsontext.Json) -> str:
  if not isinstance(service, str) or not isinstance(intent, str):
    raise rows.RowError("no name of service or intent")
  return f"{service}_{intent}"


def _parameters(
  intent: rows.Row, slots: Mapping[jsontext.Json, rows.Row]
) -> dict[str, jsontext.Json]:
  required = rows.list_field(intent, "required_slots")
  optional = rows.record(intent.get("optional_slots") or {})
  properties = {}
  for name in (*required, *optional):
    slot = slots.get(name, {})
    schema: dict[str, jsontext.Json] = {"type": "string"}
    if slot.get("description"):
      schema["description"] = slot["description"]
    values = rows.list_field(slot, "possible_values")
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
  for service in rows.list_field(row, "services"):
    if service not in services:
      raise rows.RowError("unknown service", str(service))
    tools += services[service]
  turns = rows.records(row, "turns")
  messages = [message for turn in turns for message in _turn(turn)]
  example = dialogues.finish(row.get("dialogue_id"), messages, tools)
  named = {**example.provenance, "services": row.get("services")}
  return dataclasses.replace(example, provenance=named)


def _turn(turn: rows.Row) -> Iterator[vocabulary.Message]:
  """A user's turn, or a system's: calls, their results, then words."""
  text = str(turn.get("utterance") or "")
  if turn.get("speaker") == "USER":
    yield vocabulary.Message("user", text)
    return
  if turn.get("speaker") != "SYSTEM":
    raise rows.RowError("unknown speaker", repr(turn.get("speaker")))
  calls = [_call(call) for call in rows.records(turn, "calls")]
  if calls:
    yield vocabulary.Message("assistant", "", tuple(calls))
  for i, result in enumerate(rows.list_field(turn, "results")):
    name = calls[i].name if i < len(calls) else ""
    yield vocabulary.Message("tool", jsontext.dump(result), name=name)
  yield vocabulary.Message("assistant", text)


def _call(call: rows.Row) -> vocabulary.Call:
  name = _tool_name(call.get("service"), call.get("method"))
  arguments = call.get("parameters") or {}
  return vocabulary.Call.from_json({"name": name, "arguments": arguments})
