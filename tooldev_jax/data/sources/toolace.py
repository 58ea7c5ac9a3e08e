"""ToolACE's conversations (Team-ACE/ToolACE on the hub).

`{"system": prompt with the functions as a JSON list, "conversations": [{"from":
"user" | "assistant" | "tool", "value"}]}`; calls are `[name(a="b"), ...]`. Of
the system text, what stands beside the functions and the rules is kept.
"""

from collections.abc import Sequence

from tooldev_jax.data.sources import dialogues, rows, toolprompt
from tooldev_jax.toolcall import vocabulary

_ROLES = {"user": "user", "assistant": "assistant", "tool": "tool"}


def _read_row(row: rows.Row) -> Sequence[vocabulary.Example]:
  system = toolprompt.take_apart(rows.text_field(row, "system"))
  tools = system.tools()
  turns = dialogues.turns_of(row, "conversations", _ROLES)
  messages = [turn.message("pythonic", tools) for turn in turns]
  said = system.messages()
  return [dialogues.finish(row.get("id"), [*said, *messages], tools)]


read = rows.reader("toolace", _read_row)
