"""ToolACE's conversations (Team-ACE/ToolACE on the hub).

`{"system": prompt with the functions as a JSON list, "conversations": [{"from":
"user" | "assistant" | "tool", "value"}]}`; calls are `[name(a="b"), ...]`. The
system text is a prompt style and is replaced by ours.
"""

from collections.abc import Sequence

from etils import epath

from tooldev_jax.data.sources import dialogues, rows
from tooldev_jax.toolcall import jsontext, vocabulary

_ROLES = {"user": "user", "assistant": "assistant", "tool": "tool"}


def read(path: epath.Path) -> rows.Read:
  """Reads one dialogue a line."""
  return rows.read_lines(path, "toolace", _row)


def _row(row: jsontext.Json) -> Sequence[vocabulary.Example]:
  row = dialogues.record(row)
  tools = dialogues.find_tools(dialogues.text_field(row, "system"))
  messages: list[vocabulary.Message] = []
  for role, text in dialogues.turns_of(row, "conversations", _ROLES):
    if role == "assistant":
      messages.append(dialogues.read_turn(text, "pythonic"))
    else:
      messages.append(vocabulary.Message(role, text))
  example_id = row.get("id")
  return [dialogues.finish(str(example_id or ""), messages, tools)]
