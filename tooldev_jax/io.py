"""Files that are either whole or not there.

Every artefact of a run is written once: to a temporary name, flushed to disk,
then renamed. A reader therefore never meets half a file, whenever the process
was killed. Object stores have no atomic rename but write objects whole, and
folders there count only from their manifest on (written last), so callers use
the same functions for both.

`crash_point` marks each instant at which a kill would leave the disk in a
different state. The fault tests enumerate these instants and end the process
at each of them in turn.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, TypeAlias

from etils import epath

from tooldev_jax.errors import UserError

# A string or a path, local or gs://. etils ships no types to say so.
PathLike: TypeAlias = Any


class DamagedFileError(UserError, ValueError):
  """A file of this project does not hold what was written to it."""


_observer: Callable[[str], None] | None = None


def observe_crash_points(observer: Callable[[str], None] | None) -> None:
  """Calls `observer(label)` at every crash point; None stops it."""
  global _observer
  _observer = observer


def crash_point(label: str) -> None:
  """Marks an instant just before or after the disk changes."""
  if _observer is not None:
    _observer(label)


def _is_local(path: epath.Path) -> bool:
  return "://" not in os.fspath(path)


def absolute(path: PathLike) -> epath.Path:
  """The path from the root on; checkpoints cannot be written to others."""
  path = epath.Path(path)
  return epath.Path(os.path.abspath(path)) if _is_local(path) else path


def _fsync_folder(folder: epath.Path) -> None:
  """Makes a rename in `folder` survive a power cut."""
  fd = os.open(os.fspath(folder), os.O_RDONLY)
  try:
    os.fsync(fd)
  finally:
    os.close(fd)


def write_bytes(path: PathLike, data: bytes) -> None:
  """Writes `data` to `path` atomically, making parent folders as needed."""
  write_pieces(path, (data,))


def write_pieces(path: PathLike, pieces: Iterable[bytes | memoryview]) -> None:
  """The same for a file larger than memory should hold at once."""
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  if not _is_local(path):
    crash_point(f"before write {path.name}")
    with path.open("wb") as f:
      for piece in pieces:
        f.write(piece)
    crash_point(f"after write {path.name}")
    return
  temporary = path.parent / f".{path.name}.tmp"
  crash_point(f"before write {path.name}")
  with open(os.fspath(temporary), "wb") as f:
    for piece in pieces:
      f.write(piece)
    f.flush()
    crash_point(f"before fsync {path.name}")
    os.fsync(f.fileno())
  crash_point(f"before rename {path.name}")
  os.replace(os.fspath(temporary), os.fspath(path))
  crash_point(f"after rename {path.name}")
  _fsync_folder(path.parent)


def write_text(path: PathLike, text: str) -> None:
  """Writes UTF-8 `text` to `path` atomically.

  Half a character (a lone surrogate, which JSON text from anywhere may hold)
  is written as its escape; in JSON that means the same.
  """
  write_bytes(path, text.encode("utf-8", "backslashreplace"))


def dumps(value: Any) -> str:
  """One JSON text for one value: sorted keys, so equal values, equal bytes."""
  return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)


def digest(values: Iterable[Any]) -> str:
  """SHA-256 of JSON values, in their order."""
  found = hashlib.sha256()
  for value in values:
    found.update(dumps(value).encode())
    found.update(b"\n")
  return found.hexdigest()


def write_json(path: PathLike, value: Any) -> None:
  """Writes `value` as indented JSON with sorted keys, atomically."""
  text = json.dumps(
    value, ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False
  )
  write_text(path, text + "\n")


def read_json(path: PathLike) -> Any:
  """Reads one JSON file."""
  return json.loads(epath.Path(path).read_text(encoding="utf-8"))


def write_jsonl(path: PathLike, rows: Iterable[Mapping[str, Any]]) -> None:
  """Writes rows as JSON lines, atomically as one file."""
  write_text(path, "".join(dumps(row) + "\n" for row in rows))


def read_jsonl(path: PathLike) -> list[Any]:
  """Reads a JSON-lines file that this project wrote.

  Raises:
    DamagedFileError: a line is not JSON; names it.
  """
  path = epath.Path(path)
  return _parse_lines(path.read_bytes(), path)


def _parse_lines(data: bytes, path: epath.Path) -> list[Any]:
  rows = []
  for number, line in enumerate(data.split(b"\n"), start=1):
    try:
      rows += [json.loads(line.decode())] if line else []
    except ValueError as error:
      raise DamagedFileError(
        f"{path}, line {number}: not JSON ({error}). The file is damaged, and"
        " was left as it is; move it away to make it again."
      ) from error
  return rows


REMOTE_SECONDS = 30.0


class JsonlLog:
  """An append-only JSON-lines file that a kill can only cut after a line.

  Reopening drops a torn last line. Each `append` writes and flushes one line,
  so what was appended before a SIGKILL is there afterwards.

  Object stores cannot append. There the whole file is written anew, at most
  every REMOTE_SECONDS and when it is closed; a kill loses what came since.
  """

  def __init__(self, path: PathLike):
    self.path = epath.Path(path)
    self.path.parent.mkdir(parents=True, exist_ok=True)
    self.rows: list[Any] = []
    whole = 0
    if self.path.exists():
      data = self.path.read_bytes()
      whole = data.rfind(b"\n") + 1
      self.rows = _parse_lines(data[:whole], self.path)
      if whole < len(data):
        with open(os.fspath(self.path), "r+b") as f:
          f.truncate(whole)
    self._written = time.monotonic()
    self._file: IO[bytes] | None = None
    if _is_local(self.path):
      self._file = open(os.fspath(self.path), "ab")  # noqa: SIM115

  def append(self, row: Mapping[str, Any]) -> None:
    """Adds one row and hands it to the operating system."""
    crash_point(f"before append {self.path.name}")
    self.rows.append(dict(row))
    if self._file is not None:
      line = dumps(row) + "\n"
      self._file.write(line.encode("utf-8", "backslashreplace"))
      self._file.flush()
    elif time.monotonic() - self._written >= REMOTE_SECONDS:
      self._write_whole()
    crash_point(f"after append {self.path.name}")

  def close(self) -> None:
    """Flushes to disk and closes."""
    if self._file is None:
      self._write_whole()
      return
    os.fsync(self._file.fileno())
    self._file.close()

  def _write_whole(self) -> None:
    write_jsonl(self.path, self.rows)
    self._written = time.monotonic()

  def __enter__(self) -> "JsonlLog":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()
