"""A cursor over text that reads values as models write them.

One grammar covers JSON, Python literals and mixtures of both: `true` and
`True`, `null` and `None`, both kinds of quotes, triple quotes, raw newlines in
strings, `r"…"`, hexadecimal numbers, trailing commas, unquoted identifiers as
keys, tuples (read as lists). Only in Python's syntax, adjacent strings are
joined, and sums and products of numbers are computed. Ambiguous input is
refused: bare words, calls inside values, positional arguments, numbers such as
007.

The reader is a recursive descent with bounds on depth and on the number of
values. Its tokens are regular expressions with possessive quantifiers, which
never backtrack, so the time is linear in the text.
"""

import contextlib
import math
import re
import sys
import unicodedata
from typing import NoReturn

from tooldev_jax.toolcall.formats import arithmetic
from tooldev_jax.toolcall.formats.offered import Offered
from tooldev_jax.toolcall.formats.turn import (
  MAX_CALLS,
  MAX_DEPTH,
  MAX_DIGITS,
  MAX_VALUES,
  ParseError,
  ParseReason,
)
from tooldev_jax.toolcall.jsontext import Json

_SPACE = re.compile(r"\s++")
_WORD = re.compile(r"[^\W\d]\w*+")
_NUMBER = re.compile(
  r"[+-]?+(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?+|\.[0-9][0-9_]*+)"
  r"(?:[eE][+-]?+[0-9]++)?+"
)
# Hexadecimal, octal or binary.
_BASED = re.compile(r"[+-]?+0(?:[xX][0-9a-fA-F_]++|[oO][0-7_]++|[bB][01_]++)")
_SIGN = re.compile(r"[+-](?=\s*+[(+-]|\s++[0-9.])")
_OPERATOR = re.compile(r"\*\*|//|[+*/%-]")
_FRACTION = re.compile(r"[.eE]")
_LEADING_ZERO = re.compile(r"[+-]?0_*[0-9]")
QUOTES = frozenset("'\"")
# What Python allows before a string, where that changes no more than escapes.
_PREFIX = re.compile(r"[rRuU](?=[\"'])")
_STRINGS = {
  '"""': re.compile(r'"""((?:[^"\\]++|\\.|"(?!""))*+)"""', re.DOTALL),
  "'''": re.compile(r"'''((?:[^'\\]++|\\.|'(?!''))*+)'''", re.DOTALL),
  '"': re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL),
  "'": re.compile(r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL),
}
_ESCAPE = re.compile(
  r"\\(?:(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|U[0-9a-fA-F]{8})|([0-7]{1,3})"
  r"|N\{([^{}\\]{1,100})\}|(.))",
  re.DOTALL,
)
_SIMPLE_ESCAPES = {
  "n": "\n",
  "t": "\t",
  "r": "\r",
  "b": "\b",
  "f": "\f",
  "a": "\a",
  "v": "\v",
  '"': '"',
  "'": "'",
  "\\": "\\",
  "\n": "",  # A line continued, in Python.
}
_WORDS = {
  "true": True,
  "True": True,
  "false": False,
  "False": False,
  "null": None,
  "None": None,
}
_NOT_FINITE = frozenset(("NaN", "nan", "Infinity", "inf", "Inf"))
_SURROGATE = re.compile("[\ud800-\udfff]")


class Reader:
  """A position in a text, moved by what is read.

  Attributes:
    text: the whole turn.
    position: 0-based index of the next character.
    is_json: whether the calls are JSON, where `\\/` is `/` and there is no
      arithmetic, or Python.
    names: of the tools that the attempt so far calls.
  """

  def __init__(self, text: str, offered: Offered | None = None):
    self.text = text
    self.position = 0
    self.is_json = False
    self.names: list[str] = []
    self.offered = offered
    self._values_left = MAX_VALUES
    self._calls_left = MAX_CALLS

  def within(self, text: str) -> "Reader":
    """A reader of text that a value of this one holds; the bounds go on."""
    inner = Reader(text)
    inner.is_json = self.is_json
    inner._values_left = self._values_left
    self._values_left -= len(text) // 2  # No value is shorter than "1,".
    return inner

  def fail(
    self, reason: ParseReason, message: str, position: int | None = None
  ) -> NoReturn:
    """Raises a ParseError, here unless another position is given."""
    where = self.position if position is None else position
    if where >= len(self.text):
      reason, message = ParseReason.UNTERMINATED, f"{message}; the text ends"
    raise ParseError(reason, where, message)

  def peek(self) -> str:
    """The next character after white space; empty at the end."""
    character = self.text[self.position : self.position + 1]
    if not character.isspace():
      return character
    space = _SPACE.match(self.text, self.position)
    if space is not None:
      self.position = space.end()
    return self.text[self.position : self.position + 1]

  def take(self, token: str) -> bool:
    """Moves past `token` if it is next, white space aside."""
    if self.peek() != token[0]:
      return False
    if not self.text.startswith(token, self.position):
      return False
    self.position += len(token)
    return True

  def expect(self, token: str) -> None:
    """Moves past `token`, or fails."""
    if not self.take(token):
      self.fail(ParseReason.EXPECTED_SEPARATOR, f"expected {token!r}")

  def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """Moves past `pattern` if it is next, white space aside."""
    self.peek()
    found = pattern.match(self.text, self.position)
    if found is not None:
      self.position = found.end()
    return found

  def count_call(self) -> None:
    """Counts one call against the bound on a turn."""
    self._calls_left -= 1
    if self._calls_left < 0:
      self.fail(ParseReason.TOO_MANY_CALLS, f"more than {MAX_CALLS} calls")

  def take_literal(self) -> str | None:
    """Moves past an offered name with brackets or the like, if one is next."""
    if self.offered is None or not self.offered.literal:
      return None
    found = self.match(self.offered.pattern)
    return self.offered.by_literal[found.group()] if found else None

  @property
  def is_spent(self) -> bool:
    """Whether a bound on the turn was reached."""
    return self._values_left < 0 or self._calls_left < 0

  def value(self, depth: int = 0, binds: int = 0) -> Json:
    """Reads one value.

    Args:
      depth: how many lists, objects and operators are around it.
      binds: how closely the operator on the left does; only operators that
        bind more closely are followed.
    """
    self.peek()
    start = self.position
    value = self._operand(depth)
    while not self.is_json and _is_number(value):
      self.peek()
      found = _OPERATOR.match(self.text, self.position)
      if found is None:
        break
      sign = found.group()
      binding = arithmetic.OPERATORS[sign][0]
      if binding <= binds:
        break
      self.position = found.end()
      if sign == "**" and self.text[start] == "-":  # -2**2 is -4.
        value = -self._compute(sign, -value, depth, binding)
      else:
        value = self._compute(sign, value, depth, binding)
    return value

  def _compute(
    self, sign: str, left: int | float, depth: int, binding: int
  ) -> int | float:
    """Reads what stands right of `sign`, and computes."""
    where = self.position - len(sign)
    if depth >= MAX_DEPTH:
      self.fail(ParseReason.TOO_DEEP, f"more than {MAX_DEPTH} levels")
    # Powers are read from the right.
    right = self.value(depth + 1, binding - (sign == "**"))
    if not _is_number(right):
      self.fail(ParseReason.BAD_VALUE, f"{sign!r} before no number", where)
    try:
      return arithmetic.compute(sign, left, right)
    except (ArithmeticError, ValueError) as error:
      self.fail(ParseReason.BAD_NUMBER, str(error), where)

  def _operand(self, depth: int) -> Json:
    start = self.peek() or " "
    self._values_left -= 1
    if self._values_left < 0:
      self.fail(ParseReason.TOO_MANY_VALUES, f"more than {MAX_VALUES} values")
    if start in QUOTES:
      return self.string()
    if start == "{":
      return self.object(depth)
    if start == "[":
      return self._list(depth)
    if start == "(":
      return self._parenthesis(depth)
    if not self.is_json and (sign := _SIGN.match(self.text, self.position)):
      self.position += 1
      return self._signed(sign.group(), depth)
    if start in "+-.0123456789":
      return self._number()
    if _PREFIX.match(self.text, self.position):
      return self.string()
    return self._word()

  def _signed(self, sign: str, depth: int) -> int | float:
    """Reads what stands after a sign of its own, as in `- 5`."""
    where = self.position - 1
    if depth >= MAX_DEPTH:
      self.fail(ParseReason.TOO_DEEP, f"more than {MAX_DEPTH} levels")
    value = self.value(depth + 1, arithmetic.SIGN_BINDS)
    if not _is_number(value):
      self.fail(ParseReason.BAD_VALUE, f"{sign!r} before no number", where)
    return -value if sign == "-" else value

  def string(self) -> str:
    """Reads a quoted string; in Python's syntax also several in a row."""
    text = self._one_string()
    if self.is_json:
      return text
    texts = [text]
    while self._is_string_next():
      texts.append(self._one_string())
    return "".join(texts) if len(texts) > 1 else text

  def _is_string_next(self) -> bool:
    return self.peek() in QUOTES or (
      _PREFIX.match(self.text, self.position) is not None
    )

  def _one_string(self) -> str:
    raw = self.peek() in ("r", "R")
    if _PREFIX.match(self.text, self.position):
      self.position += 1
    quote = self.text[self.position : self.position + 1]
    if quote not in QUOTES:
      self.fail(ParseReason.BAD_VALUE, "expected a quoted string")
    if self.text.startswith(quote * 3, self.position):
      quote *= 3
    found = _STRINGS[quote].match(self.text, self.position)
    if found is None:
      self.fail(
        ParseReason.UNTERMINATED, "the string that starts here has no end"
      )
    self.position = found.end()
    if raw:
      return found.group(1)
    return self._unescape(found.group(1), found.start(1))

  def object(self, depth: int = 0) -> dict[str, Json]:
    """Reads `{key: value, …}`."""
    self._enter(depth, "{")
    found: dict[str, Json] = {}
    while not self.take("}"):
      key, where = self.key()
      if key in found:
        self.fail(ParseReason.DUPLICATE_NAME, f"{key!r} occurs twice", where)
      self.expect(":")
      found[key] = self.value(depth + 1)
      self.comma_before("}")
    return found

  def key(self) -> tuple[str, int]:
    """Reads a key, quoted or an identifier; returns it and its position."""
    start = self.peek()
    where = self.position
    if start in QUOTES:
      return self.string(), where
    word = self.match(_WORD)
    if word is None:
      self.fail(ParseReason.EXPECTED_NAME, "expected a quoted key")
    return word.group(), where

  def comma_before(self, closing: str) -> bool:
    """Moves past a comma, unless `closing` is next; fails on anything else."""
    if self.take(","):
      return True
    if not self.text.startswith(closing, self.position):
      self.fail(ParseReason.EXPECTED_SEPARATOR, f"expected ',' or {closing!r}")
    return False

  def _list(self, depth: int) -> list[Json]:
    self._enter(depth, "[")
    found = []
    while not self.take("]"):
      found.append(self.value(depth + 1))
      self.comma_before("]")
    return found

  def _parenthesis(self, depth: int) -> Json:
    """As in Python: `(1, 2)` and `(1,)` are sequences, `(1)` is 1."""
    self._enter(depth, "(")
    found = []
    comma = False
    while not self.take(")"):
      found.append(self.value(depth + 1))
      comma = self.comma_before(")")
    return found[0] if len(found) == 1 and not comma else found

  def _enter(self, depth: int, opening: str) -> None:
    if depth >= MAX_DEPTH:
      self.fail(ParseReason.TOO_DEEP, f"more than {MAX_DEPTH} levels")
    self.expect(opening)

  def _number(self) -> int | float:
    start = self.position
    based = _BASED.match(self.text, start)
    found = based or _NUMBER.match(self.text, start)
    after = self.text[found.end() : found.end() + 1] if found else ""
    if found is None or after.isalnum() or after in ("_", "."):
      self.fail(ParseReason.BAD_NUMBER, "not a number")
    text = found.group()
    if len(text) > MAX_DIGITS:
      self.fail(ParseReason.BAD_NUMBER, f"over {MAX_DIGITS} characters")
    if not based and _LEADING_ZERO.match(text):
      self.fail(ParseReason.BAD_NUMBER, f"{text[:40]} has a leading zero")
    self.position = found.end()
    try:
      number: int | float
      if based:
        number = int(text, 0)
      else:
        number = float(text) if _FRACTION.search(text) else int(text)
    except ValueError:  # A misplaced underscore.
      self.fail(ParseReason.BAD_NUMBER, "not a number", start)
    if isinstance(number, float) and math.isinf(number):
      self.fail(ParseReason.NOT_FINITE, f"{text[:40]} is out of range", start)
    return number

  def _word(self) -> Json:
    start = self.position
    word = self.match(_WORD)
    if word is None:
      self.fail(ParseReason.BAD_VALUE, "expected a value")
    if self.text.startswith("(", self.position):
      self.fail(
        ParseReason.NESTED_CALL, f"a call to {word.group()[:40]!r}", start
      )
    if word.group() in _WORDS:
      return _WORDS[word.group()]
    if word.group() in _NOT_FINITE:
      self.fail(ParseReason.NOT_FINITE, f"{word.group()} is no JSON", start)
    self.fail(
      ParseReason.BAD_VALUE, f"{word.group()[:40]!r} is not quoted", start
    )

  def _unescape(self, body: str, start: int) -> str:
    """The text that a string's source stands for."""
    if "\\" not in body:
      return body

    def replace(found: re.Match[str]) -> str:
      code, octal, named, letter = found.groups()
      if code or (octal and not self.is_json):
        point = int(code[1:], 16) if code else int(octal, 8)
        if point <= sys.maxunicode:
          return chr(point)
      elif named:
        with contextlib.suppress(KeyError):
          character = unicodedata.lookup(named)
          if len(character) == 1:  # Python has no names of sequences here.
            return character
      elif letter in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[letter]
      elif letter == "/" and self.is_json:
        return "/"
      elif letter is None or letter not in "uUxN":
        return found.group()  # "\\d" is itself, as in Python.
      self.fail(
        ParseReason.BAD_ESCAPE,
        f"{found.group()!r} is no escape",
        start + found.start(),
      )

    text = _ESCAPE.sub(replace, body)
    return _join_surrogates(text) if _SURROGATE.search(text) else text


def read_number(text: str) -> int | float:
  """The number that `text` is, or that its arithmetic gives: `2 * 3.5` is 7.0.

  Raises:
    ParseError: it is anything else, or goes over a bound.
  """
  reader = Reader(text)
  value = reader.value()
  if reader.peek() or not _is_number(value):
    raise ParseError(ParseReason.BAD_NUMBER, reader.position, "not a number")
  return value


def _join_surrogates(text: str) -> str:
  """Two escapes such as `\\ud83d\\ude00` are one character."""
  return text.encode("utf-16", "surrogatepass").decode(
    "utf-16", "surrogatepass"
  )


def _is_number(value: Json) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)
