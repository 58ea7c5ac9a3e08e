"""`<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>`: Qwen, Hermes.

An attempt begins at `<tool_call>`, wherever it stands, or at an untagged
object (see `json_calls`). One tag may hold several objects or a list, also in a
code fence, and the tag may be repeated. `</tool_call>` may be missing or cut
off before the next tag and at the end of the text, since a stop token can end
the text there. Tags inside the strings of a call belong to the string.
"""

import re
from collections.abc import Sequence

from tooldev_jax.toolcall.formats.json_calls import (
  JsonCallFormat,
  at_end,
  read_objects,
)
from tooldev_jax.toolcall.formats.reader import Reader
from tooldev_jax.toolcall.vocabulary import Call

_END = "</tool_call>"
_FENCE = re.compile(r"```[\w-]{0,20}+")


class HermesFormat(JsonCallFormat):
  """JSON objects in tags; see the module."""

  name = "hermes"
  tag = "<tool_call>"
  escaped_tags = (tag, _END)

  def _read_tagged(self, reader: Reader) -> list[Call]:
    while reader.take(self.tag):
      pass
    fenced = reader.match(_FENCE)
    calls = read_objects(reader, _END)
    while not self._ends(reader):
      reader.take(",")
      calls.extend(read_objects(reader, _END))
    if fenced:
      reader.take("```")
    while reader.take(_END):
      pass
    if _is_cut_off(reader):
      reader.position = len(reader.text)
    return calls

  def _ends(self, reader: Reader) -> bool:
    return (
      at_end(reader, _END)
      or reader.text.startswith((self.tag, "```"), reader.position)
      or _is_cut_off(reader)
    )

  def _write(self, calls: Sequence[Call]) -> str:
    return "\n".join(
      f"{self.tag}\n{self._write_call(call)}\n{_END}" for call in calls
    )


def _is_cut_off(reader: Reader) -> bool:
  """Whether all that is left is the beginning of an end tag."""
  reader.peek()
  rest = reader.text[reader.position : reader.position + len(_END) + 1]
  return reader.position + len(rest) == len(reader.text) and (
    _END.startswith(rest.rstrip())
  )
