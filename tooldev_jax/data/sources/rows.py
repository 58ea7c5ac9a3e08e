"""What all readers share: files of rows in, examples and bad rows out."""

import collections
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from etils import epath

from tooldev_jax import errors
from tooldev_jax.data.sources import padding
from tooldev_jax.toolcall import jsontext, textfile, vocabulary
from tooldev_jax.toolcall.jsontext import Json

MAX_LINE = 16 * 1024 * 1024  # characters

# Finds where an item of a list ends; `load_row` says whether it is sound.
_LOOSE = json.JSONDecoder()
_SEPARATOR = re.compile(r"\s*,?\s*")

Row = Mapping[str, Json]


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
  """What a file held, in its order.

  Attributes:
    examples: its good rows.
    rejected: its bad rows.
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


def reader(
  source: str, read_row: Callable[[Row], Sequence[vocabulary.Example]]
) -> Callable[[epath.Path], Read]:
  """A reader of files whose rows `read_row` reads; see `read_rows`."""
  return lambda path: read_rows(path, source, lambda x: read_row(record(x)))


def read_rows(
  path: epath.Path,
  source: str,
  read_row: Callable[[Json], Sequence[vocabulary.Example]],
) -> Read:
  """Reads a file row by row; each gives zero or more examples.

  Examples get `source` and `line` in their provenance, and an id where the
  row has none. A repeated id gets the line added to it.
  """
  examples: list[vocabulary.Example] = []
  rejected: list[BadRow] = []
  seen: set[str] = set()
  for line, text in numbered_rows(path):
    try:
      found = read_row(load_row(text))
    except (RowError, vocabulary.MalformedError) as e:
      rejected.append(bad_row(path, line, e))
      continue
    for i, example in enumerate(found):
      name = example.id or f"{source}-{line}.{i}"
      name = f"{name}@{line}.{i}" if name in seen else name
      seen.add(name)
      known = {"source": source, "line": line, **example.provenance}
      examples.append(dataclasses.replace(example, id=name, provenance=known))
  return Read(tuple(examples), tuple(rejected))


def numbered_rows(path: epath.Path) -> Iterator[tuple[int, str]]:
  """(line number from 1, text) of each row.

  Rows are the lines that are not blank or, in a file that is one JSON list
  (as xLAM's and ToolACE's are), the items of the list.

  Raises:
    UserError: as `textfile.read_text`.
  """
  text = textfile.read_text(path)
  return _items(text) if _is_list(text) else filled_lines(text)


def filled_lines(text: str) -> Iterator[tuple[int, str]]:
  """(number from 1, line) of the lines that are not blank."""
  # Only line feeds end lines: JSON text may hold U+2028 and its like.
  for number, line in enumerate(text.split("\n"), start=1):
    if line.strip():
      yield number, line


def _is_list(text: str) -> bool:
  """Whether a file is one list, and not lines that each are one."""
  lines = filled_lines(text)
  _, first = next(lines, (0, ""))
  if not first.lstrip().startswith("["):
    return False
  try:
    jsontext.load(first)
  except jsontext.JsonTextError:
    return True
  return next(lines, None) is None


def _items(text: str) -> Iterator[tuple[int, str]]:
  """The items of the list that `text` is, with their lines.

  An item that is broken ends where a line begins as its own did; without such
  a line, all that is left is one item.
  """
  start = _after_separator(text, text.index("[") + 1)
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
    start = _after_separator(text, end)


def _next_alike(text: str, start: int) -> int:
  """Where the next line begins that is indented as the one of `start` is."""
  indent = text[text.rfind("\n", 0, start) + 1 : start]
  if indent.strip():  # Items that stand in one line, or the list's first.
    indent = ""
  end = text.find(f"\n{indent}{{", start + 1)
  return len(text) if end < 0 else end


def _after_separator(text: str, start: int) -> int:
  match = _SEPARATOR.match(text, start)
  assert match is not None  # It matches the empty text too.
  return match.end()


def load_row(text: str) -> Json:
  """One row as JSON.

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
  """The report of a row that raised a RowError or a MalformedError."""
  if isinstance(error, vocabulary.MalformedError):
    reason = f"field {error.where}" if error.where else "not an example"
    return BadRow(str(path), line, reason, error.detail)
  assert isinstance(error, RowError)
  return BadRow(str(path), line, error.reason, error.detail)


def record(value: Json) -> Row:
  """`value` as an object.

  Raises:
    RowError: it is something else.
  """
  if not isinstance(value, Mapping):
    raise RowError("not an object", type(value).__name__)
  return value


def records(row: Row, key: str) -> list[Row]:
  """The list of objects at `key`, without padding; empty where it is missing.

  Raises:
    RowError: it is something else.
  """
  items = list_field(row, key)
  return [record(item) for item in items if not padding.is_padding(item)]


def list_field(row: Row, key: str) -> list[Json]:
  """The list at `key`; empty where it is missing or null.

  Raises:
    RowError: it is something else.
  """
  value = row.get(key)
  if value is None:
    return []
  if not isinstance(value, list):
    raise RowError(f"{key} are no list", type(value).__name__)
  return value


def text_field(row: Row, *keys: str) -> str:
  """The first of these fields that is text and not empty.

  Raises:
    RowError: none is.
  """
  for key in keys:
    value = row.get(key)
    if isinstance(value, str) and value.strip():
      return value
  raise RowError(f"no {keys[0]}")


def json_field(row: Row, key: str) -> Json:
  """A field that some sets keep as JSON text and some as JSON.

  Raises:
    RowError: it is missing, or is text that is not JSON.
  """
  value = row.get(key)
  if value is None:
    raise RowError(f"no {key}")
  if not isinstance(value, str):
    return value
  try:
    return jsontext.load(value)
  except jsontext.JsonTextError as e:
    raise RowError(f"{key} is not JSON", str(e)) from e
