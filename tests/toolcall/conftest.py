import gzip
import json

import pytest


@pytest.fixture
def write(tmp_path):
  """Writes documents, one a line in `.jsonl`, and returns the path."""

  def write(name, *documents):
    text = "\n".join(
      document if isinstance(document, str) else json.dumps(document)
      for document in documents
    )
    data = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path

  return write
