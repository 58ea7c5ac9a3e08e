"""xLAM function calling 60k (Salesforce/xlam-function-calling-60k).

`{"id", "query", "answers", "tools"}`; the last two are JSON text: calls, none
where no tool fits, and tools whose parameters are a flat table. Sets made after
it have tools with a JSON Schema, which are read too.
"""

from collections.abc import Mapping, Sequence

from etils import epath

from tooldev_jax.data.sources import dialogues, flat, rows, toolprompt
from tooldev_jax.toolcall import jsontext, vocabulary


def read(path: epath.Path) -> rows.Read:
  """Reads one query a line, or one JSON list of them as the set has it."""
  return rows.read_lines(path, "xlam", _row)


def _row(row: jsontext.Json) -> Sequence[vocabulary.Example]:
  # The set comes as one JSON list in a file.
  if isinstance(row, list):
    return [_example(dialogues.record(item)) for item in row]
  return [_example(dialogues.record(row))]


def _example(row: rows.Row) -> vocabulary.Example:
  query = dialogues.text_field(row, "query")
  answers = dialogues.json_field(row, "answers")
  listed = dialogues.json_field(row, "tools")
  if not isinstance(answers, list) or not isinstance(listed, list):
    raise rows.RowError("answers or tools are no list")
  calls = tuple(vocabulary.Call.from_json(answer) for answer in answers)
  messages = (
    vocabulary.Message("user", query),
    vocabulary.Message("assistant", "", calls),
  )
  identity = row.get("id")
  return dialogues.finish(
    "" if identity is None else f"xlam-{identity}",
    messages,
    [_tool(dialogues.record(tool)) for tool in listed],
    refuses=True,
  )


def _tool(tool: rows.Row) -> vocabulary.Tool:
  parameters = tool.get("parameters")
  is_schema = isinstance(parameters, Mapping) and isinstance(
    parameters.get("type"), str
  )
  if is_schema or tool.get("function") is not None:
    return toolprompt.read_tool(tool)
  return vocabulary.Tool(
    name=dialogues.text_field(tool, "name"),
    description=str(tool.get("description") or ""),
    parameters=flat.schema_of(parameters),
  )
