"""Reads tool definitions out of what a model answered.

A generation answer should be a JSON list of tools. Models also write one
object, several objects one after another, a fenced block, or words around
them; all of these are read. Size and depth are bounded, nothing is evaluated,
and whatever is wrong is a `ToolParseError` with a reason and a position.
"""

import enum
import re
from typing import NoReturn

from tooldev_jax.toolcall import jsontext, vocabulary

MAX_CHARS = 64 * 1024
MAX_DEPTH = 32
MAX_TOOLS = 64


class ToolParseReason(enum.Enum):
  """Why an answer holds no tools."""

  EMPTY = "empty"  # nothing that begins like JSON
  TOO_LONG = "too long"  # more than MAX_CHARS characters
  TOO_DEEP = "too deep"  # nested beyond MAX_DEPTH
  TOO_MANY = "too many"  # more than MAX_TOOLS tools
  BAD_JSON = "bad json"  # begins like JSON and is not strict JSON, or is cut
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


_START = re.compile(r"[\[{]")


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


def _read(text: str, start: int) -> tuple[jsontext.Json, int]:
  try:
    return jsontext.load_at(text, start, MAX_DEPTH)
  except jsontext.JsonDepthError as e:
    _fail(ToolParseReason.TOO_DEEP, e.position, str(e))
  except jsontext.JsonTextError as e:
    _fail(ToolParseReason.BAD_JSON, e.position, str(e))


def _tool(value: jsontext.Json, position: int) -> vocabulary.Tool:
  try:
    return vocabulary.Tool.from_json(value)
  except vocabulary.MalformedError as e:
    _fail(ToolParseReason.NOT_A_TOOL, position, str(e))


def _fail(reason: ToolParseReason, position: int, message: str) -> NoReturn:
  raise ToolParseError(reason, position, message)
