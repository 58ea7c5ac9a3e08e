"""Requests without tools or calls: plain lists, TaskBench and MetaTool.

A list is plain text with a request a line (`.txt`), or JSON lines or one JSON
list of texts or of objects with one of `_FIELDS`. TaskBench: `{"domain", "id",
"user_request"}`. MetaTool: `{"Query", "Tool"}`; the plugin's name is kept in
the provenance. Such examples are what a model labels itself in the rounds; they
have `"labelled": false`.
"""

from etils import epath

from tooldev_jax.data.sources import rows
from tooldev_jax.toolcall import textfile, vocabulary
from tooldev_jax.toolcall.jsontext import Json

_FIELDS = ("query", "question", "instruction", "request", "text", "prompt")


def read(path: epath.Path) -> rows.Read:
  """Reads one request a line of text, or a row."""
  if not path.name.removesuffix(".gz").endswith(".txt"):
    return rows.read_rows(path, "queries", _listed)
  return rows.Read(
    tuple(
      _query(text.strip(), f"query-{line}", source="queries", line=line)[0]
      for line, text in rows.filled_lines(textfile.read_text(path))
    )
  )


def _listed(row: Json) -> list[vocabulary.Example]:
  row = rows.record({"query": row} if isinstance(row, str) else row)
  text = rows.text_field(row, *_FIELDS)
  return _query(text, "" if row.get("id") is None else f"query-{row['id']}")


def _taskbench(row: rows.Row) -> list[vocabulary.Example]:
  text = rows.text_field(row, "user_request")
  return _query(text, f"taskbench-{row.get('id')}", category=row.get("domain"))


def _metatool(row: rows.Row) -> list[vocabulary.Example]:
  text = rows.text_field(row, "Query", "query")
  return _query(text, "", plugin=row.get("Tool"))


def _query(
  text: str, example_id: str, **known: Json
) -> list[vocabulary.Example]:
  message = vocabulary.Message("user", text)
  known["labelled"] = False
  return [vocabulary.Example(example_id, (message,), provenance=known)]


read_taskbench = rows.reader("taskbench", _taskbench)
read_metatool = rows.reader("metatool", _metatool)
