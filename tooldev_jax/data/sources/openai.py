"""Conversations in OpenAI's form.

`{"messages": [{"role", "content", "tool_calls"?, "tool_call_id"?}], "tools"}`,
with arguments as JSON text; `function_call` and `functions`, the older names,
are read too, and so are the flags of messages that are not trained.
"""

from collections.abc import Mapping, Sequence

from tooldev_jax.data.sources import dialogues, padding, rows
from tooldev_jax.toolcall import jsontext, vocabulary

_ROLES = {
  "system": "system",
  "developer": "system",
  "user": "user",
  "assistant": "assistant",
  "tool": "tool",
  "function": "tool",
}


def _read_row(row: rows.Row) -> Sequence[vocabulary.Example]:
  key = "tools" if row.get("tools") is not None else "functions"
  listed = rows.json_field(row, key) if row.get(key) is not None else []
  turns = rows.json_field(row, "messages")
  if not isinstance(turns, list):
    raise rows.RowError("messages are no list")
  names: dict[str, str] = {}
  messages = [_message(rows.record(turn), names) for turn in turns]
  tools = dialogues.tools_of(listed)
  return [dialogues.finish(row.get("id"), messages, tools)]


def _message(turn: rows.Row, names: dict[str, str]) -> vocabulary.Message:
  """One message; `names` remembers which call id is of which tool."""
  role = _ROLES.get(str(turn.get("role")))
  if role is None:
    raise rows.RowError("unknown role", repr(turn.get("role")))
  calls = []
  for item in rows.records(turn, "tool_calls"):
    call = _call(rows.record(item.get("function")))
    if item.get("id") is not None:
      names[str(item["id"])] = call.name
    calls.append(call)
  if turn.get("function_call") and not padding.is_padding(
    turn["function_call"]
  ):
    calls.append(_call(rows.record(turn["function_call"])))
  name = turn.get("name") or names.get(str(turn.get("tool_call_id")), "")
  answers = role == "assistant"
  return vocabulary.Message(
    role=role,
    content=_text(turn.get("content")),
    calls=tuple(calls) if answers else (),
    name=str(name) if role == "tool" else "",
    trained=not answers or dialogues.is_trained(turn),
  )


def _call(function: rows.Row) -> vocabulary.Call:
  arguments = function.get("arguments")
  if isinstance(arguments, str):
    try:
      arguments = jsontext.load(arguments) if arguments.strip() else {}
    except jsontext.JsonTextError as e:
      raise rows.RowError(dialogues.UNREADABLE, str(e)) from e
  return vocabulary.Call.from_json(
    {"name": function.get("name"), "arguments": arguments or {}}
  )


def _text(content: jsontext.Json) -> str:
  """Content is text, nothing, or a list of parts that all are text."""
  if content is None:
    return ""
  if isinstance(content, str):
    return content
  if not isinstance(content, list):
    raise rows.RowError("content is no text", type(content).__name__)
  texts = []
  for part in content:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
      raise rows.RowError("content has a part that is no text")
    texts.append(part["text"])
  return "\n".join(texts)


read = rows.reader("openai", _read_row)
