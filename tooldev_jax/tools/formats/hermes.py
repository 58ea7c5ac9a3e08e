"""`<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>`: Qwen, Hermes.

An attempt begins at `<tool_call>`, wherever it stands, or at an untagged
object (see `json_calls`). One tag may hold several objects, or a list. The
last `</tool_call>` may be missing, since a stop token can end the text there.
"""

from collections.abc import Sequence

from tooldev_jax.tools.formats.json_calls import (
  JsonCallFormat,
  at_end,
  read_objects,
)
from tooldev_jax.tools.formats.reader import Reader
from tooldev_jax.tools.vocabulary import Call

_END = "</tool_call>"


class HermesFormat(JsonCallFormat):
  """JSON objects in tags; see the module."""

  name = "hermes"
  tag = "<tool_call>"
  escaped_tags = (tag, _END)

  def _read_tagged(self, reader: Reader) -> list[Call]:
    calls = read_objects(reader, _END)
    while not at_end(reader, _END):
      reader.take(",")
      calls.extend(read_objects(reader, _END))
    reader.take(_END)
    return calls

  def _write(self, calls: Sequence[Call]) -> str:
    return "\n".join(
      f"{self.tag}\n{self._write_call(call)}\n{_END}" for call in calls
    )
