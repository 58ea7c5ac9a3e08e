"""Requests without tools or calls: plain lists, TaskBench and MetaTool.

A list is plain text with a request a line (`.txt`), or JSON lines or one JSON
list of texts or of objects with one of `_FIELDS`. TaskBench: `{"domain", "id",
"user_request"}`. MetaTool: `{"Query", "Tool"}`; the plugin's name is kept in
the provenance. Such examples are what a model labels itself in the rounds; they
have `"labelled": false`.
"""

from collections.abc import Sequence

from etils import epath

from tooldev_jax.data.sources import dialogues, rows
from tooldev_jax.toolcall import jsontext, textfile, vocabulary

_FIELDS = ("query", "question", "instruction", "request", "text", "prompt")


def read(path: epath.Path) -> rows.Read:
  """Reads one request a line, or a row."""
  if path.name.removesuffix(".gz").endswith(".txt"):
    lines = rows.filled_lines(textfile.read_text(path))
    return rows.Read(
      tuple(
        _query(
          text.strip(), f"query-{line}", {"source": "queries", "line": line}
        )
        for line, text in lines
      )
    )

  def row_of(row: jsontext.Json) -> Sequence[vocabulary.Example]:
    return [_of_list(row)]

  return rows.read_lines(path, "queries", row_of)


def _of_list(row: jsontext.Json) -> vocabulary.Example:
  if isinstance(row, str):
    row = {"query": row}
  row = dialogues.record(row)
  identity = row.get("id")
  text = dialogues.text_field(row, *_FIELDS)
  return _query(text, "" if identity is None else f"query-{identity}", {})


def read_taskbench(path: epath.Path) -> rows.Read:
  """Reads one request a line."""

  def row_of(row: jsontext.Json) -> Sequence[vocabulary.Example]:
    row = dialogues.record(row)
    text = dialogues.text_field(row, "user_request")
    known = {"category": row.get("domain")}
    return [_query(text, f"taskbench-{row.get('id')}", known)]

  return rows.read_lines(path, "taskbench", row_of)


def read_metatool(path: epath.Path) -> rows.Read:
  """Reads one request a line."""

  def row_of(row: jsontext.Json) -> Sequence[vocabulary.Example]:
    row = dialogues.record(row)
    text = dialogues.text_field(row, "Query", "query")
    return [_query(text, "", {"plugin": row.get("Tool")})]

  return rows.read_lines(path, "metatool", row_of)


def _query(
  text: str, example_id: str, known: dict[str, jsontext.Json]
) -> vocabulary.Example:
  return vocabulary.Example(
    id=example_id,
    messages=(vocabulary.Message("user", text),),
    provenance={**known, "labelled": False},
  )
