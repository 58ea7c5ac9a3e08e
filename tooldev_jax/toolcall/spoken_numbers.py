"""Numbers as people write them in requests.

`text2num` reads numbers in words; amounts such as "a dozen", scales behind
digits and units are added here. The reading is generous: "5 km" says 5 and
5000. It answers "could the text have meant this value?", never "what did the
text mean?".
"""

import re

import text_to_num

# `text2num` takes quadratic time in a run of number words: 20,000 took 1.8 s.
_WORDS_AT_ONCE = 500
_AMOUNTS: dict[str, float] = {
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
  "half a": 0.5,
  "half an": 0.5,
  "quarter": 0.25,
}
# What a number before the word may be multiplied by.
_FACTORS: dict[str, tuple[float, ...]] = {
  "dozen": (12,),
  "hundred": (1e2,),
  "thousand": (1e3,),
  "k": (1e3,),
  "million": (1e6,),
  "m": (1e6, 1e2, 1e-3),
  "billion": (1e9,),
  "trillion": (1e12,),
  "half": (0.5,),
  "quarter": (0.25,),
  "third": (1 / 3,),
  "%": (0.01,),
  "percent": (0.01,),
  "km": (1e3,),
  "kilometer": (1e3,),
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
  r"(?:st|nd|rd|th)?[ -]?([a-z%]*)"
)
_AMOUNT = re.compile(rf"\b(?:half an?|{'|'.join(_AMOUNTS)})\b")
_BETWEEN = re.compile(r"[^\w.,%]+")
_FRACTION = re.compile(r"(\d{1,6})\s*/\s*(\d{1,6})")
_AND_A_HALF = re.compile(r"(\d{1,9}) and a half")


def numbers_in(text: str) -> frozenset[float]:
  """The absolute values that lower-case `text` may name."""
  found: set[float] = set()
  in_digits = _in_digits(text)
  amounts = _AMOUNT.sub(lambda match: f"{_AMOUNTS[match[0]]:g}", in_digits)
  for written in (text, amounts):
    for match in _NUMBER.finditer(written):
      number = float(match.group(1).replace(",", ""))
      found.add(number)
      for word in (match.group(2), match.group(2).removesuffix("s")):
        found.update(number * factor for factor in _FACTORS.get(word, ()))
  for match in _FRACTION.finditer(text):
    if int(match.group(2)):
      found.add(int(match.group(1)) / int(match.group(2)))
  for match in _AND_A_HALF.finditer(in_digits):
    found.add(int(match.group(1)) + 0.5)
  return frozenset(found)


def _in_digits(text: str) -> str:
  """`text` with its number words in digits: "twenty one" is "21"."""
  words = _BETWEEN.sub(" ", text).split()
  pieces = (
    " ".join(words[start : start + _WORDS_AT_ONCE])
    for start in range(0, len(words), _WORDS_AT_ONCE)
  )
  return " ".join(
    text_to_num.alpha2digit(piece, "en", threshold=0) for piece in pieces
  )
