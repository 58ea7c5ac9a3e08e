"""Numbers, dates and times as people write them in requests.

A reading is deliberately generous: "5 km" says 5 and 5000, "3/4/2024" says the
third of April and the fourth of March. It answers "could the text have meant
this value?", never "what did the text mean?".
"""

import re

_ONES = (
  "zero",
  "one",
  "two",
  "three",
  "four",
  "five",
  "six",
  "seven",
  "eight",
  "nine",
  "ten",
  "eleven",
  "twelve",
  "thirteen",
  "fourteen",
  "fifteen",
  "sixteen",
  "seventeen",
  "eighteen",
  "nineteen",
)
_TENS = (
  "twenty",
  "thirty",
  "forty",
  "fifty",
  "sixty",
  "seventy",
  "eighty",
  "ninety",
)
_ORDINALS = (
  "zeroth",
  "first",
  "second",
  "third",
  "fourth",
  "fifth",
  "sixth",
  "seventh",
  "eighth",
  "ninth",
  "tenth",
  "eleventh",
  "twelfth",
)
_WORDS: dict[str, float] = {
  **{word: number for number, word in enumerate(_ONES)},
  **{word: 10 * number for number, word in enumerate(_TENS, start=2)},
  **{word: number for number, word in enumerate(_ORDINALS)},
  "a": 1,
  "an": 1,
  "single": 1,
  "once": 1,
  "twice": 2,
  "couple": 2,
  "pair": 2,
  "both": 2,
  "triple": 3,
  "half": 0.5,
  "quarter": 0.25,
  "dozen": 12,
}
_SCALES: dict[str, float] = {
  "hundred": 1e2,
  "thousand": 1e3,
  "k": 1e3,
  "million": 1e6,
  "m": 1e6,
  "billion": 1e9,
  "trillion": 1e12,
  "dozen": 12,
}
# What a number before the word may be converted to.
_UNITS: dict[str, tuple[float, ...]] = {
  "%": (0.01,),
  "percent": (0.01,),
  "km": (1e3,),
  "kilometer": (1e3,),
  "m": (1e2, 1e-3),
  "meter": (1e2, 1e-3),
  "cm": (1e-2,),
  "centimeter": (1e-2,),
  "foot": (12,),
  "feet": (12,),
  "kg": (1e3,),
  "kilogram": (1e3,),
  "g": (1e-3,),
  "gram": (1e-3,),
  "second": (1e3,),
  "minute": (60,),
  "hour": (60, 3600),
  "day": (24,),
  "week": (7,),
  "year": (12, 365),
  "decade": (10,),
  "gb": (1024,),
}
_NUMBER = re.compile(
  r"(?<![\w.])[-+$€£]?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
  r"(st|nd|rd|th)?[ -]?([a-z%]*)"
)
_WORD = re.compile(r"[a-z]+")
_FRACTION = re.compile(r"(\d{1,6})\s*/\s*(\d{1,6})")


def numbers_in(text: str) -> frozenset[float]:
  """The absolute values that lower-case `text` may name."""
  found: set[float] = set()
  for match in _NUMBER.finditer(text):
    number = float(match.group(1).replace(",", ""))
    found.add(number)
    unit = match.group(3)
    for word in (unit, unit.removesuffix("s")):
      found.update(number * factor for factor in _UNITS.get(word, ()))
      if word in _SCALES:
        found.add(number * _SCALES[word])
  for match in _FRACTION.finditer(text):
    if int(match.group(2)):
      found.add(int(match.group(1)) / int(match.group(2)))
  found.update(_spelled(_WORD.findall(text)))
  return frozenset(found)


def _spelled(words: list[str]) -> set[float]:
  """Values of runs such as "two hundred and fifty thousand"."""
  found: set[float] = set()
  total, current, running = 0.0, 0.0, False
  for word in [*words, ""]:
    if word in _WORDS and word not in _SCALES:
      found.add(_WORDS[word])
      current += _WORDS[word]
      running = True
    elif word in _SCALES and running:
      current *= _SCALES[word]
      if _SCALES[word] >= 1e3:
        total, current = total + current, 0.0
      found.add(total + current)
    elif not (word == "and" and running):
      if running:
        found.add(total + current)
        factors = _UNITS.get(word.removesuffix("s"), ())
        found.update((total + current) * factor for factor in factors)
      if word in _SCALES:
        found.add(_SCALES[word])
      total, current, running = 0.0, 0.0, False
  return found
