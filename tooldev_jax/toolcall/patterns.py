"""Regular expressions from strangers, matched in bounded time.

Schemas bring `pattern`s, and Python's `re` can take exponential time on some
of them. This is a Thompson simulation: all ways to match advance together, one
character at a time, so the time is at most (size of the pattern) × (length of
the text), and a bound on the steps ends what is still too much. A wall-clock
limit would do too, but then the same run would not always give the same bytes.

Known is what the regular part of ECMA-262 has, as JSON Schema asks: groups,
alternatives, classes, quantifiers, `^ $ \\b \\B`, and the escapes. Look-around,
back references, flags and `\\p{…}` are refused by name.
"""

import dataclasses
import functools
import string
from collections.abc import Callable, Iterable
from typing import NoReturn

MAX_PATTERN = 2000  # characters
MAX_STATES = 5000  # of the compiled pattern; counted repeats are written out
MAX_STEPS = 100_000  # of one search: about 0.1 s

_Ranges = tuple[tuple[str, str], ...]

_DIGIT: _Ranges = (("0", "9"),)
_WORD: _Ranges = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACE: _Ranges = (
  ("\t", "\r"),
  (" ", " "),
  ("\xa0", "\xa0"),
  ("\u1680", "\u1680"),
  ("\u2000", "\u200a"),
  ("\u2028", "\u2029"),
  ("\u202f", "\u202f"),
  ("\u205f", "\u205f"),
  ("\u3000", "\u3000"),
  ("\ufeff", "\ufeff"),
)
_LINE_ENDS: _Ranges = (("\n", "\n"), ("\r", "\r"), ("\u2028", "\u2029"))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}


class PatternError(ValueError):
  """A pattern that is wrong or beyond what is known here."""


class TooCostly(Exception):
  """A search that went over `MAX_STEPS`."""


@dataclasses.dataclass(frozen=True)
class _Set:
  """Characters within (or, negated, without) some ranges."""

  ranges: _Ranges
  negated: bool = False

  def __contains__(self, character: str) -> bool:
    inside = any(low <= character <= high for low, high in self.ranges)
    return inside != self.negated


# A state is (what to do, argument, next state): "eat" a character of a _Set,
# "split" into two states, "assert" a position, or "match".
_State = tuple[str, _Set | int | str | None, int]
_MATCH = 0  # The state made first.


class Pattern:
  """A compiled pattern."""

  def __init__(self, states: list[_State], start: int):
    self._states = states
    self._start = start

  def search(self, text: str) -> bool:
    """Whether the pattern matches anywhere in `text`.

    Raises:
      TooCostly: the bound on steps was reached.
    """
    steps = MAX_STEPS
    waiting: Iterable[int] = ()
    for position in range(len(text) + 1):
      reached = self._closure((*waiting, self._start), text, position)
      if _MATCH in reached:
        return True
      steps -= len(reached)
      if steps < 0:
        raise TooCostly(f"over {MAX_STEPS} steps on {len(text)} characters")
      if position < len(text):
        waiting = self._eat(reached, text[position])
    return False

  def _closure(
    self, starts: Iterable[int], text: str, position: int
  ) -> set[int]:
    """All states that can be reached without eating a character."""
    pending = list(starts)
    seen = set(pending)
    while pending:
      kind, argument, after = self._states[pending.pop()]
      if kind == "split":
        assert isinstance(argument, int)
        follow: tuple[int, ...] = (after, argument)
      elif kind == "assert" and _holds(str(argument), text, position):
        follow = (after,)
      else:
        continue
      pending.extend(state for state in follow if state not in seen)
      seen.update(follow)
    return seen

  def _eat(self, reached: set[int], character: str) -> set[int]:
    """The states after `character`."""
    found = set()
    for state in reached:
      _, allowed, after = self._states[state]
      if isinstance(allowed, _Set) and character in allowed:
        found.add(after)
    return found


def _holds(assertion: str, text: str, position: int) -> bool:
  if assertion == "^":
    return position == 0
  if assertion == "$":
    return position == len(text)
  word = _Set(_WORD)
  before = position > 0 and text[position - 1] in word
  here = position < len(text) and text[position] in word
  return (before != here) == (assertion == "b")


@functools.lru_cache(maxsize=1024)
def compile_pattern(source: str) -> Pattern:
  """Compiles `source`.

  Raises:
    PatternError: names the position, and what is wrong or not known.
  """
  if len(source) > MAX_PATTERN:
    raise PatternError(f"longer than {MAX_PATTERN} characters")
  return _Compiler(source).compile()


# A piece of pattern, given the state that follows it, makes its states and
# says where it starts; so a repeated piece is simply made several times.
_Piece = Callable[[int], int]


class _Compiler:
  """A recursive descent over the pattern's text."""

  def __init__(self, source: str):
    self._source = source
    self._position = 0
    self._depth = 0
    self._repeats = 0
    self._states: list[_State] = []

  def compile(self) -> Pattern:
    piece = self._alternatives()
    if self._position < len(self._source):
      self._fail("')' without '('")
    start = piece(self._add("match", None, _MATCH))
    return Pattern(self._states, start)

  def _fail(self, message: str) -> NoReturn:
    raise PatternError(f"at {self._position}: {message}")

  def _add(
    self, kind: str, argument: _Set | int | str | None, after: int
  ) -> int:
    if len(self._states) >= MAX_STATES:
      raise PatternError(f"more than {MAX_STATES} states")
    self._states.append((kind, argument, after))
    return len(self._states) - 1

  def _take(self, token: str) -> bool:
    if not self._source.startswith(token, self._position):
      return False
    self._position += len(token)
    return True

  def _next(self, inside: str) -> str:
    if self._position >= len(self._source):
      self._fail(f"the pattern ends inside {inside}")
    self._position += 1
    return self._source[self._position - 1]

  def _alternatives(self) -> _Piece:
    pieces = [self._sequence()]
    while self._take("|"):
      pieces.append(self._sequence())

    def make(after: int) -> int:
      start = pieces[-1](after)
      for piece in reversed(pieces[:-1]):
        start = self._add("split", start, piece(after))
      return start

    return make

  def _sequence(self) -> _Piece:
    pieces = []
    while self._source[self._position : self._position + 1] not in "|)":
      pieces.append(self._repeated(self._atom()))

    def make(after: int) -> int:
      for piece in reversed(pieces):
        after = piece(after)
      return after

    return make

  def _repeated(self, piece: _Piece) -> _Piece:
    least, most = self._quantifier()
    if (least, most) == (1, 1):
      return piece

    def make(after: int) -> int:
      self._repeats += max(least, most or 0)
      if self._repeats > MAX_STATES:  # Empty pieces make no states.
        raise PatternError(f"more than {MAX_STATES} repeats")
      if most is None:
        loop = self._add("split", after, 0)
        start = piece(loop)
        self._states[loop] = ("split", after, start)
        after = loop
      else:
        end = after
        for _ in range(most - least):
          after = self._add("split", end, piece(after))
      for _ in range(least):
        after = piece(after)
      return after

    return make

  def _quantifier(self) -> tuple[int, int | None]:
    least: int
    most: int | None
    if self._take("*"):
      least, most = 0, None
    elif self._take("+"):
      least, most = 1, None
    elif self._take("?"):
      least, most = 0, 1
    elif self._take("{"):
      least, most = self._counts()
    else:
      return 1, 1
    self._take("?")  # Lazy or not, the same texts match.
    if self._source[self._position : self._position + 1] in ("*", "+", "{"):
      self._fail("a quantifier of a quantifier")
    return least, most

  def _counts(self) -> tuple[int, int | None]:
    end = self._source.find("}", self._position)
    first, comma, last = self._source[self._position : max(end, 0)].partition(
      ","
    )
    if not (first.isdecimal() and (last.isdecimal() or not last)):
      self._fail("expected {n}, {n,} or {n,m}")
    if len(first) > 4 or len(last) > 4:
      self._fail("a count over 9999")
    self._position = end + 1
    least = int(first)
    if not comma:
      return least, least
    most = int(last) if last else None
    if most is not None and most < least:
      self._fail(f"{{{first},{last}}} is empty")
    return least, most

  def _atom(self) -> _Piece:
    character = self._next("the pattern")
    if character == "(":
      return self._group()
    if character == "[":
      allowed = self._class()
    elif character == ".":
      allowed = _Set(_LINE_ENDS, negated=True)
    elif character in "^$":
      return lambda after: self._add("assert", character, after)
    elif character in "*+?{":
      self._fail(f"{character!r} repeats nothing")
    elif character == "\\":
      if self._take("b"):
        return lambda after: self._add("assert", "b", after)
      if self._take("B"):
        return lambda after: self._add("assert", "B", after)
      allowed = self._escape()
    else:
      allowed = _Set(((character, character),))
    return lambda after: self._add("eat", allowed, after)

  def _group(self) -> _Piece:
    if self._take("?"):
      following = self._source[self._position + 1 : self._position + 2]
      if following not in ("=", "!") and self._take("<"):
        end = self._source.find(">", self._position)
        if end < 0:
          self._fail("a group's name has no end")
        self._position = end + 1
      elif not self._take(":"):
        self._fail("look-around and flags are not known")
    self._depth += 1
    if self._depth > 50:
      self._fail("groups nested over 50 deep")
    piece = self._alternatives()
    self._depth -= 1
    if not self._take(")"):
      self._fail("'(' without ')'")
    return piece

  def _class(self) -> _Set:
    negated = self._take("^")
    ranges: list[tuple[str, str]] = []
    while not self._take("]"):
      low = self._class_member()
      if len(low.ranges) != 1 or low.ranges[0][0] != low.ranges[0][1]:
        if low.negated:
          ranges.extend(_complement(low.ranges))
        else:
          ranges.extend(low.ranges)
        continue
      first = last = low.ranges[0][0]
      dash = self._source[self._position : self._position + 2]
      if dash.startswith("-") and dash != "-]":
        self._position += 1
        high = self._class_member()
        last = high.ranges[0][1]
        if len(high.ranges) != 1 or last < first:
          self._fail("a range that ends before it starts")
      ranges.append((first, last))
    return _Set(tuple(ranges), negated)

  def _class_member(self) -> _Set:
    character = self._next("a class")
    if character != "\\":
      return _Set(((character, character),))
    if self._take("b"):
      return _Set((("\b", "\b"),))
    return self._escape()

  def _escape(self) -> _Set:
    """What follows a backslash, as the characters that it stands for."""
    letter = self._next("an escape")
    if letter.lower() in _CLASSES:
      return _Set(_CLASSES[letter.lower()], negated=letter.isupper())
    if letter in "xu":
      size = 2 if letter == "x" else 4
      digits = self._source[self._position : self._position + size]
      if len(digits) < size or not set(digits) <= set(string.hexdigits):
        self._fail(f"\\{letter} without {size} hexadecimal digits")
      character = chr(int(digits, 16))
      self._position += size
      return _Set(((character, character),))
    if letter.isascii() and letter.isalnum() and letter not in _CONTROLS:
      self._fail(f"\\{letter} is not known")
    character = _CONTROLS.get(letter, letter)
    return _Set(((character, character),))


def _complement(ranges: _Ranges) -> _Ranges:
  """All characters outside sorted ranges."""
  low, found = 0, []
  for start, end in ranges:
    if ord(start) > low:
      found.append((chr(low), chr(ord(start) - 1)))
    low = ord(end) + 1
  return (*found, (chr(low), "\U0010ffff"))
