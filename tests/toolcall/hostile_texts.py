"""Texts that try to make a parser slow, or to break out of it."""

from collections.abc import Iterator

MARKS = (
  "[",
  "[ ",
  "(",
  "{",
  '"',
  "'",
  "`",
  "\\",
  " ",
  "\n",
  "a",
  "1",
  "-",
  "_",
  '["',
  "['",
  "[\"['",
  "[f(",
  "[f(a=",
  "[f(a=1)",
  "[f(a=1)]",
  "[f(a=1),",
  "[f()]\n",
  "f(a=1)\n",
  "f(a=1),",
  'f(a="\n',
  "[ f ",
  "[a b ",
  "f(a=1) ",
  "[f(a=(",
  "[f(a={'a':",
  "```",
  "```[f()]```",
  "<think>",
  "a <think>",
  "</think>",
  "<tool_call>",
  '<tool_call>{"name":"f"}',
  '<tool_call>{"name":"f"}</tool_call>',
  '<tool_call>{"function":',
  "</tool_call>",
  "</tool_",
  '<tool_call>```{"name":"f"}',
  '<tool_call><tool_call>{"name":"f"}</tool_call>',
  '{"name":',
  '{"name":"f"}\n',
  '{"name":"f","arguments":{}}\n',
  '{"name":"f","arguments":{}};',
  '{"name":"f","arguments":"',
  '[{"name":"f","arguments":{}},\n',
  '{"type":"a",',
  '{"function":{',
  '{"name":"f","arguments":{"a":',
  "[TOOL_CALLS]",
  "[TOOL_CALLS][",
  "[TOOL_CALLS]f[ARGS]{}",
  "[TOOL_CALLS]a",
  "[CALL_ID]",
  "[ARGS]",
  "<|python_tag|>",
  '<|python_tag|>{"name":"f","parameters":{}}',
)

_OPENINGS = (
  ("[f(a=", ")]"),
  ('<tool_call>{"name":"f","arguments":{"a":', "}}</tool_call>"),
  ('{"name":"f","parameters":{"a":', "}}"),
  ('[TOOL_CALLS][{"name":"f","arguments":{"a":', "}}]"),
)

_VALUES = (
  ("[", "1,", "]"),
  ("[", "[],", "]"),
  ("[", '"a",', "]"),
  ("[", "{'a':1},", "]"),
  ("[", "1 , \n", "]"),
  ("{", '"%d":1,', "}"),
  ('"', "\\n", '"'),
  ('"', "\\ud83d\\ude00", '"'),
  ('"', "\\d", '"'),
  ('"', "\\\\", '"'),
  ('"', "a", '"'),
  ("'''", "''a", "'''"),
  ('"', "\\", ""),
  ("", "9", ""),
  ("0.", "9", ""),
  ("1", "_1", ""),
  ("", "[", ""),
  ("", "(", ""),
  ("", '{"a":', ""),
  ("", "f(a=", ""),
  ("", '{"a":"', ""),
)


def hostile_texts(size: int) -> Iterator[tuple[str, str]]:
  """Yields (name, text), the texts of `size` characters each."""
  for piece in MARKS:
    yield repr(piece), (piece * (size // len(piece) + 1))[:size]
    yield (
      f"closed {piece!r}",
      (piece * (size // len(piece)))[: size - 2] + ")]",
    )
  for start, end in _OPENINGS:
    for opening, item, closing in _VALUES:
      room = size - len(start + end + opening + closing)
      if "%d" in item:
        items = "".join(item % index for index in range(room // 9))
      else:
        items = item * (room // len(item))
      yield (
        f"{start}{opening}{item}…",
        start + opening + items + closing + end,
      )
