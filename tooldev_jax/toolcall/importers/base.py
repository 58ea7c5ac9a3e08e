"""What importers have in common: entries in, tools and refusals out."""

import dataclasses
import enum
from collections.abc import Callable, Iterator
from typing import NoReturn

from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Tool


class RefusalReason(enum.StrEnum):
  """Why something in a document did not become a tool.

  A definition that was read but is unsound is refused with the
  `findings.Reason` of what is wrong with it.
  """

  NOT_TEXT = "not_text"  # a file of a folder
  NOT_JSON = "not_json"
  NOT_YAML = "not_yaml"
  UNKNOWN_KIND = "unknown_kind"  # no importer knows such a document
  BAD_RECORD = "bad_record"  # a field is missing, or of the wrong type
  BAD_REFERENCE = "bad_reference"
  TOO_LARGE = "too_large"
  DUPLICATE_NAME = "duplicate_name"  # within one document


@dataclasses.dataclass(frozen=True)
class Refusal:
  """Something that did not become a tool.

  Attributes:
    where: file, line where the file has one document a line, and JSON pointer
      into the document: `servers.jsonl:12#/tools/3`.
    reason: a `RefusalReason` or `findings.Reason`, for counting.
    detail: for people: what was found.
  """

  where: str
  reason: str
  detail: str


@dataclasses.dataclass(frozen=True)
class Imported:
  """All that came out of a file, in its order."""

  tools: tuple[Tool, ...]
  refused: tuple[Refusal, ...]


class Refused(Exception):
  """Raised by an importer where one entry cannot become a tool."""

  def __init__(self, reason: RefusalReason, detail: str):
    super().__init__(f"{reason}: {detail}")
    self.reason = reason
    self.detail = detail


def refuse(detail: str) -> NoReturn:
  """Raises Refused for a field that is missing or of the wrong type."""
  raise Refused(RefusalReason.BAD_RECORD, detail)


@dataclasses.dataclass(frozen=True)
class Entry:
  """A place in a document that should become a tool.

  Attributes:
    where: JSON pointer into the document.
    build: makes the tool; raises Refused or RecordError.
  """

  where: str
  build: Callable[[], Tool]


@dataclasses.dataclass(frozen=True)
class Importer:
  """One kind of document.

  Attributes:
    kind: its name.
    matches: whether a document looks like this kind.
    entries: the places in it that should become tools, in order; raises
      Refused where the document as a whole is none of this kind.
  """

  kind: str
  matches: Callable[[Json], bool]
  entries: Callable[[Json], Iterator[Entry]]
