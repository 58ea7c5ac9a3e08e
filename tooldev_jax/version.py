"""Which code made an artefact."""

import hashlib
import pathlib


def code_version() -> str:
  """Digest of this package's sources: a checkout may have no history."""
  digest = hashlib.sha256()
  folder = pathlib.Path(__file__).parent
  for path in sorted(folder.rglob("*.py")):
    digest.update(path.relative_to(folder).as_posix().encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()[:12]
