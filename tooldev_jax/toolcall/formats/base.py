"""What every written form of calls has in common.

A `CallFormat` writes a turn (text, calls or both) and reads one back from
whatever a model wrote. The bounds in `turn` hold for every format, so hostile
or broken output costs milliseconds and ends in a `ParseError`, nothing else.

Text or attempt? Each format says which marks begin an *attempt* at a call.
Text without such a mark is a turn without calls. From the mark on, the attempt
must be read to its end: if that fails the whole turn is refused, because a
half-read turn is neither an answer nor a set of calls. Text around attempts is
kept; code fences right around them are not. A thought, `<think>…</think>` at
the very start, is text and is never searched; without its end, all is thought.
"""

import abc
import re
from collections.abc import Sequence

from tooldev_jax.toolcall.formats.reader import Reader
from tooldev_jax.toolcall.formats.turn import (
  MAX_CHARS,
  ParseError,
  ParseReason,
  RenderError,
  Turn,
)
from tooldev_jax.toolcall.vocabulary import Call

_THOUGHT_START = "<think>"
_THOUGHT_END = "</think>"
# "```python", "```" or "`", at the end of what comes before a call.
_OPEN_FENCE = re.compile(r"(`{1,3})([\w-]{0,20})\Z", re.ASCII)
_LONGEST_FENCE = 24


class CallFormat(abc.ABC):
  """One way to write calls, and to read them back."""

  name: str

  def render(self, calls: Sequence[Call], text: str = "") -> str:
    """Writes a turn such that `parse` gives `Turn(text.strip(), calls)`.

    Raises:
      RenderError: this format has no such writing: an argument is no JSON
        value or is beyond the bounds, or the text itself reads as an attempt
        at a call.
    """
    try:
      body = self._write(calls) if calls else ""
    except (TypeError, ValueError, RecursionError) as error:
      raise RenderError(f"cannot be written: {error}") from None
    rendered = "\n".join(part for part in (text.strip(), body) if part)
    try:
      turn = self.parse(rendered)
    except ParseError as error:
      raise RenderError(f"would not be read back: {error}") from None
    if turn != Turn(text.strip(), tuple(calls)):
      raise RenderError("would be read back as something else")
    return rendered

  def parse(self, text: str) -> Turn:
    """Reads a turn, in time linear in its length.

    Raises:
      ParseError: the text attempts a call and fails, or is too long.
    """
    if len(text) > MAX_CHARS:
      raise ParseError(
        ParseReason.TOO_LONG, MAX_CHARS, f"{len(text)} characters"
      )
    reader = Reader(text)
    pieces: list[str] = []
    calls: list[Call] = []
    done = 0
    start = self._find_first(text, _thought_end(text))
    while start is not None:
      reader.position = start
      calls.extend(self._read(reader))
      start, end = _widen_to_fence(text, done, start, reader.position)
      pieces.append(text[done:start])
      done = end
      start = self._find(text, done)
    pieces.append(text[done:])
    stripped = (piece.strip() for piece in pieces)
    return Turn("\n".join(filter(None, stripped)), tuple(calls))

  def _find_first(self, text: str, position: int) -> int | None:
    """As `_find`, where everything before `position` is a thought."""
    return self._find(text, position)

  @abc.abstractmethod
  def _find(self, text: str, position: int) -> int | None:
    """Where the next attempt at a call begins, at `position` or later.

    Over all calls for one text this must take linear time: nothing may be
    scanned that an earlier search already passed over.
    """

  @abc.abstractmethod
  def _read(self, reader: Reader) -> list[Call]:
    """Reads the attempt at the reader's position, and moves past it."""

  @abc.abstractmethod
  def _write(self, calls: Sequence[Call]) -> str:
    """The text of one or more calls; may raise TypeError or ValueError."""


def _thought_end(text: str) -> int:
  """Where the thought at the start of `text` ends; 0 without a thought."""
  start = len(text) - len(text.lstrip())
  if not text.startswith(_THOUGHT_START, start):
    return 0
  end = text.find(_THOUGHT_END, start)
  return len(text) if end < 0 else end + len(_THOUGHT_END)


def _widen_to_fence(
  text: str, done: int, start: int, end: int
) -> tuple[int, int]:
  """Includes the code fence around `text[start:end]`, if there is one.

  A fence that the text ends without closing counts: the stop token came first.
  """
  before = text[done:start].rstrip()
  fence = _OPEN_FENCE.search(before[-_LONGEST_FENCE:])
  if fence is None:
    return start, end
  after = end
  while after < len(text) and text[after].isspace():
    after += 1
  ticks = fence.group(1)
  if after < len(text) and not text.startswith(ticks, after):
    return start, end
  opening = done + len(before) - len(fence.group())
  return opening, min(after + len(ticks), len(text))
