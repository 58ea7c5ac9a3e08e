"""Text of files, gzipped or not."""

import gzip
import os
import zlib

from etils import epath

from tooldev_jax.errors import UserError


def read_text(path: epath.Path) -> str:
  """The text of a file; one whose name ends in `.gz` is unpacked.

  Raises:
    UserError: it cannot be read, is no UTF-8 text, or no gzip although named
      so.
  """
  try:
    data = path.read_bytes()
    if path.name.endswith(".gz"):
      data = gzip.decompress(data)
    return data.decode("utf-8-sig")
  except (OSError, EOFError, zlib.error, ValueError) as error:
    raise UserError(f"{os.fspath(path)}: cannot be read: {error}") from error
