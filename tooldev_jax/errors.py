"""Errors that are the user's to mend."""

import contextlib
from collections.abc import Iterator


class UserError(Exception):
  """A mistake in a config, a file or a flag.

  The message names the file, line or field, what was found and what is
  allowed. Launchers print it without a traceback and exit with status 2, so
  it should be readable on its own.
  """


class UnreadableError(UserError):
  """A file could not be read this time. It may be whole, and is left alone."""

  @classmethod
  def of(cls, what: object, error: BaseException) -> "UnreadableError":
    """The error that says what could not be read, and why.

    Args:
      what: a path, or words for what lies there.
      error: what reading it raised.
    """
    return cls(
      f"{what} could not be read ({reason(error)}). Nothing was deleted. Run"
      " the same command again when there is enough memory and the disk"
      " answers; if it still fails, move it away."
    )


def reason(error: BaseException) -> str:
  """What an error is about, in one line: its first cause."""
  while error.__cause__ is not None:
    error = error.__cause__
  line = (str(error).strip().splitlines() or ["no reason given"])[0]
  # TensorStore appends all its settings.
  line = line.partition(" [tensorstore_spec")[0]
  # What happened stands at the end.
  line = line if len(line) <= 400 else "…" + line[-400:]
  return f"{type(error).__name__}: {line}"


@contextlib.contextmanager
def reading(what: object) -> Iterator[None]:
  """Turns failures of the disk or of memory into UnreadableError."""
  try:
    yield
  except Exception as error:
    # JAX says so where a device has no memory left.
    no_memory = "RESOURCE_EXHAUSTED" in str(error)
    if isinstance(error, OSError | MemoryError) or no_memory:
      raise UnreadableError.of(what, error) from error
    raise
