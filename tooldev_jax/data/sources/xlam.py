"""xLAM function calling 60k (Salesforce/xlam-function-calling-60k).

`{"id", "query", "answers", "tools"}`; the last two are JSON text: calls, none
where no tool fits, and tools whose parameters are a flat table. Sets made after
it have tools with a JSON Schema, which are read too.
"""

from collections.abc import Mapping, Sequence

from tooldev_jax.data.sources import dialogues, flat, padding, rows, toolprompt
from tooldev_jax.toolcall import vocabulary


def _read_row(row: rows.Row) -> Sequence[vocabulary.Example]:
  query = rows.text_field(row, "query")
  answers = rows.json_field(row, "answers")
  listed = rows.json_field(row, "tools")
  if not isinstance(answers, list) or not isinstance(listed, list):
    raise rows.RowError("answers or tools are no list")
  given = [answer for answer in answers if not padding.is_padding(answer)]
  calls = tuple(map(vocabulary.Call.from_json, given))
  messages = (
    vocabulary.Message("user", query),
    vocabulary.Message("assistant", "", calls),
  )
  tools = [_tool(rows.record(x)) for x in listed if not padding.is_padding(x)]
  name = "" if row.get("id") is None else f"xlam-{row['id']}"
  return [dialogues.finish(name, messages, tools, refuses=True)]


def _tool(tool: rows.Row) -> vocabulary.Tool:
  parameters = tool.get("parameters")
  is_schema = isinstance(parameters, Mapping) and isinstance(
    parameters.get("type"), str
  )
  if is_schema or parameters is None:
    return toolprompt.read_tool(tool)
  return vocabulary.Tool(
    name=rows.text_field(tool, "name"),
    description=str(tool.get("description") or ""),
    parameters=flat.schema_of(parameters),
  )


read = rows.reader("xlam", _read_row)
