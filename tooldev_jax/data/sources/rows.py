"""What all sources share: lines in, examples and bad rows out."""

import collections
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from etils import epath

from tooldev_jax import errors
from tooldev_jax.toolcall import jsontext, textfile, vocabulary

MAX_LINE = 16 * 1024 * 1024  # characters

# Finds where an item ends; whether it is sound is for `load_row` to say.
_LOOSE = json.JSONDecoder()
_MARK = re.compile(r"\s*,?\s*")


Row = Mapping[str, jsontext.Json]


class SourceError(errors.UserError):
  """A source file that cannot be read, or has too many bad rows."""


class RowError(ValueError):
  """A row that is no example.

  Attributes:
    reason: a short fixed text, for counting.
    detail: what was found in this row.
  """

  def __init__(self, reason: str, detail: str = ""):
    super().__init__(f"{reason}: {detail}" if detail else reason)
    self.reason = reason
    self.detail = detail


@dataclasses.dataclass(frozen=True)
class BadRow:
  """A row that was not read.

  Attributes:
    path: of the file.
    line: from 1.
    reason: short and fixed, for counting.
    detail: what was found.
  """

  path: str
  line: int
  reason: str
  detail: str = ""

  def __str__(self) -> str:
    return f"{self.path}:{self.line}: {self.reason}: {self.detail}"


@dataclasses.dataclass(frozen=True)
class Read:
  """What a file held.

  Attributes:
    examples: in the file's order.
    rejected: its bad rows, in order.
    left_out: details that good rows lack, since they could not be read.
  """

  examples: tuple[vocabulary.Example, ...]
  rejected: tuple[BadRow, ...] = ()
  left_out: tuple[BadRow, ...] = ()

  @property
  def reasons(self) -> Mapping[str, int]:
    """Reason to number of bad rows."""
    counts = collections.Counter(row.reason for row in self.rejected)
    return dict(sorted(counts.items()))

  def require(self, max_bad_share: float) -> "Read":
    """Returns itself.

    Raises:
      SourceError: more than this share of the rows are bad, or no row is
        good; the message has the reasons and the first bad rows.
    """
    bad, good = len(self.rejected), len(self.examples)
    if good and bad <= max_bad_share * (good + bad):
      return self
    reasons = ", ".join(f"{n} × {reason}" for reason, n in self.reasons.items())
    first = "".join(f"\n  {row}" for row in self.rejected[:5])
    raise SourceError(
      f"{bad} of {good + bad} rows are bad, allowed are {max_bad_share:.1%}: "
      f"{reasons or 'there are no rows'}{first}"
    )


Reader = Callable[[jsontext.Json], Sequence[vocabulary.Example]]


def read_lines(path: epath.Path, source: str, read_row: Reader) -> Read:
  """Reads JSON lines; each gives zero or more examples.

  Examples get `source` and `line` in their provenance, and an id where the
  row has none. A repeated id gets the line added to it.
  """
  examples: list[vocabulary.Example] = []
  rejected: list[BadRow] = []
  seen: set[str] = set()
  for line, text in numbered_lines(path):
    try:
      found = read_row(load_row(text))
    except (RowError, vocabulary.RecordError) as e:
      rejected.append(bad_row(path, line, e))
      continue
    for i, example in enumerate(found):
      example = _stamp(example, source, line, i)
      if example.id in seen:
        example = dataclasses.replace(example, id=f"{example.id}@{line}.{i}")
      seen.add(example.id)
      examples.append(example)
  return Read(tuple(examples), tuple(rejected))


def numbered_lines(path: epath.Path) -> Iterator[tuple[int, str]]:
  """(line number from 1, text) of each row.

  Rows are the lines that are not blank or, in a file that is one JSON list
  (as xLAM's and ToolACE's are), the items of the list.

  Raises:
    UserError: as `textfile.read_text`.
  """
  text = textfile.read_text(path)
  if _is_list(text.split("\n")):
    yield from _items(text)
  else:
    yield from filled_lines(text)


def filled_lines(text: str) -> Iterator[tuple[int, str]]:
  """(number from 1, line) of the lines that are not blank."""
  # Only line feeds end lines: JSON text may hold U+2028 and its like.
  for number, line in enumerate(text.split("\n"), start=1):
    if line.strip():
      yield number, line


def _is_list(lines: Sequence[str]) -> bool:
  """Whether a file is one list, and not lines that each are one."""
  filled = (line for line in lines if line.strip())
  first = next(filled, "").strip()
  if not first.startswith("["):
    return False
  try:
    jsontext.load(first)
  except jsontext.JsonTextError:
    return True
  return next(filled, None) is None


def _items(text: str) -> Iterator[tuple[int, str]]:
  """The items of the list that `text` is.

  An item that is broken ends where a line begins as its own did; without one,
  all that is left is one item.
  """
  start = _next(text, text.index("[") + 1)
  line, counted = 1, 0
  while not text.startswith("]", start) or text[start + 1 :].strip():
    line += text.count("\n", counted, start)
    counted = start
    try:
      _, end = _LOOSE.raw_decode(text, start)
    except (ValueError, RecursionError):
      end = _next_alike(text, start)
    yield line, text[start:end]
    if end == len(text):
      return
    start = _next(text, end)


def _next_alike(text: str, start: int) -> int:
  """Where the next line begins that is indented as the one of `start` is."""
  indent = text[text.rfind("\n", 0, start) + 1 : start]
  if indent.strip():  # Items that stand in one line, or the list's first.
    indent = ""
  end = text.find(f"\n{indent}{{", start + 1)
  return len(text) if end < 0 else end


def _next(text: str, start: int) -> int:
  """Where the next item begins."""
  mark = _MARK.match(text, start)
  return mark.end() if mark else start


def load_row(text: str) -> jsontext.Json:
  """One line as JSON.

  Raises:
    RowError: it is not.
  """
  if len(text) > MAX_LINE:
    raise RowError("too long", f"{len(text)} characters")
  try:
    return jsontext.load(text)
  except jsontext.JsonTextError as e:
    raise RowError("not JSON", str(e)) from e


def bad_row(path: epath.Path, line: int, error: Exception) -> BadRow:
  """The report of a row that raised."""
  if isinstance(error, vocabulary.RecordError):
    reason = f"field {error.where}" if error.where else "not an example"
    return BadRow(str(path), line, reason, error.detail)
  assert isinstance(error, RowError)
  return BadRow(str(path), line, error.reason, error.detail)


def _stamp(
  example: vocabulary.Example, source: str, line: int, index: int
) -> vocabulary.Example:
  provenance = {"source": source, "line": line, **example.provenance}
  return dataclasses.replace(
    example, id=example.id or f"{source}-{line}.{index}", provenance=provenance
  )
