"""How launchers end: a user's mistake is a sentence, not a traceback."""

import contextlib
import errno
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from absl import app, flags

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


def run(main: Callable[[Sequence[str]], None]) -> None:
  """`absl.app.run`, with a line where a flag of the config is wrong."""
  app.run(main, flags_parser=_parse_flags)


def _parse_flags(argv: list[str]) -> list[str]:
  try:
    rest = app.parse_flags_with_usage(argv)
    config = flags.FLAGS["config"].value
    # What went wrong in loading it is raised by the first use.
    if config is None or hasattr(config, "values"):
      return rest
    what = (
      f"--config: get_config() gives {type(config).__name__}, no ConfigDict"
    )
  except (AttributeError, KeyError) as e:
    what = _unknown_field(argv) or f"--config: {e}"
  except OSError as e:
    # Of several lines; the last says which file, and why not.
    what = f"--config: {str(e).splitlines()[-1].strip()}"
  _end(f"error: {what}", EXIT_USER_ERROR)


def _unknown_field(argv: Sequence[str]) -> str:
  """What is wrong with the first --config.… that no run has."""
  from tooldev_jax import config

  known = [field.path for field in config.fields_of(config.RunConfig)]
  for argument in argv:
    flag = argument.split("=")[0]
    path = flag.removeprefix("--config.")
    # A group may be set as a whole.
    if path == flag or any(f"{x}.".startswith(f"{path}.") for x in known):
      continue
    near = config.nearest_field(config.RunConfig, path)
    return f"{flag}: there is no such field" + (
      f"; did you mean --config.{near}?" if near else ""
    )
  return ""


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


def _end(line: str, status: int) -> NoReturn:
  print(line, file=sys.stderr)
  sys.exit(status)
