"""Strict JSON text: what is written can be read back, and by anybody.

Python's `json` reads and writes more than JSON: NaN, infinities (also as
`1e999`), the last of two equal keys, lone surrogates that no file can hold.
Rows, tools and calls cross many programs, so here these are refused or
escaped once.
"""

import collections
import json
import re
from collections.abc import Mapping
from typing import Any

Json = Any  # None, bool, int, float, str, list[Json] or dict[str, Json].

_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonTextError(ValueError):
  """Text that is not strict JSON, or a value that JSON cannot hold."""


def escape_surrogates(text: str) -> str:
  """Writes lone surrogates as `\\udXXX`, so that UTF-8 can hold the text."""
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
    JsonTextError: the text is not JSON, or has NaN, a number out of range or
      an object with two equal keys; the message gives the position.
  """
  try:
    return json.loads(
      text,
      parse_constant=_refuse_constant,
      parse_float=_finite,
      object_pairs_hook=_unique_keys,
    )
  except RecursionError:
    raise JsonTextError("nested too deeply") from None
  except JsonTextError:
    raise
  except ValueError as error:
    raise JsonTextError(str(error)) from None


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
