"""Days and times of day as people write them in requests.

As with `spoken_numbers`, a reading is generous: all that a text may mean.

`dateparser` was tried: it gives one reading of "3/4/2024", finds dates in "I am
30" and takes 1 to 32 ms for a sentence, where this takes 0.04 ms.
"""

import re
from collections.abc import Iterator

_MONTHS = (
  "january",
  "february",
  "march",
  "april",
  "may",
  "june",
  "july",
  "august",
  "september",
  "october",
  "november",
  "december",
)
_MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in _MONTHS)
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_NUMERIC = re.compile(
  r"(?<!\d)(\d{1,4})[-/.](\d{1,2})(?:[-/.](\d{4}|\d{2}))?(?!\d)"
)
_MONTH_FIRST = re.compile(
  rf"\b({_MONTH})t?\.?\s+(?:the\s+)?{_DAY}\b(?:,?\s+(\d{{4}}))?"
)
_DAY_FIRST = re.compile(
  rf"\b{_DAY}\s*-?(?:of\s+)?({_MONTH})\b\.?(?:,?\s*-?(\d{{4}}))?"
)
_RELATIVE = re.compile(
  r"\b(?:today|tonight|tomorrow|yesterday|now|current(?:ly)?|latest|upcoming"
  r"|(?:this|next|last|past|coming|following|previous|these|in|few)\b.{0,20}"
  r"\b(?:days?|weeks?|weekend|months?|years?|morning|afternoon|evening|night)"
  r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
)
_TIME = re.compile(
  r"\b(\d{1,2})(?:[:.h](\d{2}))?(?::\d{2})?\s*"
  r"(am\b|pm\b|a\.m\.?|p\.m\.?|o'?clock)?"
)
_NAMED_TIMES = {"noon": (12, 0), "midday": (12, 0), "midnight": (0, 0)}

# (year or 0, month, day)
Day = tuple[int, int, int]


def days_in(text: str) -> frozenset[Day]:
  """The days that lower-case `text` may name; year 0 without a year."""
  return frozenset(
    day for day in _days(text) if 1 <= day[1] <= 12 and 1 <= day[2] <= 31
  )


def _days(text: str) -> Iterator[Day]:
  for match in _NUMERIC.finditer(text):
    first, second, third = (int(part or 0) for part in match.groups())
    if len(match.group(1)) > 2:
      if match.group(3):
        yield first, second, third
        yield first, third, second
      continue
    year = third + 2000 if 0 < third < 100 else third
    yield year, first, second
    yield year, second, first
  for match in _MONTH_FIRST.finditer(text):
    yield int(match.group(3) or 0), _month(match.group(1)), int(match.group(2))
  for match in _DAY_FIRST.finditer(text):
    yield int(match.group(3) or 0), _month(match.group(2)), int(match.group(1))


def _month(name: str) -> int:
  return 1 + [month[:3] for month in _MONTHS].index(name[:3])


def same_day(one: Day, other: Day) -> bool:
  """Whether they may be the same; a missing year fits any."""
  years = {one[0], other[0]} - {0}
  return one[1:] == other[1:] and len(years) < 2


def has_relative_day(text: str) -> bool:
  """Whether the text names a day relative to today."""
  return _RELATIVE.search(text) is not None


def times_in(text: str) -> frozenset[tuple[int, int]]:
  """The times of day (hour, minute) that lower-case `text` may name."""
  found = {time for name, time in _NAMED_TIMES.items() if name in text}
  for match in _TIME.finditer(text):
    hour, minute = int(match.group(1)), int(match.group(2) or 0)
    suffix = (match.group(3) or "").replace(".", "")
    if hour > 24 or minute > 59:
      continue
    if suffix != "pm":
      found.add((hour % 12 if suffix == "am" else hour % 24, minute))
    if suffix != "am" and hour <= 12:
      found.add((hour % 12 + 12, minute))
  return frozenset(found)
