"""How launchers end: a user's mistake is a sentence, not a traceback."""

import contextlib
import sys
from collections.abc import Iterator

from tooldev_jax.errors import UserError
from tooldev_jax.train.loop import Preempted

EXIT_USER_ERROR = 2
# What a preempted job returns, so that a scheduler starts it again
# (EX_TEMPFAIL of sysexits.h).
EXIT_PREEMPTED = 75


@contextlib.contextmanager
def shown_plainly() -> Iterator[None]:
  """Turns user errors and preemption into a line and an exit status."""
  try:
    yield
  except UserError as e:
    print(f"error: {e}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)
  except Preempted as e:
    print(str(e), file=sys.stderr)
    sys.exit(EXIT_PREEMPTED)
