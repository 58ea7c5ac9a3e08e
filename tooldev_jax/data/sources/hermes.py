"""Hermes function calling (NousResearch) and Glaive function calling v2.

Hermes: `{"conversations": [{"from": "system" | "human" | "gpt" | "tool",
"value"}], "tools": JSON text}`, calls in `<tool_call>` tags, results in
`<tool_response>` tags. Without `tools`, the system text lists them. What it
says beside them and the rules of calling is kept.

Glaive: `{"system": text with the functions as JSON, "chat": "USER: …
ASSISTANT: <functioncall> {…} <|endoftext|> FUNCTION RESPONSE: …"}`.
"""

import re
from collections.abc import Sequence

from tooldev_jax.data.sources import dialogues, rows, toolprompt
from tooldev_jax.toolcall import jsontext, vocabulary

_ROLES = {
  "system": "system",
  "human": "user",
  "user": "user",
  "gpt": "assistant",
  "assistant": "assistant",
  "tool": "tool",
}
_RESPONSE = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
_SYSTEM = re.compile(r"\A\s*SYSTEM:\s*")
_SPEAKER = re.compile(r"(?:\A|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE):[ \t]*")
_GLAIVE_ROLES = {"USER": "user", "FUNCTION RESPONSE": "tool"}
# The arguments are JSON text in single quotes.
_GLAIVE_CALL = re.compile(
  r"""\{\s*"name":\s*"([^"]+)"\s*(?:,\s*"arguments":\s*(.*?)\s*)?\}""",
  re.DOTALL,
)


def _hermes_row(row: rows.Row) -> Sequence[vocabulary.Example]:
  turns = dialogues.turns_of(row, "conversations", _ROLES)
  said = "\n".join(turn.text for turn in turns if turn.role == "system")
  system = toolprompt.take_apart(said)
  if row.get("tools"):
    tools = dialogues.tools_of(rows.json_field(row, "tools"))
  else:
    tools = system.tools()
  messages = system.messages()
  for turn in turns:
    if turn.role == "tool":
      found = _RESPONSE.findall(turn.text) or [turn.text]
      messages += [vocabulary.Message("tool", item) for item in found]
    elif turn.role != "system":
      messages.append(turn.message("hermes", tools))
  return [dialogues.finish(row.get("id"), messages, tools)]


def _glaive_row(row: rows.Row) -> Sequence[vocabulary.Example]:
  text = rows.text_field(row, "system")
  system = toolprompt.take_apart(_SYSTEM.sub("", text))
  messages = system.messages()
  parts = _SPEAKER.split(rows.text_field(row, "chat"))
  for speaker, text in zip(parts[1::2], parts[2::2], strict=True):
    text = text.replace("<|endoftext|>", "").strip()
    if speaker == "ASSISTANT":
      messages.append(_glaive_turn(text))
    else:
      messages.append(vocabulary.Message(_GLAIVE_ROLES[speaker], text))
  return [dialogues.finish(row.get("id"), messages, system.tools())]


def _glaive_turn(text: str) -> vocabulary.Message:
  before, mark, call = text.partition("<functioncall>")
  if not mark:
    return vocabulary.Message("assistant", text)
  match = _GLAIVE_CALL.fullmatch(call.strip())
  if match is None:
    raise rows.RowError(dialogues.UNREADABLE, call.strip()[:80])
  arguments = (match.group(2) or "{}").strip()
  if arguments.startswith("'") and arguments.endswith("'"):
    arguments = arguments[1:-1].replace("\\'", "'")
  try:
    value = _json_or_none(arguments)
    if isinstance(value, str):
      value = _json_or_none(value)
  except jsontext.JsonTextError as e:
    raise rows.RowError(dialogues.UNREADABLE, str(e)) from e
  value = {} if value is None else value
  made = vocabulary.Call.from_json({"name": match.group(1), "arguments": value})
  return vocabulary.Message("assistant", before.strip(), (made,))


def _json_or_none(text: str) -> jsontext.Json:
  """The value of JSON text; None for blank text."""
  return jsontext.load(text) if text.strip() else None


read = rows.reader("hermes", _hermes_row)
read_glaive = rows.reader("glaive", _glaive_row)
