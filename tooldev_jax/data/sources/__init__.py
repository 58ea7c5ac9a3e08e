"""Files of many kinds, read as examples.

`SOURCES` is the table of kinds; another kind is one more reader in it. A bad
row never stops the rest and is never skipped in silence: it comes back as a
`BadRow` with its line and a reason. Whether too many are bad is for the caller
to say (`Read.require`), with a limit from the config.
"""

from collections.abc import Callable, Mapping

from etils import epath

from tooldev_jax import errors, io
from tooldev_jax.data.sources import (
  bfcl,
  documents,
  hermes,
  openai,
  queries,
  records,
  seal_tools,
  sgd,
  toolace,
  toolrl,
  xlam,
)
from tooldev_jax.data.sources.dialogues import split_turns
from tooldev_jax.data.sources.rows import BadRow, Read, RowError, SourceError

SOURCES: Mapping[str, Callable[[epath.Path], Read]] = {
  "records": records.read,
  "toolace": toolace.read,
  "xlam": xlam.read,
  "hermes": hermes.read,
  "glaive": hermes.read_glaive,
  "openai": openai.read,
  "seal_tools": seal_tools.read,
  "toolrl": toolrl.read,
  "sgd": sgd.read,
  "sgd_documents": sgd.read_documents,
  "bfcl": bfcl.read,
  "documents": documents.read,
  "queries": queries.read,
  "taskbench": queries.read_taskbench,
  "metatool": queries.read_metatool,
}


def read_examples(path: io.PathLike, kind: str) -> Read:
  """Reads the file at `path` as the kind of source that it is.

  Args:
    path: a file, gzipped where its name ends in `.gz`.
    kind: a key of `SOURCES`.

  Raises:
    UserError: an unknown kind, or a file that is missing or is no such file
      at all. Bad rows do not raise; they are in the result.
  """
  if kind not in SOURCES:
    raise errors.UserError(
      f"source kind {kind!r} is not known; allowed: {', '.join(SOURCES)}"
    )
  path = epath.Path(path)
  if not path.exists():
    raise SourceError(f"{path}: there is no such file")
  return SOURCES[kind](path)


__all__ = [
  "SOURCES",
  "BadRow",
  "Read",
  "RowError",
  "SourceError",
  "read_examples",
  "split_turns",
]
