"""Our own rows: one `Example` a line, as `Example.to_json` writes it."""

from collections.abc import Iterable

from etils import epath

from tooldev_jax import io
from tooldev_jax.data.sources import rows
from tooldev_jax.toolcall import jsontext, vocabulary


def read(path: epath.Path) -> rows.Read:
  """Reads rows of examples; what they say of their origin is kept.

  An id tells a row from the others, so a row whose id came before is bad.
  """
  examples: list[vocabulary.Example] = []
  rejected: list[rows.BadRow] = []
  seen: set[str] = set()
  for line, text in rows.numbered_lines(path):
    try:
      example = _example(rows.load_row(text))
      if example.id in seen:
        raise rows.RowError("an id that came before", example.id)
      seen.add(example.id)
      examples.append(example)
    except (rows.RowError, vocabulary.RecordError) as e:
      rejected.append(rows.bad_row(path, line, e))
  return rows.Read(tuple(examples), tuple(rejected))


def write(path: io.PathLike, examples: Iterable[vocabulary.Example]) -> None:
  """Writes examples as rows, atomically."""
  io.write_jsonl(path, (example.to_json() for example in examples))


def _example(row: jsontext.Json) -> vocabulary.Example:
  example = vocabulary.Example.from_json(row)
  if not example.id:
    raise rows.RowError("no id")
  return example
