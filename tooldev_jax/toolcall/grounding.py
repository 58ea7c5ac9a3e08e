"""Does the query say what the arguments say?

A value is grounded where it is

- the parameter's default or a value of its enum: chosen, not invented;
- null, a boolean or an empty text, list or object: nothing to look for;
- a number that the query names, in digits or words, with a scale or a unit
  ("5k", "a dozen", "2 hours" for 120), whatever its sign;
- a day or time of day that the query names in any common way. If the query
  only says "tomorrow" or "next Friday", any day passes: telling needs a
  calendar;
- a text most of whose words the query has, up to case, accents, endings,
  numbers in words, initials ("NYC") and a short table. `MIN_SHARE` of the words
  are enough, since good arguments add a state to a city.

All of it is text comparison, language by language only as far as the tables
go: a finding is a reason to look closer or to drop a sample, not a proof.
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from tooldev_jax.toolcall import schemas, spoken_dates, spoken_numbers
from tooldev_jax.toolcall.findings import Finding, Reason, pointer
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema
from tooldev_jax.toolcall.vocabulary import Call, Tool

MIN_SHARE = 0.5  # chosen on BFCL: tests/parity/test_bfcl_gold.py
_STOP_WORDS = frozenset(
  (
    *("a", "an", "and", "at", "by", "for", "from", "in", "is", "it", "my"),
    *("of", "on", "or", "the", "to", "with", "your"),
  )
)
# Words that arguments shorten or spell out, by the stem of what is said.
_MEANINGS = {
  "aud": "dollar",
  "cad": "dollar",
  "chf": "franc",
  "cny": "yuan",
  "eur": "euro",
  "gbp": "pound",
  "hours": "hr",
  "inr": "rupe",
  "jpy": "yen",
  "minutes": "min",
  "seconds": "sec",
  "usd": "dollar",
}
_WORD = re.compile(r"[^\W_]+")
_ENDINGS = ("ing", "ed", "es", "s", "ly", "e", "y")


def check_grounded(call: Call, tool: Tool, query: str) -> tuple[Finding, ...]:
  """The arguments that neither the query nor the definition speaks of.

  Args:
    call: a call to `tool`.
    tool: gives the defaults and enums.
    query: all that the user said; for a dialogue, its turns and results.

  Returns:
    A finding for each single value, with its place in `call.to_json()`.
  """
  heard = _Heard(query)
  root = tool.parameters
  return tuple(
    Finding(Reason.UNGROUNDED, pointer(*path), f"{value!r} is not in the query")
    for path, value, schema in _leaves(
      dict(call.arguments), root, root, ("arguments",)
    )
    if not heard.says(value, schema)
  )


def _leaves(
  value: Json, schema: Json, root: Schema, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Json, Schema]]:
  """Yields (path, value, its schema) for what holds no other values."""
  view = schemas.resolve(schema, root)
  if "default" in view and value == view["default"]:
    return
  if isinstance(value, Mapping):
    described = schemas.properties(view)
    for name, item in value.items():
      yield from _leaves(item, described.get(name), root, (*path, name))
  elif isinstance(value, list):
    # An enum beside a list is meant for its items.
    items = {
      "enum": schemas.enum_of(view),
      **schemas.resolve(view.get("items"), root),
    }
    for index, item in enumerate(value):
      yield from _leaves(item, items, root, (*path, index))
  else:
    yield path, value, view


class _Heard:
  """A query, read once in all the ways that values are looked for."""

  def __init__(self, query: str):
    self._text = _fold(query)
    self._words = _WORD.findall(self._text)
    self._stems = {_stem(word) for word in self._words}
    self._squeezed = "".join(self._words)

  @functools.cached_property
  def _numbers(self) -> frozenset[float]:
    return spoken_numbers.numbers_in(self._text)

  @functools.cached_property
  def _initials(self) -> str:
    return "".join(word[0] for word in self._words)

  def says(self, value: Json, schema: Schema) -> bool:
    """Whether `value` is grounded."""
    if value is None or isinstance(value, bool):
      return True
    if value in schemas.enum_of(schema) or (
      "const" in schema and value == schema["const"]
    ):
      return True
    if isinstance(value, str):
      return self._says_text(value)
    return self._says_number(value)

  def _says_number(self, value: int | float) -> bool:
    if abs(value) > sys.float_info.max:
      return False
    return any(
      abs(abs(value) - number) <= 1e-6 * max(1.0, number)
      for number in self._numbers
    )

  def _says_text(self, value: str) -> bool:
    folded = _fold(value)
    words = _WORD.findall(folded)
    squeezed = "".join(words)
    # Scripts without spaces have no words to compare.
    long_enough = len(squeezed) > 2 or not squeezed.isascii()
    if long_enough and squeezed in self._squeezed:
      return True
    if not words:
      return value.strip() in self._text
    if self._says_moment(folded):
      return True
    content = [word for word in words if word not in _STOP_WORDS] or words
    found = sum(self._says_word(word) for word in content)
    return found >= MIN_SHARE * len(content) or self._says_initials(words)

  def _says_word(self, word: str) -> bool:
    stems = {_stem(word), _MEANINGS.get(word, word)}
    if word in self._words or stems & self._stems:
      return True
    if word.isdecimal():
      return len(word) < 16 and self._says_number(int(word))
    if len(word) < 4:
      return len(word) > 1 and word in self._initials
    return any(
      other.startswith(word[: max(4, len(word) - 3)])
      for other in self._words
      if abs(len(other) - len(word)) <= 3
    )

  def _says_initials(self, words: Sequence[str]) -> bool:
    """Whether the query has "nyc" for "New York City"."""
    initials = "".join(word[0] for word in words)
    return len(initials) > 1 and initials in self._words

  def _says_moment(self, folded: str) -> bool:
    """Whether a text that is a day or a time names one of the query's."""
    days = spoken_dates.days_in(folded)
    if days:
      return spoken_dates.says_relative_day(self._text) or any(
        spoken_dates.same_day(day, heard)
        for day in days
        for heard in spoken_dates.days_in(self._text)
      )
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?( ?[ap]\.?m\.?)?", folded):
      return bool(
        spoken_dates.times_in(folded) & spoken_dates.times_in(self._text)
      )
    return False


def _fold(text: str) -> str:
  """Lower case, without accents, in the compatibility form."""
  spread = unicodedata.normalize("NFKD", text.casefold())
  return "".join(
    character for character in spread if not unicodedata.combining(character)
  )


def _stem(word: str) -> str:
  """The word without its most common English endings."""
  for ending in _ENDINGS:
    if word.endswith(ending) and len(word) - len(ending) >= 3:
      return word[: -len(ending)]
  return word
