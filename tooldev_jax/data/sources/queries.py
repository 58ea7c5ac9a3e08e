"""Requests without tools or calls: TaskBench and MetaTool.

TaskBench: `{"domain", "id", "user_request"}`. MetaTool: `{"Query", "Tool"}`;
the plugin's name is kept in the provenance. Such examples are what a model
labels itself in the rounds; they have `"labelled": false`.
"""

from collections.abc import Sequence

from etils import epath

from tooldev_jax.data.sources import dialogues, rows
from tooldev_jax.tools import jsontext, vocabulary


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
