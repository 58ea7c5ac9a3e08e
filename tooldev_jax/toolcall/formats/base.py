"""What all formats of calls share.

A `CallFormat` writes a turn (text, calls or both), and reads a turn from
whatever a model wrote. The bounds in `turn` hold for every format, so hostile
or broken output takes milliseconds and ends in a `ParseError`.

Each format defines marks that begin an *attempt* at a call. A turn without
such a mark is text. An attempt must be readable to its end; otherwise the whole
turn is refused, because a half-read turn is neither an answer nor a set of
calls. Text around attempts is kept, but not the code fence around an attempt.

Samples of code and JSON in prose look like calls. So where the names of the
offered tools are known, an attempt without the format's tag that names none of
them is text. One exception: in a format that writes no tag, a turn that is one
attempt and nothing else is a call, of a tool that does not exist.

Thoughts are text and are never searched. A thought is `<think>…</think>`, or
everything up to a `</think>` without an opening tag, since some prompts open
the thought themselves. A `<think>` that begins a line and is never closed opens
a thought up to the end of the turn.
"""

import abc
import dataclasses
import re
from collections.abc import Callable, Collection, Sequence

from tooldev_jax.toolcall.formats.offered import Offered, offered_tools
from tooldev_jax.toolcall.formats.reader import Reader
from tooldev_jax.toolcall.formats.turn import (
  MAX_CHARS,
  ParseError,
  ParseReason,
  RenderError,
  Turn,
)
from tooldev_jax.toolcall.vocabulary import Call

_THOUGHT_TAG = re.compile(r"<(/?)think>")
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_LINE_START = re.compile(r"\n[^\S\n]*+\Z")
_LONGEST_INDENT = 16
# "```python", "```" or "`", at the end of what comes before a call.
_OPEN_FENCE = re.compile(r"(`{1,3})([\w-]{0,20})\Z", re.ASCII)
_LONGEST_FENCE = 24
_BLANK_OR_FENCE = re.compile(r"\s*+(?:`{1,3}+[\w-]{0,20}+\s*+)?+\Z")


_Finder = Callable[[Reader, int], int | None]


@dataclasses.dataclass
class _Attempt:
  """Calls that were read from `text[start:end]`."""

  start: int
  end: int
  calls: list[Call]
  # Whether this is a call even where it names no offered tool.
  certain: bool


class CallFormat(abc.ABC):
  """One way to write calls, and to read them back.

  Attributes:
    name: what configs call it.
    tag: what begins an attempt, wherever it stands; empty if there is none.
    writes_tag: whether calls are written with that tag.
  """

  name: str
  tag = ""
  writes_tag = False

  def render(
    self,
    calls: Sequence[Call],
    text: str = "",
    names: Collection[str] | None = None,
  ) -> str:
    """Writes a turn such that `parse` gives `Turn(text.strip(), calls)`.

    Args:
      calls: in order.
      text: what is said before them.
      names: of the offered tools, if the reader will know them.

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
      turn = self.parse(rendered, names)
    except ParseError as error:
      raise RenderError(f"would not be read back: {error}") from None
    if turn != Turn(text.strip(), tuple(calls)):
      raise RenderError("would be read back as something else")
    return rendered

  def parse(self, text: str, names: Collection[str] | None = None) -> Turn:
    """Reads a turn, in time linear in its length.

    Args:
      text: the whole turn.
      names: of the offered tools, where they are known; see the module.

    Raises:
      ParseError: the text attempts a call and fails, or is too long.
    """
    if len(text) > MAX_CHARS:
      raise ParseError(
        ParseReason.TOO_LONG, MAX_CHARS, f"{len(text)} characters"
      )
    scan = _Scan(self, text, None if names is None else offered_tools(names))
    attempts = scan.attempts()
    kept = [attempt for attempt in attempts if attempt.certain]
    if not self.writes_tag and len(kept) < len(attempts):
      around = _around(text[scan.thought_end :], attempts, scan.thought_end)
      if not any(_THOUGHT.sub("", piece).strip() for piece in around):
        kept = attempts  # The whole turn is calls.
    stripped = (piece.strip() for piece in _around(text, kept))
    calls = tuple(call for attempt in kept for call in attempt.calls)
    return Turn("\n".join(filter(None, stripped)), calls)

  def find_opening(self, reader: Reader, position: int) -> int | None:
    """Where an attempt begins that opens the turn, or follows a thought.

    Only white space and a code fence may stand between it and `position`.
    """
    return None

  def find_next(self, reader: Reader, position: int) -> int | None:
    """Where an attempt begins right after another one, white space aside."""
    return None

  @abc.abstractmethod
  def find(self, reader: Reader, position: int) -> int | None:
    """Where the next attempt at a call begins, at `position` or later.

    Over all calls for one text this must take linear time: nothing may be
    scanned that an earlier search already passed over.
    """

  @abc.abstractmethod
  def read(self, reader: Reader) -> list[Call]:
    """Reads the attempt at the reader's position, and moves past it."""

  @abc.abstractmethod
  def _write(self, calls: Sequence[Call]) -> str:
    """The text of one or more calls; may raise TypeError or ValueError."""


class _Scan:
  """One pass over a turn.

  Attributes:
    thought_end: up to where the turn is a thought, known after `attempts`.
  """

  def __init__(self, form: CallFormat, text: str, offered: Offered | None):
    self.thought_end = 0
    self._form = form
    self._text = text
    self._offered = offered
    self._reader = Reader(text, offered)
    self._found: list[_Attempt] = []
    self._next: int | None = -1  # The last result of `find`.
    self._spanned: ParseError | None = None
    self._last_end = text.rfind("</think>")

  def attempts(self) -> list[_Attempt]:
    """All attempts, in order; adjacent ones are joined.

    Raises:
      ParseError: one of them fails.
    """
    position = 0
    start = self._find(position, self._form.find_opening)
    while True:
      limit = len(self._text) if start is None else start
      tag = _THOUGHT_TAG.search(self._text, position, limit)
      if tag is not None:
        position, anchored = self._skip_thought(tag)
        start = self._find(position, anchored)
      elif start is None:
        break
      else:
        position, anchored = self._try(start)
        start = self._find(position, anchored)
    if self._spanned is not None and not self._found:
      raise self._spanned
    return self._found

  def _find(self, position: int, anchored: _Finder | None) -> int | None:
    """Where the next attempt begins, `anchored` at `position` or not."""
    if anchored is not None:
      start = anchored(self._reader, position)
      if start is not None:
        return start
    if self._next is not None and self._next < position:
      self._next = self._form.find(self._reader, position)
    return self._next

  def _skip_thought(self, tag: re.Match[str]) -> tuple[int, _Finder | None]:
    """As `_try`, for a thought that `tag` opens, or ends without an opening."""
    if tag.group(1):
      return self._forget(tag.end()), self._form.find_opening
    if tag.end() <= self._last_end:
      end = self._text.index("</think>", tag.end()) + len("</think>")
    elif _LINE_START.search(self._before(tag.start())):
      end = len(self._text)
    else:
      return tag.end(), None  # The text speaks of the tag.
    if not self._text[self.thought_end : tag.start()].strip():
      self.thought_end = end
    return end, self._form.find_opening

  def _before(self, position: int) -> str:
    """A few characters before `position`, a newline for the turn's start."""
    start = position - _LONGEST_INDENT
    return (
      self._text[start:position]
      if start > 0
      else ("\n" + self._text[:position])
    )

  def _forget(self, position: int) -> int:
    """Takes all before `position` for a thought."""
    self._found.clear()
    self._reader = Reader(self._text, self._offered)
    self.thought_end = position
    return position

  def _try(self, start: int) -> tuple[int, _Finder | None]:
    """Reads the attempt at `start`.

    Returns:
      Where the search goes on, and what is looked for right there.
    """
    reader = self._reader
    reader.position = start
    reader.names.clear()
    try:
      calls = self._form.read(reader)
    except ParseError as error:
      return self._fail(start, error)
    tagged = self._is_tagged(start)
    certain = tagged or self._offered is None or self._names_offered()
    last = self._found[-1] if self._found else None
    if (
      last is not None
      and last.certain == certain
      and not self._text[last.end : start].strip()
    ):
      last.end = reader.position
      last.calls += calls
    else:
      self._found.append(_Attempt(start, reader.position, calls, certain))
    return reader.position, self._form.find_next

  def _fail(self, start: int, error: ParseError) -> tuple[int, _Finder | None]:
    """As `_try`, for an attempt that failed; raises where it is no text."""
    tag = _THOUGHT_TAG.search(self._text, start)
    if tag is not None and tag.group(1):
      if error.position > tag.start():  # The tag may be part of a string.
        self._spanned = error
      return self._forget(tag.end()), self._form.find_opening
    if (
      self._offered is None
      or self._is_tagged(start)
      or self._names_offered()
      or not self._reader.names
      or self._reader.is_spent
      or (not self._form.writes_tag and self._opens(start))
    ):
      raise error
    return max(error.position, start + 1), None

  def _is_tagged(self, start: int) -> bool:
    tag = self._form.tag
    return bool(tag) and self._text.startswith(tag, start)

  def _names_offered(self) -> bool:
    assert self._offered is not None
    return not self._offered.names.isdisjoint(self._reader.names)

  def _opens(self, start: int) -> bool:
    before = self._text[self.thought_end : start]
    return _BLANK_OR_FENCE.match(before) is not None


def _around(
  text: str, attempts: Sequence[_Attempt], shift: int = 0
) -> list[str]:
  """What is left of `text` without the attempts and the fences around them.

  Args:
    text: of the turn, from the position `shift` on.
    attempts: in order.
    shift: see above.
  """
  pieces, done = [], 0
  for attempt in attempts:
    start, end = _widen_to_fence(
      text, done, attempt.start - shift, attempt.end - shift
    )
    pieces.append(text[done:start])
    done = end
  return [*pieces, text[done:]]


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
