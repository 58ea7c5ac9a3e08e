"""ToolRL's prompt format: the 400 samples of ToolACE, xLAM and Hammer.

`{"instruction": rules with numbered tools, "input": the dialogue so far in
`<user>`, `<tool_call>`, `<obs>` and `<response>` tags, "output": the answer}`.
Thoughts come from a stronger model; they are kept in the text of their turn,
and encoding strips them by default.
"""

import re
from collections.abc import Iterator, Sequence

from tooldev_jax.data.sources import dialogues, flat, rows, toolprompt
from tooldev_jax.toolcall import vocabulary

_TOOLS = re.compile(
  r"^\d+\. Name: (?P<name>.*?)\nDescription: (?P<description>.*?)\n"
  r"Parameters: (?P<parameters>\{.*?\})$(?=\n\d+\. Name: |\n\n)",
  re.DOTALL | re.MULTILINE,
)
_SECTION = re.compile(
  r"\*\*Available Tools\*\*.*?\n(?P<body>(?=\d+\. Name: ).*?\n\n)"
  r"(?=\*\*Steps for Each Turn\*\*)",
  re.DOTALL,
)
_HEADING = "**Available Tools**"
_NUMBER = re.compile(r"^\d+\. Name: ", re.MULTILINE)
_TAG = re.compile(
  r"<(?P<tag>user|think|tool_call|obs|response)>(?P<body>.*?)</(?P=tag)>",
  re.DOTALL,
)
# The answer is one turn at the end: what it opens it need not close. Its
# thought may speak of tags, so it ends with its own tag where it has one.
_OPEN = re.compile(
  r"<(?P<tag>think)>(?P<body>.*?)</think>"
  r"|<(?P<tag2>tool_call|response)>"
  r"(?P<body2>.*?)(?:</(?P=tag2)>|(?=<response>)|\Z)",
  re.DOTALL,
)


def _read_row(row: rows.Row) -> Sequence[vocabulary.Example]:
  instruction = rows.text_field(row, "instruction")
  tools = _tools(instruction)
  before = instruction[: instruction.index(_HEADING)]
  system = toolprompt.take_apart(before).messages()
  turns = list(_turns(rows.text_field(row, "input"), _TAG, tools))
  answer = list(_turns(rows.text_field(row, "output"), _OPEN, tools))
  if not answer:
    raise rows.RowError("the answer has neither calls nor a response")
  return [dialogues.finish("", [*system, *turns, *answer[:1]], tools)]


def _tools(instruction: str) -> list[vocabulary.Tool]:
  section = _SECTION.search(instruction)
  if section is None:
    raise rows.RowError("no list of tools")
  body = section.group("body")
  found = list(_TOOLS.finditer(body))
  if len(found) != len(_NUMBER.findall(body)):
    raise rows.RowError("a tool cannot be read", f"{len(found)} were")
  return [
    vocabulary.Tool(
      name=match["name"],
      description=match["description"].strip(),
      parameters=flat.schema_of(
        rows.json_field(match.groupdict(), "parameters")
      ),
    )
    for match in found
  ]


def _turns(
  text: str, pattern: re.Pattern[str], tools: Sequence[vocabulary.Tool]
) -> Iterator[vocabulary.Message]:
  """Messages of tagged text; thought, calls and response are one turn."""
  thought, said = "", ""
  calls: tuple[vocabulary.Call, ...] = ()
  for match in pattern.finditer(text):
    found = match.groupdict()
    tag = found["tag"] or found["tag2"]
    body = (found["body"] or found.get("body2") or "").strip()
    starts_new = tag in ("user", "obs", "think")
    if starts_new and (calls or said):
      yield _assistant(thought, calls, said)
      thought, calls, said = "", (), ""
    if tag in ("user", "obs"):
      yield vocabulary.Message("tool" if tag == "obs" else "user", body)
    elif tag == "think":
      thought = body
    elif tag == "tool_call":
      turn = dialogues.read_turn(
        f"<tool_call>{body}</tool_call>", "hermes", tools
      )
      calls += turn.calls
    else:
      said = body
  if calls or said:
    yield _assistant(thought, calls, said)


def _assistant(
  thought: str, calls: tuple[vocabulary.Call, ...], said: str
) -> vocabulary.Message:
  text = f"<think>{thought}</think>\n{said}" if thought else said
  return vocabulary.Message("assistant", text.strip(), calls)


read = rows.reader("toolrl", _read_row)
