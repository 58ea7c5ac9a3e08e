"""`[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}, …]`: Mistral.

An attempt begins at `[TOOL_CALLS]`, wherever it stands, or at an untagged
object or list (see `json_calls`). Newer models' `[TOOL_CALLS]f[ARGS]{"a": 1}`
is read too. Call ids are passed over.
"""

import re
from collections.abc import Sequence

from tooldev_jax.toolcall.formats.json_calls import (
  JsonCallFormat,
  read_arguments,
  read_objects,
)
from tooldev_jax.toolcall.formats.reader import Reader
from tooldev_jax.toolcall.vocabulary import Call

_NAMED = re.compile(
  r"([^\s\[\]{}\"']{1,256}+)\s*+(?:\[CALL_ID\]\s*+\w{1,64}+\s*+)?+\[ARGS\]"
)


class MistralFormat(JsonCallFormat):
  """One tagged list of JSON objects; see the module."""

  name = "mistral"
  tag = "[TOOL_CALLS]"
  escaped_tags = (tag,)

  def _read_tagged(self, reader: Reader) -> list[Call]:
    named = reader.match(_NAMED)
    if named is not None:
      reader.count_call()
      return [Call(named.group(1), read_arguments(reader))]
    return read_objects(reader)

  def _write(self, calls: Sequence[Call]) -> str:
    return f"{self.tag}[{', '.join(map(self._write_call, calls))}]"
