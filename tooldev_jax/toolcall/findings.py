"""Findings: what is wrong with a tool or a call, and where."""

import dataclasses
import enum


class Reason(enum.StrEnum):
  """The kind of a finding."""

  # Of a definition.
  BAD_NAME = "bad_name"  # blank, longer than 256, or not printable
  DUPLICATE_NAME = "duplicate_name"  # two tools of one set
  NO_DESCRIPTION = "no_description"  # of the tool
  UNDESCRIBED_PARAMETER = "undescribed_parameter"
  NOT_AN_OBJECT = "not_an_object"  # the parameters, as a schema
  BAD_SCHEMA = "bad_schema"  # against the meta-schema of JSON Schema
  UNTYPED_PARAMETER = "untyped_parameter"
  UNKNOWN_TYPE = "unknown_type"
  UNKNOWN_REQUIRED = "unknown_required"  # required, but described nowhere
  BAD_DEFAULT = "bad_default"  # does not fit its own parameter
  BAD_ENUM = "bad_enum"  # a value of another type, or twice the same
  BAD_REFERENCE = "bad_reference"  # to nothing, or to another document
  UNKNOWN_PATTERN = "unknown_pattern"  # wrong, or beyond `toolcall.patterns`
  TOO_LARGE = "too_large"
  TOO_COSTLY = "too_costly"  # a check, also of a call, was given up

  # Of a call.
  UNKNOWN_TOOL = "unknown_tool"
  UNSOUND_TOOL = "unsound_tool"  # its schema cannot judge a call
  MISSING_ARGUMENT = "missing_argument"
  UNKNOWN_ARGUMENT = "unknown_argument"
  WRONG_TYPE = "wrong_type"
  NOT_IN_ENUM = "not_in_enum"
  OUT_OF_RANGE = "out_of_range"  # of a number, length or count
  BAD_PATTERN = "bad_pattern"  # the text does not match
  BAD_FORMAT = "bad_format"
  NO_ALTERNATIVE = "no_alternative"  # fits no branch, or too many

  # Of a call, given the query.
  UNGROUNDED = "ungrounded"


# What makes a definition unusable, wherever it came from: it cannot be shown to
# a model under its name, or no call of it can be judged. The other findings of
# a definition (no description, an odd default, a pattern that is not checked)
# are matters of taste.
UNSOUND = frozenset(
  (
    Reason.BAD_NAME,
    Reason.DUPLICATE_NAME,
    Reason.NOT_AN_OBJECT,
    Reason.BAD_SCHEMA,
    Reason.UNKNOWN_TYPE,
    Reason.BAD_REFERENCE,
    Reason.TOO_LARGE,
  )
)


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing that is wrong.

  Attributes:
    reason: for counting.
    where: JSON pointer into the tool's or the call's JSON.
    detail: for people: what was found and what is allowed.
  """

  reason: Reason
  where: str
  detail: str

  @property
  def unsound(self) -> bool:
    """Whether it makes a definition unusable; see `UNSOUND`."""
    return self.reason in UNSOUND


def pointer(*steps: str | int) -> str:
  """The JSON pointer of a path, such as `/arguments/city`."""
  return "".join(
    "/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps
  )
