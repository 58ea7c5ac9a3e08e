"""Whether the values of a call's arguments come from the conversation.

A value is grounded if it is

- the parameter's default or a value of its enum;
- null, a boolean or an empty text, list or object: nothing to look for;
- a number that the text has, in digits or words, with a scale or a unit
  ("5k", "a dozen", "2 hours" for 120), whatever its sign;
- a day or time of day that the text has, in any common form. If the text has
  only "tomorrow" or "next Friday", any day passes, since finding the right one
  needs a calendar;
- a string of which the text has at least `MIN_SHARE` of the words, up to case,
  accents, endings, numbers in words, initials ("NYC") and a short table of
  synonyms. Not all words are needed, since good arguments add a state to a
  city.

This compares text; the tables are English. A finding is a reason to look closer
or to drop a sample, not a proof.
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
# Words that arguments shorten or spell out, and the stem found in the text.
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
  """Finds values that are neither in the conversation nor in the definition.

  Args:
    call: a call to `tool`.
    tool: gives the defaults and enums.
    query: the text that values may come from: all user turns, and in a
      dialogue also the results of tools.

  Returns:
    A finding for each such value; it points into `call.to_json()`.
  """
  source = _Source(query)
  root = tool.parameters
  return tuple(
    Finding(Reason.UNGROUNDED, pointer(*path), f"{value!r} is not in the query")
    for path, value, schema in _leaves(
      dict(call.arguments), root, root, ("arguments",)
    )
    if not source.has(value, schema)
  )


def _leaves(
  value: Json, schema: Json, root: Schema, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Json, Schema]]:
  """Yields (path, value, schema) for all but lists and objects."""
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


class _Source:
  """The text that values may come from, prepared for all comparisons."""

  def __init__(self, text: str):
    self._text = _fold(text)
    self._words = _WORD.findall(self._text)
    self._stems = {_stem(word) for word in self._words}
    self._squeezed = "".join(self._words)

  @functools.cached_property
  def _numbers(self) -> frozenset[float]:
    return spoken_numbers.numbers_in(self._text)

  @functools.cached_property
  def _initials(self) -> str:
    return "".join(word[0] for word in self._words)

  def has(self, value: Json, schema: Schema) -> bool:
    """Whether `value` is grounded."""
    if value is None or isinstance(value, bool):
      return True
    if value in schemas.enum_of(schema) or (
      "const" in schema and value == schema["const"]
    ):
      return True
    if isinstance(value, str):
      return self._has_text(value)
    return self._has_number(value)

  def _has_number(self, value: int | float) -> bool:
    if abs(value) > sys.float_info.max:
      return False
    return any(
      abs(abs(value) - number) <= 1e-6 * max(1.0, number)
      for number in self._numbers
    )

  def _has_text(self, value: str) -> bool:
    folded = _fold(value)
    words = _WORD.findall(folded)
    squeezed = "".join(words)
    # Scripts without spaces have no words to compare.
    long_enough = len(squeezed) > 2 or not squeezed.isascii()
    if long_enough and squeezed in self._squeezed:
      return True
    if not words:
      return value.strip() in self._text
    if self._has_moment(folded):
      return True
    content = [word for word in words if word not in _STOP_WORDS] or words
    found = sum(self._has_word(word) for word in content)
    return found >= MIN_SHARE * len(content) or self._has_initials(words)

  def _has_word(self, word: str) -> bool:
    stems = {_stem(word), _MEANINGS.get(word, word)}
    if word in self._words or stems & self._stems:
      return True
    if word.isdecimal():
      return len(word) < 16 and self._has_number(int(word))
    if len(word) < 4:
      return len(word) > 1 and word in self._initials
    return any(
      other.startswith(word[: max(4, len(word) - 3)])
      for other in self._words
      if abs(len(other) - len(word)) <= 3
    )

  def _has_initials(self, words: Sequence[str]) -> bool:
    """Whether the text has "nyc" for "New York City"."""
    initials = "".join(word[0] for word in words)
    return len(initials) > 1 and initials in self._words

  def _has_moment(self, folded: str) -> bool:
    """Whether `folded` is a day or a time that the text has too."""
    days = spoken_dates.days_in(folded)
    if days:
      return spoken_dates.has_relative_day(self._text) or any(
        spoken_dates.same_day(day, other)
        for day in days
        for other in spoken_dates.days_in(self._text)
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
