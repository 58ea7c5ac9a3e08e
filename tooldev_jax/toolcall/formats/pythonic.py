"""`[f(a=1, b="x"), g()]`: the format of ToolACE's training data and of BFCL.

Values are written as Python literals (True, None) with double quotes, so that
BFCL's decoder reads them. Names that are no identifiers are written without
quotes (`Get Fighter(first name="Al")`, `f(class=1)`), as ToolACE does. Names
with brackets, quotes, commas, equal signs or unprintable characters are quoted:
`"f(x)"("a=b"=1)`. If such a name is among the offered ones, it is also read
without quotes: `[Look up (VIN)(plate="x")]`.

An attempt at a call begins where

- anywhere in the turn, `[` is followed by a name, `(` and either `)` or an
  argument's name and `=`. So `[1] (a=b)`, `[a link](https://x.org)` and
  `see [f]` are text, and `[f(a=1) for a in x]` is an attempt that fails;
- the turn begins with `[name(` and a literal, or begins with `[name(` and ends
  with `)]`. These are refused: they have positional arguments, or a name with
  brackets, commas or quotes that is not among the offered ones;
- the turn begins with a call without the `[`: `f(a=1), g()`.

The last `]` may be missing where the text ends. White space before `(` is not
allowed: prose has it, calls do not.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence

from tooldev_jax.toolcall.formats.base import CallFormat
from tooldev_jax.toolcall.formats.reader import QUOTES, Reader
from tooldev_jax.toolcall.formats.turn import ParseReason
from tooldev_jax.toolcall.jsontext import Json, escape_surrogates
from tooldev_jax.toolcall.vocabulary import Call

# These take linear time on any text: every repetition is possessive, and those
# that can match the same characters from several starting points are short.
_FORBIDDEN = re.escape("()[]{}=,'\"\\")
_QUOTED = r"""(?:"(?:[^"\\\n]|\\.){0,1024}+"|'(?:[^'\\\n]|\\.){0,1024}+')"""
_RUN = rf"[^\n\r{_FORBIDDEN}]{{1,256}}+"  # may end in spaces
_ARGUMENT = rf"(?:{_QUOTED}|{_RUN})\s*+=(?!=)"
_NAME = rf"(?:{_QUOTED}|{_RUN}(?<!\s))\("
_BARE_NAME = r"\w[\w./-]{0,255}+\("

_LISTED = re.compile(rf"\[\s*+{_NAME}\s*+(?:\)|{_ARGUMENT})")
_LISTED_LITERAL = re.compile(rf"\[\s*+{_NAME}\s*+[\"'\[{{\d-]")
# Quotes and brackets may be part of the name; "](" is a link's.
_LISTED_ALONE = re.compile(
  rf"\[\s*+(?:{_BARE_NAME}|[^\s\"'{{][^\n]{{0,255}}?(?<!\])\((?:\s*+\)|{_ARGUMENT}))"
)
_BARE = re.compile(
  rf"{_BARE_NAME}\s*+(?:{_ARGUMENT}"
  rf"|\)(?=[ \t]*+(?:[\]`\n]|\Z|[,;]\s*+(?:\Z|{_BARE_NAME}))))"
)
_START = re.compile(r"\s*+(?:```[\w-]{1,20}+\s++|`{1,3}+\s*+)?+")
_BARE_END = re.compile(r"[\s,;\]]*+\Z")
_PLAIN_NAME = re.compile(rf"([^\n\r{_FORBIDDEN}]{{1,256}}+)(?<!\s)\(")
_PLAIN_ARGUMENT = re.compile(rf"({_RUN})=(?!=)")
_EQUALS = re.compile(r"=(?!=)")
_WRITTEN_PLAIN = re.compile(rf"{_RUN}")


class PythonicFormat(CallFormat):
  """A list of calls in Python's syntax; see the module."""

  name = "pythonic"

  def find_opening(self, reader: Reader, position: int) -> int | None:
    text = reader.text
    opening = _START.match(text, position)
    start = opening.end() if opening else position
    bare, _ = _marks(reader)
    if bare.match(text, start) or _LISTED_LITERAL.match(text, start):
      return start
    if text.rstrip(" \n`").endswith(")]") and _LISTED_ALONE.match(text, start):
      return start
    return None

  def find(self, reader: Reader, position: int) -> int | None:
    _, listed = _marks(reader)
    found = listed.search(reader.text, position)
    return found.start() if found else None

  def read(self, reader: Reader) -> list[Call]:
    if not reader.take("["):
      return _read_bare(reader)
    calls = [_read_call(reader)]
    while reader.take(",") and reader.peek() not in ("]", ""):
      calls.append(_read_call(reader))
    if not reader.take("]") and reader.peek() not in ("", "`"):
      reader.fail(ParseReason.EXPECTED_SEPARATOR, "expected ',' or ']'")
    return calls

  def _write(self, calls: Sequence[Call]) -> str:
    return f"[{', '.join(map(_write_call, calls))}]"


def _marks(reader: Reader) -> tuple[re.Pattern[str], re.Pattern[str]]:
  """What begins calls without and with brackets, offered names included."""
  return _marks_of(reader.offered.literal if reader.offered else "")


@functools.lru_cache(maxsize=256)
def _marks_of(literal: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
  if not literal:
    return _BARE, _LISTED
  return (
    re.compile(rf"{literal}\(\s*+(?:\)|{_ARGUMENT})|{_BARE.pattern}"),
    re.compile(rf"\[\s*+{literal}\(|{_LISTED.pattern}"),
  )


def _read_bare(reader: Reader) -> list[Call]:
  """Reads calls without brackets, between commas, semicolons or newlines."""
  calls = [_read_call(reader)]
  while True:
    end = reader.position
    separated = reader.take(",") or reader.take(";")
    reader.peek()
    separated = separated or "\n" in reader.text[end : reader.position]
    bare, _ = _marks(reader)
    if not (separated and bare.match(reader.text, reader.position)):
      break
    calls.append(_read_call(reader))
  reader.position = end
  reader.match(_BARE_END)
  return calls


def _read_call(reader: Reader) -> Call:
  """Reads `name(argument=value, …)`."""
  reader.count_call()
  name = _read_name(reader)
  if not name:
    reader.fail(ParseReason.MISSING_NAME, "the name is empty")
  reader.names.append(name)
  arguments: dict[str, Json] = {}
  while not reader.take(")"):
    key, where = _read_argument_name(reader)
    if key in arguments:
      reader.fail(ParseReason.DUPLICATE_NAME, f"{key!r} occurs twice", where)
    # The arguments are the outermost object.
    arguments[key] = reader.value(depth=1)
    reader.comma_before(")")
  return Call(name, arguments)


def _read_name(reader: Reader) -> str:
  """Reads up to the bracket that opens the arguments, and past it."""
  reader.peek()
  start = reader.position
  name = reader.take_literal()
  if name is not None and reader.text.startswith("(", reader.position):
    reader.position += 1
    return name
  reader.position = start
  if reader.peek() in QUOTES:
    name = reader.string()
    reader.expect("(")
    return name
  found = reader.match(_PLAIN_NAME)
  if found is None:
    reader.fail(ParseReason.EXPECTED_CALL, "expected a name and '('")
  return found.group(1)


def _read_argument_name(reader: Reader) -> tuple[str, int]:
  """Reads past the equal sign; returns the name and its position."""
  start = reader.peek()
  where = reader.position
  if start in QUOTES:
    name = reader.string()
    if reader.match(_EQUALS):
      return name, where
  else:
    found = reader.match(_PLAIN_ARGUMENT)
    if found is not None:
      return found.group(1).rstrip(), where
    reader.value(depth=1)  # Fails in its own way if this is no value either.
  reader.fail(
    ParseReason.POSITIONAL_ARGUMENT, "a value without its name", where
  )


def _write_call(call: Call) -> str:
  arguments = ", ".join(
    f"{_write_name(name)}={_write_value(value)}"
    for name, value in call.arguments.items()
  )
  return f"{_write_name(call.name)}({arguments})"


def _write_name(name: str) -> str:
  """The name as it is where it can be, else quoted."""
  plain = name.isprintable() and name == name.strip()
  if plain and _WRITTEN_PLAIN.fullmatch(name):
    return name
  return _write_value(name)


def _write_value(value: Json) -> str:
  """A Python literal that JSON readers mostly understand too."""
  if isinstance(value, str):
    return escape_surrogates(json.dumps(value, ensure_ascii=False))
  if value is None or isinstance(value, bool | int | float):
    return repr(value)
  if isinstance(value, Mapping):
    pairs = (
      f"{_write_value(key)}: {_write_value(item)}"
      for key, item in value.items()
    )
    return f"{{{', '.join(pairs)}}}"
  if isinstance(value, list):
    return f"[{', '.join(map(_write_value, value))}]"
  raise TypeError(f"{type(value).__name__} is no JSON value")
