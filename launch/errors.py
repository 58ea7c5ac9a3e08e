"""How launchers end: a user's mistake is a sentence, not a traceback."""

import contextlib
import errno
import signal
import sys
from collections.abc import Iterator

EXIT_FAILED = 1
EXIT_USER_ERROR = 2
# What a preempted job returns, so that a scheduler starts it again
# (EX_TEMPFAIL of sysexits.h).
EXIT_PREEMPTED = 75

# What a disk, a folder or a right that is not there gives. Others are bugs.
_OF_THE_USER = (
  errno.ENOSPC,
  errno.EDQUOT,
  errno.EACCES,
  errno.EPERM,
  errno.EROFS,
  errno.ENOTDIR,
  errno.EISDIR,
  errno.EEXIST,
  errno.ENAMETOOLONG,
)


class _Stopped(BaseException):
  """SIGTERM came. Not an Exception: nothing is to go on after it."""


@contextlib.contextmanager
def shown_plainly() -> Iterator[None]:
  """Turns user errors and preemption into a line and an exit status."""
  # Not above: importing it takes seconds, and --help should not.
  from tooldev_jax.errors import UserError
  from tooldev_jax.train.loop import NonFiniteError, Preempted

  try:
    yield
  except UserError as e:
    _end(f"error: {e}", EXIT_USER_ERROR)
  except NonFiniteError as e:
    _end(f"error: {e}", EXIT_FAILED)
  except OSError as e:
    if e.errno not in _OF_THE_USER:
      raise
    what = f"{e.strerror}: {e.filename}" if e.filename else str(e)
    _end(
      f"error: {what}. Nothing that was complete is lost; the same command"
      " goes on once this is mended.",
      EXIT_USER_ERROR,
    )
  except Preempted as e:
    _end(str(e), EXIT_PREEMPTED)
  except _Stopped:
    _end("stopped on request; the same command goes on", EXIT_PREEMPTED)


def stop_on_sigterm() -> None:
  """Has SIGTERM end what `shown_plainly` holds with its status and a line.

  Every file is written whole or not at all, so this may happen anywhere.
  Training puts a handler of its own in its place for as long as it runs, and
  saves first.
  """

  def stop(*_: object) -> None:
    raise _Stopped

  signal.signal(signal.SIGTERM, stop)


def _end(line: str, status: int) -> None:
  print(line, file=sys.stderr)
  sys.exit(status)
