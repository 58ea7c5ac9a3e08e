"""An assistant turn, its bounds, and the errors of reading and writing it."""

import dataclasses
import enum

from tooldev_jax.toolcall.vocabulary import Call

MAX_CHARS = 256 * 1024  # of a turn
MAX_CALLS = 256  # of a turn
MAX_VALUES = 2048  # in all calls of a turn, counting the inner ones
MAX_DEPTH = 64  # of lists and objects in the arguments of a call
MAX_DIGITS = 1000  # characters of a number


@dataclasses.dataclass(frozen=True)
class Turn:
  """One assistant turn.

  Attributes:
    text: all that is outside calls, pieces joined by a newline, without white
      space or code fences around the calls.
    calls: in the order written.
  """

  text: str
  calls: tuple[Call, ...] = ()


class ParseReason(enum.StrEnum):
  """Why a turn cannot be read."""

  TOO_LONG = "too_long"  # more than MAX_CHARS
  TOO_MANY_CALLS = "too_many_calls"  # more than MAX_CALLS
  TOO_MANY_VALUES = "too_many_values"  # more than MAX_VALUES
  TOO_DEEP = "too_deep"  # more than MAX_DEPTH
  UNTERMINATED = "unterminated"  # the text ends inside a call
  EXPECTED_CALL = "expected_call"
  EXPECTED_NAME = "expected_name"  # of an argument, or a key
  EXPECTED_SEPARATOR = "expected_separator"  # a comma, colon or bracket
  BAD_VALUE = "bad_value"  # neither JSON nor a Python literal
  BAD_NUMBER = "bad_number"
  BAD_ESCAPE = "bad_escape"
  NOT_FINITE = "not_finite"  # NaN, infinity, or a float beyond 1.8e308
  POSITIONAL_ARGUMENT = "positional_argument"  # f("x"): x of what?
  NESTED_CALL = "nested_call"  # f(a=g())
  DUPLICATE_NAME = "duplicate_name"  # f(a=1, a=2), or two equal keys
  MISSING_NAME = "missing_name"  # a JSON call that does not say of what
  BAD_ARGUMENTS = "bad_arguments"  # a JSON call whose arguments are no object
  UNKNOWN_KEY = "unknown_key"  # a JSON call with a key that means nothing


class ParseError(ValueError):
  """A turn that attempts a call and cannot be read.

  Attributes:
    reason: the kind of failure, for counting.
    position: 0-based index of the character at which reading stopped.
    message: for people.
  """

  def __init__(self, reason: ParseReason, position: int, message: str):
    super().__init__(f"{reason} at {position}: {message}")
    self.reason = reason
    self.position = position
    self.message = message


class RenderError(ValueError):
  """Calls or text that cannot be written so that they are read back equal."""
