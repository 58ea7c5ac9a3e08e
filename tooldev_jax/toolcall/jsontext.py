"""Strict JSON text: what is written can be read back, and by anybody.

Python's `json` reads and writes more than JSON: NaN, infinities (also as
`1e999`), the last of two equal keys, lone surrogates that no file can hold.
Rows, tools and calls cross many programs, so here these are refused or
escaped once. Depth is bounded too, so that whatever walks a value that was
read may do so recursively.
"""

import collections
import json
import re
from collections.abc import Mapping
from typing import Any

Json = Any  # None, bool, int, float, str, list[Json] or dict[str, Json].

MAX_DEPTH = 128  # lists and objects inside one another

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonTextError(ValueError):
  """Text that is not strict JSON, or a value that JSON cannot hold.

  Attributes:
    position: 0-based index of a character at or before the fault.
  """

  def __init__(self, message: str, position: int = 0):
    super().__init__(message)
    self.position = position


class JsonSyntaxError(JsonTextError):
  """Text that is not JSON in any reading."""


class JsonDepthError(JsonTextError):
  """A value nested too deeply."""


def escape_surrogates(text: str) -> str:
  """Writes lone surrogates as JSON escapes, so that UTF-8 can hold the text.

  The code point U+D83D becomes the six characters `\\ud83d`.
  """
  return _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def dump(value: Json, sort_keys: bool = False, spaced: bool = False) -> str:
  """JSON on one line, non-ASCII kept as it is.

  Args:
    value: what to write.
    sort_keys: whether objects are written in the order of their keys.
    spaced: whether a space follows commas and colons, as in chat templates.

  Raises:
    JsonTextError: the value has a NaN, an infinity, a key that is not a
      string, or a type that JSON does not know.
  """
  _require_string_keys(value)
  try:
    text = json.dumps(
      value,
      ensure_ascii=False,
      allow_nan=False,
      sort_keys=sort_keys,
      separators=(", ", ": ") if spaced else (",", ":"),
    )
  except (TypeError, ValueError, RecursionError) as error:
    raise JsonTextError(f"not a JSON value: {error}") from None
  return escape_surrogates(text)


def load(text: str) -> Json:
  """Reads one JSON value and nothing else.

  Raises:
    JsonTextError: the text is not JSON, is nested beyond `MAX_DEPTH`, or has
      NaN, a number out of range or an object with two equal keys; the message
      gives the position.
  """
  value, end = load_at(text, _space_end(text, 0))
  if (after := _space_end(text, end)) < len(text):
    raise _syntax_error("Extra data", text, after)
  return value


def load_at(
  text: str, start: int, max_depth: int = MAX_DEPTH
) -> tuple[Json, int]:
  """Reads the JSON value that begins at `start`.

  Returns:
    The value, and the index of what follows it.

  Raises:
    JsonTextError: as `load`.
  """
  try:
    value, end = _DECODER.raw_decode(text, start)
  except RecursionError:
    raise _too_deep(max_depth, start) from None
  except json.JSONDecodeError as error:
    raise _syntax_error(error.msg, text, error.pos) from None
  except JsonTextError as error:
    raise JsonTextError(str(error), start) from None
  except ValueError as error:  # An integer of thousands of digits.
    raise JsonTextError(str(error), start) from None
  # Few texts have as many brackets as may stand inside one another.
  brackets = text.count("[", start, end) + text.count("{", start, end)
  if brackets > max_depth and not is_within(value, max_depth):
    raise _too_deep(max_depth, start)
  return value, end


def _space_end(text: str, start: int) -> int:
  space = _SPACE.match(text, start)
  assert space is not None
  return space.end()


def _syntax_error(message: str, text: str, position: int) -> JsonSyntaxError:
  shown = json.JSONDecodeError(message, text, position)
  return JsonSyntaxError(str(shown), position)


def _too_deep(max_depth: int, position: int) -> JsonDepthError:
  return JsonDepthError(f"nested deeper than {max_depth} levels", position)


def is_within(value: Json, max_depth: int = MAX_DEPTH) -> bool:
  """Whether no more than `max_depth` lists and objects are nested."""
  level = [value]
  for _ in range(max_depth):
    level = [
      inner
      for item in level
      if isinstance(item, dict | list)
      for inner in (item.values() if isinstance(item, dict) else item)
      if isinstance(inner, dict | list)
    ]
    if not level:
      return True
  return False


def _refuse_constant(name: str) -> Json:
  raise JsonTextError(f"{name} is not JSON")


def _finite(text: str) -> float:
  number = float(text)
  if number in (float("inf"), float("-inf")):
    raise JsonTextError(f"the number {text[:40]} is out of range")
  return number


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
  found = dict(pairs)
  if len(found) != len(pairs):
    counts = collections.Counter(key for key, _ in pairs)
    twice = counts.most_common(1)[0][0]
    raise JsonTextError(f"the key {twice!r} occurs twice in one object")
  return found


_DECODER = json.JSONDecoder(
  parse_constant=_refuse_constant,
  parse_float=_finite,
  object_pairs_hook=_unique_keys,
)


def _require_string_keys(value: Json) -> None:
  """`json` would turn the key 1 into "1" and lose the difference."""
  pending = [value]
  while pending:
    item = pending.pop()
    if isinstance(item, Mapping):
      for key in item:
        if not isinstance(key, str):
          raise JsonTextError(f"the key {key!r} is not a string")
      pending.extend(item.values())
    elif isinstance(item, list | tuple):
      pending.extend(item)
