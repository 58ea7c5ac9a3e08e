"""What importers have in common: entries in, tools and refusals out."""

import dataclasses
import enum
from collections.abc import Callable
from typing import NoReturn

from tooldev_jax.toolcall.vocabulary import Tool


class RefusalReason(enum.StrEnum):
  """Why something in a document did not become a tool, or not all of it.

  A definition that was read but is unsound is refused with the
  `findings.Reason` of what is wrong with it.
  """

  NOT_TEXT = "not_text"  # a file of a folder
  NOT_JSON = "not_json"
  NOT_YAML = "not_yaml"
  UNKNOWN_KIND = "unknown_kind"  # no importer knows such a document
  BAD_RECORD = "bad_record"  # a field is missing, or of the wrong type
  UNKNOWN_PARAMETERS = "unknown_parameters"  # written in a way not known here
  BAD_REFERENCE = "bad_reference"
  TOO_LARGE = "too_large"
  DUPLICATE_NAME = "duplicate_name"  # within one document
  LEFT_OUT = "left_out"  # a detail of a tool that was imported


@dataclasses.dataclass(frozen=True)
class Refusal:
  """Something that did not become a tool, or a detail that is not in one.

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
  """All that came out of a file, in its order.

  Attributes:
    tools: the tools.
    refused: what did not become a tool.
    left_out: details that the tools lack, since they could not be read or have
      no place in a definition.
  """

  tools: tuple[Tool, ...]
  refused: tuple[Refusal, ...]
  left_out: tuple[Refusal, ...] = ()


class Refused(Exception):
  """Raised by an importer where one entry cannot become a tool."""

  def __init__(self, reason: RefusalReason, detail: str):
    super().__init__(f"{reason}: {detail}")
    self.reason = reason
    self.detail = detail


def refuse(
  detail: str, reason: RefusalReason = RefusalReason.BAD_RECORD
) -> NoReturn:
  """Raises Refused."""
  raise Refused(reason, detail)


Tell = Callable[[str], None]  # Takes a detail that is left out of a tool.


@dataclasses.dataclass(frozen=True)
class Entry:
  """A place in a document that should become a tool.

  Attributes:
    where: JSON pointer into the document.
    build: makes the tool, and tells what it leaves out; raises Refused or
      MalformedError.
  """

  where: str
  build: Callable[[Tell], Tool]


def refused_entry(where: str, error: Refused) -> Entry:
  """A place that cannot become a tool."""

  def build(tell: Tell) -> Tool:
    raise error

  return Entry(where, build)
