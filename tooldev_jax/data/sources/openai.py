"""Conversations in OpenAI's form.

`{"messages": [{"role", "content", "tool_calls"?, "tool_call_id"?}], "tools"}`,
with arguments as JSON text; `function_call` and `functions`, the older names,
are read too, and so are the flags of messages that are not trained.
"""

from collections.abc import Mapping, Sequence

from etils import epath

from tooldev_jax.data.sources import dialogues, rows
from tooldev_jax.toolcall import jsontext, vocabulary

_ROLES = {
  "system": "system",
  "developer": "system",
  "user": "user",
  "assistant": "assistant",
  "tool": "tool",
  "function": "tool",
}


def read(path: epath.Path) -> rows.Read:
  """Reads one conversation a line."""
  return rows.read_lines(path, "openai", _row)


def _row(row: jsontext.Json) -> Sequence[vocabulary.Example]:
  row = dialogues.record(row)
  key = "tools" if row.get("tools") is not None else "functions"
  listed = dialogues.json_field(row, key) if row.get(key) is not None else []
  turns = dialogues.json_field(row, "messages")
  if not isinstance(turns, list):
    raise rows.RowError("messages are no list")
  names: dict[str, str] = {}
  messages = [_message(dialogues.record(turn), names) for turn in turns]
  example_id = str(row.get("id") or "")
  return [dialogues.finish(example_id, messages, dialogues.tools_of(listed))]


def _message(turn: rows.Row, names: dict[str, str]) -> vocabulary.Message:
  """One message; `names` remembers which call id is of which tool."""
  role = _ROLES.get(str(turn.get("role")))
  if role is None:
    raise rows.RowError("unknown role", repr(turn.get("role")))
  listed = turn.get("tool_calls") or []
  if not isinstance(listed, Sequence) or isinstance(listed, str):
    raise rows.RowError("tool_calls are no list")
  calls = []
  for item in map(dialogues.record, listed):
    call = _call(dialogues.record(item.get("function")))
    if item.get("id") is not None:
      names[str(item["id"])] = call.name
    calls.append(call)
  if turn.get("function_call"):
    calls.append(_call(dialogues.record(turn["function_call"])))
  name = turn.get("name") or names.get(str(turn.get("tool_call_id")), "")
  return vocabulary.Message(
    role=role,
    content=_text(turn.get("content")),
    calls=tuple(calls) if role == "assistant" else (),
    name=str(name) if role == "tool" else "",
    trained=role != "assistant" or dialogues.is_trained(turn),
  )


def _call(function: rows.Row) -> vocabulary.Call:
  arguments = function.get("arguments")
  if isinstance(arguments, str):
    try:
      arguments = jsontext.load(arguments) if arguments.strip() else {}
    except jsontext.JsonTextError as e:
      raise rows.RowError("calls cannot be read", str(e)) from e
  return vocabulary.Call.from_json(
    {"name": function.get("name"), "arguments": arguments or {}}
  )


def _text(content: jsontext.Json) -> str:
  """Content is text, nothing, or a list of parts of which some are text."""
  if content is None:
    return ""
  if isinstance(content, str):
    return content
  if not isinstance(content, Sequence):
    raise rows.RowError("content is no text", type(content).__name__)
  texts = []
  for part in content:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
      raise rows.RowError("content has a part that is no text")
    texts.append(part["text"])
  return "\n".join(texts)
