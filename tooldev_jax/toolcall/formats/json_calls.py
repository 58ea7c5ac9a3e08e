"""Calls written as JSON objects: what Hermes, Llama and Mistral share.

A call is `{"name": …, "arguments": {…}}`. Also read are

- `parameters` in place of `arguments`;
- OpenAI's `{"type": "function", "function": {…}}` around the call;
- arguments as JSON text in a string;
- no arguments, null or a blank string, for a call without arguments.

Any other key (`{"name": "f", "city": "Nice"}`) is refused.

Without the family's tag, an object is an attempt at a call if its first keys
are `name` and `arguments` (or `parameters`), in either order, with nothing but
`type`, `id` or `index` before them. In a family that writes a tag it must also
begin a line. Other JSON is text: answers and tool definitions are JSON too.
"""

import abc
import re

from tooldev_jax.toolcall import jsontext
from tooldev_jax.toolcall.formats.base import CallFormat
from tooldev_jax.toolcall.formats.reader import QUOTES, Reader
from tooldev_jax.toolcall.formats.turn import ParseError, ParseReason
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Call

_ARGUMENTS = frozenset(("arguments", "parameters"))
_IGNORED = frozenset(("type", "id", "index"))

# Every repetition is possessive or short: no text makes the search slow.
_SCALAR = (
  r"""(?:"(?:[^"\\\n]|\\.){0,1024}+"|'(?:[^'\\\n]|\\.){0,1024}+'"""
  r"""|[^\s"',{}\[\]]{1,64}+)\s*+,\s*+"""
)
_HEAD = (
  rf"""\{{\s*+(?:["'](?:type|id|index)["']\s*+:\s*+{_SCALAR}){{0,3}}+"""
  rf"""(?:["']name["']\s*+:\s*+{_SCALAR})?+"""
  r"""["'](?:arguments|parameters|function)["']\s*+:"""
)
_NEXT = re.compile(rf"(?:\[\s*+)?+{_HEAD}")


class JsonCallFormat(CallFormat):
  """JSON calls as one family of models marks them.

  Attributes:
    escaped_tags: texts that are escaped in the strings of calls.
    arguments_key: the family's name for the arguments.
    writes_tag: whether the family writes its tag; else an untagged attempt may
      begin within a line.
  """

  escaped_tags: tuple[str, ...]
  arguments_key = "arguments"
  writes_tag = True

  def __init__(self) -> None:
    start = r"^[ \t]*+" if self.writes_tag else ""
    # One search for both marks: two searches would each scan past the marks of
    # the other, again and again.
    self._mark = re.compile(
      rf"({re.escape(self.tag)})|{start}((?:\[\s*+)?+{_HEAD})", re.MULTILINE
    )

  def find_opening(self, reader: Reader, position: int) -> int | None:
    """Right after a thought, an untagged attempt needs no new line."""
    return self.find_next(reader, position)

  def find_next(self, reader: Reader, position: int) -> int | None:
    reader.position = position
    reader.peek()
    found = _NEXT.match(reader.text, reader.position)
    return found.start() if found else None

  def find(self, reader: Reader, position: int) -> int | None:
    found = self._mark.search(reader.text, position)
    return found.start(found.lastindex or 0) if found else None

  def read(self, reader: Reader) -> list[Call]:
    reader.is_json = True
    if reader.take(self.tag):
      return self._read_tagged(reader)
    return read_bare(reader)

  @abc.abstractmethod
  def _read_tagged(self, reader: Reader) -> list[Call]:
    """Reads what follows the tag."""

  def _write_call(self, call: Call) -> str:
    """One object; a tag within a string is escaped, for simpler readers."""
    text = jsontext.dump(
      {"name": call.name, self.arguments_key: call.arguments}, spaced=True
    )
    for tag in self.escaped_tags:
      text = text.replace(tag, f"\\u{ord(tag[0]):04x}{tag[1:]}")
    return text


def read_bare(reader: Reader) -> list[Call]:
  """Reads objects, or lists of objects, between `;` or `,`."""
  calls = read_objects(reader)
  while True:
    end = reader.position
    separated = reader.take(";") or reader.take(",")
    if not reader.peek():
      return calls
    if not (separated and _NEXT.match(reader.text, reader.position)):
      reader.position = end
      return calls
    calls.extend(read_objects(reader))


def read_objects(reader: Reader, end: str = "") -> list[Call]:
  """Reads one call, or a list of calls.

  Args:
    reader: at the object or list.
    end: the tag that ends the attempt. Before it, and before the end of the
      text, the last bracket of a complete call and of the list may be missing.
  """
  if not reader.take("["):
    return [_read_call(reader, end)]
  calls = [_read_call(reader, end)]
  while reader.take(",") and reader.peek() != "]":
    calls.append(_read_call(reader, end))
  if not reader.take("]") and not at_end(reader, end):
    reader.fail(ParseReason.EXPECTED_SEPARATOR, "expected ',' or ']'")
  return calls


def read_arguments(reader: Reader) -> dict[str, Json]:
  """Reads an object, JSON text that holds one, or what stands for none."""
  start = reader.peek()
  if start == "{":
    return reader.object()
  where = reader.position
  if start in QUOTES:
    inner = reader.within(reader.string())
    try:
      found = _read_quoted(inner)
    except ParseError as error:
      reader.fail(error.reason, f"in the quoted object: {error}", where)
    if found is not None and not inner.peek():
      return found
  elif start and reader.value() is None:
    return {}
  reader.fail(ParseReason.BAD_ARGUMENTS, "expected an object", where)


def _read_quoted(reader: Reader) -> dict[str, Json] | None:
  """The object, `{}` for blank text and null, or None for anything else."""
  start = reader.peek()
  if start == "{":
    return reader.object()
  return {} if not start or reader.take("null") else None


def at_end(reader: Reader, end: str) -> bool:
  """Whether the text ends here, or the tag `end` is next."""
  return not reader.peek() or (
    end != "" and reader.text.startswith(end, reader.position)
  )


def _read_call(reader: Reader, end: str, wrapped: bool = False) -> Call:
  """Reads one object; `wrapped` in OpenAI's `{"function": …}`."""
  reader.count_call()
  if not reader.take("{"):
    reader.fail(ParseReason.EXPECTED_CALL, "expected '{'")
  start = reader.position - 1
  name: str | None = None
  arguments: dict[str, Json] | None = None
  inner: Call | None = None
  seen: set[str] = set()
  while not reader.take("}"):
    key, where = reader.key()
    meaning = "arguments" if key in _ARGUMENTS else key
    if meaning in seen:
      reader.fail(ParseReason.DUPLICATE_NAME, f"{key!r} occurs twice", where)
    seen.add(meaning)
    reader.expect(":")
    if key == "name":
      name = reader.string()
      reader.names.append(name)
    elif key in _ARGUMENTS:
      arguments = read_arguments(reader)
    elif key == "function" and not wrapped:
      inner = _read_call(reader, end, wrapped=True)
    elif key in _IGNORED:
      reader.value()
    else:
      reader.fail(ParseReason.UNKNOWN_KEY, f"{key[:40]!r}", where)
    if reader.take(",") or reader.peek() == "}":
      continue
    complete = inner is not None or (name and arguments is not None)
    if not (complete and at_end(reader, end)):
      reader.fail(ParseReason.EXPECTED_SEPARATOR, "expected ',' or '}'")
    break
  if inner is not None and name is None and arguments is None:
    return inner
  if not name or inner is not None:
    reader.fail(ParseReason.MISSING_NAME, "a call without a name", start)
  return Call(name, arguments or {})
