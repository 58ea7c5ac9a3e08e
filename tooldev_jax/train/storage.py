"""What an error of the storage means: no space, damage, or a passing fault."""

import json
import re
import shutil
from collections.abc import Iterator

from etils import epath

from tooldev_jax.errors import UserError

# How TensorStore says that a file does not hold what was written to it. An
# invalid argument (here: bytes that are no metadata) has no code in front.
_DAMAGED = re.compile(
  r"(DATA_LOSS|OUT_OF_RANGE|NOT_FOUND|FAILED_PRECONDITION): |Error (open|read)"
)
# The operating system refused an operation; ENOENT, 2, is a missing file.
_SYSTEM_ERROR = re.compile(r"os_error_code='(?!2')\d+'")


class DiskFullError(UserError):
  """Something does not fit on the disk."""


def is_damage(error: BaseException) -> bool:
  """Whether an error proves that files are not as they were written.

  Anything that is not known to prove it may pass: no memory on the host or the
  device, a disk or network that does not answer, a right that is missing.
  """
  proofs = (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError)
  for cause in _causes(error):
    if isinstance(cause, proofs):
      return True
    if isinstance(cause, ValueError):
      text = str(cause)
      return bool(_DAMAGED.match(text)) and not _SYSTEM_ERROR.search(text)
    # Orbax wraps what TensorStore raised in a plain Exception.
    if type(cause) is not Exception:
      return False
  return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
  while error is not None:
    yield error
    error = error.__cause__


def is_disk_full(error: BaseException) -> bool:
  """Whether an error, Python's or the storage's, is about space."""
  signs = ("No space left", "File too large", "quota exceeded")
  return any(sign in str(error) for sign in signs)


def disk_full(folder: epath.Path, need: int) -> DiskFullError:
  """The error that says how much space is missing.

  Args:
    folder: the one that takes no more.
    need: bytes that were to be written; 0 if that is not known.
  """
  wanted = (
    f"{need / 2**20:,.1f} MiB are to be written" if need else "it is full"
  )
  # The folder itself may not exist yet.
  existing = next(path for path in (folder, *folder.parents) if path.exists())
  free = shutil.disk_usage(existing).free / 2**20
  return DiskFullError(
    f"no space in {folder}: {wanted} and {free:,.1f} MiB are free. Make room"
    " and run the same command again: it goes on from the last whole checkpoint"
  )
