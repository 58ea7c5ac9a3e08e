"""`{"name": "f", "parameters": {"a": 1}}; {"name": "g", …}`: Llama 3.1.

An attempt begins at `<|python_tag|>`, wherever it stands, or at an untagged
object (see `json_calls`), which is the usual way. `<|python_tag|>` is read but
not written: the family writes it before calls of its built-in tools only.
"""

from collections.abc import Sequence

from tooldev_jax.toolcall.formats.json_calls import JsonCallFormat, read_bare
from tooldev_jax.toolcall.formats.reader import Reader
from tooldev_jax.toolcall.vocabulary import Call


class LlamaFormat(JsonCallFormat):
  """JSON objects separated by semicolons; see the module."""

  name = "llama"
  tag = "<|python_tag|>"
  escaped_tags = (tag,)
  arguments_key = "parameters"
  writes_tag = False

  def _read_tagged(self, reader: Reader) -> list[Call]:
    return read_bare(reader)

  def _write(self, calls: Sequence[Call]) -> str:
    return "; ".join(map(self._write_call, calls))
