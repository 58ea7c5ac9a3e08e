"""ToolACE's conversations (Team-ACE/ToolACE on the hub).

`{"system": prompt with the functions as a JSON list, "conversations": [{"from":
"user" | "assistant" | "tool", "value"}]}`; calls are `[name(a="b"), ...]`. Of
the system text, what stands beside the functions and the rules is kept.
"""

from collections.abc import Sequence

from etils import epath

from tooldev_jax.data.sources import dialogues, rows, toolprompt
from tooldev_jax.toolcall import jsontext, vocabulary

_ROLES = {"user": "user", "assistant": "assistant", "tool": "tool"}


def read(path: epath.Path) -> rows.Read:
  """Reads one dialogue a line."""
  return rows.read_lines(path, "toolace", _row)


def _row(row: jsontext.Json) -> Sequence[vocabulary.Example]:
  row = dialogues.record(row)
  system = toolprompt.take_apart(dialogues.text_field(row, "system"))
  tools, messages = system.tools(), system.messages()
  for turn in dialogues.turns_of(row, "conversations", _ROLES):
    messages.append(dialogues.message(turn, "pythonic", tools))
  example_id = row.get("id")
  return [dialogues.finish(str(example_id or ""), messages, tools)]
