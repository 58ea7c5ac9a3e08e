"""Reads tool definitions out of what a model answered.

A generation answer should be a JSON list of tools. Models also write one
object, several objects one after another, a fenced block, or words around
them; all of these are read. Size and depth are bounded, nothing is evaluated,
and whatever is wrong is a `ToolParseError` with a reason and a position.
"""

import enum
import json
import re
from typing import Any, NoReturn

from tooldev_jax.tools import vocabulary

MAX_CHARS = 64 * 1024
MAX_DEPTH = 32
MAX_TOOLS = 64


class ToolParseReason(enum.Enum):
  """Why an answer holds no tools."""

  EMPTY = "empty"  # nothing that begins like JSON
  TOO_LONG = "too long"  # more than MAX_CHARS characters
  TOO_DEEP = "too deep"  # nested beyond MAX_DEPTH
  TOO_MANY = "too many"  # more than MAX_TOOLS tools
  BAD_JSON = "bad json"  # begins like JSON and is not, or is cut off
  NOT_A_TOOL = "not a tool"  # JSON, but no name, or parameters no object
  REPEATED = "repeated"  # two tools of one name


class ToolParseError(ValueError):
  """An answer that is no list of tools.

  Attributes:
    reason: the kind of fault.
    position: character at which it was found.
    message: what was found there.
  """

  def __init__(self, reason: ToolParseReason, position: int, message: str):
    super().__init__(f"{reason.value} at {position}: {message}")
    self.reason = reason
    self.position = position
    self.message = message


_DECODER = json.JSONDecoder(
  parse_constant=lambda name: _refuse(name),
  parse_float=lambda text: _finite(text),
)
_START = re.compile(r"[\[{]")
_MARKS = re.compile(r'\\.|["\[\]{}]', re.DOTALL)


def parse_tools(text: str) -> tuple[vocabulary.Tool, ...]:
  """The tools that `text` defines, in order; `[]` is no tools.

  Raises:
    ToolParseError: see `ToolParseReason`.
  """
  if len(text) > MAX_CHARS:
    _fail(ToolParseReason.TOO_LONG, MAX_CHARS, f"{len(text)} characters")
  tools: list[vocabulary.Tool] = []
  found = False
  cursor = 0
  while match := _START.search(text, cursor):
    value, end = _read(text, match.start())
    found = True
    items = value if isinstance(value, list) else [value]
    for item in items:
      tools.append(_tool(item, match.start()))
      if len(tools) > MAX_TOOLS:
        _fail(ToolParseReason.TOO_MANY, match.start(), f"over {MAX_TOOLS}")
    cursor = end
  if not found:
    _fail(ToolParseReason.EMPTY, 0, "no JSON object or list")
  names = [tool.name for tool in tools]
  for i, name in enumerate(names):
    if name in names[:i]:
      _fail(ToolParseReason.REPEATED, 0, f"two tools are called {name!r}")
  return tuple(tools)


def _read(text: str, start: int) -> tuple[Any, int]:
  _check_depth(text, start)
  try:
    return _DECODER.raw_decode(text, start)
  except json.JSONDecodeError as e:
    _fail(ToolParseReason.BAD_JSON, e.pos, e.msg)
  except (ValueError, RecursionError) as e:
    _fail(ToolParseReason.BAD_JSON, start, str(e))


def _check_depth(text: str, start: int) -> None:
  """Refuses deep nesting before the recursive reader meets it."""
  depth = 0
  inside = False
  for match in _MARKS.finditer(text, start):
    mark = match.group()
    if mark == '"':
      inside = not inside
    elif inside or len(mark) == 2:
      continue
    elif mark in "[{":
      depth += 1
      if depth > MAX_DEPTH:
        detail = f"more than {MAX_DEPTH} levels"
        _fail(ToolParseReason.TOO_DEEP, match.start(), detail)
    else:
      depth -= 1
      if depth <= 0:
        return


def _tool(value: Any, position: int) -> vocabulary.Tool:
  try:
    return vocabulary.Tool.from_json(value)
  except vocabulary.RecordError as e:
    _fail(ToolParseReason.NOT_A_TOOL, position, str(e))


def _refuse(name: str) -> NoReturn:
  raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
  value = float(text)
  if value in (float("inf"), float("-inf")):
    raise ValueError(f"{text} is out of range")
  return value


def _fail(reason: ToolParseReason, position: int, message: str) -> NoReturn:
  raise ToolParseError(reason, position, message)
