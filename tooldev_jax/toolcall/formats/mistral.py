"""`[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}, …]`: Mistral.

An attempt begins at `[TOOL_CALLS]`, wherever it stands, or at an untagged
object or list (see `json_calls`). Also read is `[TOOL_CALLS]f[ARGS]{"a": 1}`,
the form of newer models, with or without `[ARGS]`, and several of these in a
row. Call ids are skipped.
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

_ID = r"\s*+(?:\[CALL_ID\]\s*+\w{1,64}+\s*+)?+"
_BEFORE_ARGUMENTS = re.compile(rf"{_ID}(?:\[ARGS\]|(?=\{{))")
_NAME = r"[^\s\[\]{}\"']{1,256}+"
_NAMED = re.compile(
  rf"({_NAME}(?:[ ]{_NAME}){{0,32}}+){_BEFORE_ARGUMENTS.pattern}"
)
# Without a tag before it, this must look like nothing else.
_NEXT_NAMED = re.compile(
  rf"[,;]?+\s*+({_NAME}){_ID}(?:\[ARGS\]|(?=\{{\s*+[\"'}}]))"
)


class MistralFormat(JsonCallFormat):
  """One tagged list of JSON objects; see the module."""

  name = "mistral"
  tag = "[TOOL_CALLS]"
  escaped_tags = (tag,)

  def _read_tagged(self, reader: Reader) -> list[Call]:
    name = _read_name(reader)
    if name is None:
      return read_objects(reader)
    calls = []
    while name is not None:
      reader.count_call()
      calls.append(Call(name, read_arguments(reader)))
      found = reader.match(_NEXT_NAMED)
      name = found.group(1) if found else None
    return calls

  def _write(self, calls: Sequence[Call]) -> str:
    return f"{self.tag}[{', '.join(map(self._write_call, calls))}]"


def _read_name(reader: Reader) -> str | None:
  """The name before arguments, and moves past it; None if there is none."""
  start = reader.position
  name = reader.take_literal()
  if name is not None:
    if reader.match(_BEFORE_ARGUMENTS):
      return name
    reader.position = start
  found = reader.match(_NAMED)
  return found.group(1) if found else None
