"""200 broken copies of each input end in a result or in an error of our own.

`CASES` is a table: a name, what kind of text it is (see `mutations`), a good
text, what reads it, and the errors that its reader may raise. To try another
reader, add a line. A failure names the seed, and `mutations.mutated` makes the
same copy again.
"""

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable

import pytest

from tests.toolcall import mutations
from tooldev_jax.data import toolparse
from tooldev_jax.errors import UserError
from tooldev_jax.toolcall import (
  canonical,
  checks,
  importers,
  jsontext,
  yamltext,
)
from tooldev_jax.toolcall.formats import CALL_FORMATS, ParseError
from tooldev_jax.toolcall.vocabulary import Tool

COPIES = 200
# Of processor time, for one copy: far above what any takes, so that only a
# search without a bound fails.
MAX_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Case:
  """An input and who reads it.

  Attributes:
    name: of the case.
    kind: a key of `mutations.mutated`.
    text: a good input.
    read: takes a text, and the folder of the test for files.
    errors: what `read` may raise.
  """

  name: str
  kind: str
  text: str
  read: Callable[[str, pathlib.Path], object]
  errors: tuple[type[Exception], ...] = (UserError,)


def of_file(
  name: str, read: Callable[[pathlib.Path], object]
) -> Callable[[str, pathlib.Path], object]:
  """A reader of texts, made of one that reads a file of this name."""

  def read_text(text: str, folder: pathlib.Path) -> object:
    path = folder / name
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return read(path)

  return read_text


def _import(path: pathlib.Path) -> None:
  """Imports tools; all that comes out is sound, and places are named."""
  imported = importers.import_tools(path)
  for tool in imported.tools:
    assert not any(one.unsound for one in checks.check_tool(tool))
    assert Tool.loads(tool.dumps()) == tool
  for one in (*imported.refused, *imported.left_out):
    assert one.where.startswith(path.name)
    assert one.reason and one.detail


def _of_json(text: str, folder: pathlib.Path) -> None:
  assert jsontext.load(jsontext.dump(jsontext.load(text))) == jsontext.load(
    text
  )


def _of_yaml(text: str, folder: pathlib.Path) -> None:
  for _, value in yamltext.load_all(text):
    assert jsontext.load(jsontext.dump(value)) == value


def _of_made_tools(text: str, folder: pathlib.Path) -> None:
  checks.check_tools(toolparse.parse_tools(text))


def _openapi(**operation: object) -> str:
  document = {
    "openapi": "3.0.3",
    "info": {"title": "Shop", "version": "1"},
    "paths": {"/shelves/{shelf}/books/{book}": {"post": operation}},
    "components": {
      "schemas": {
        "Book": {
          "type": "object",
          "properties": {
            "title": {"type": "string", "maxLength": 40},
            "pages": {"type": "integer", "minimum": 1, "nullable": True},
            "part_of": {"$ref": "#/components/schemas/Book"},
          },
          "required": ["title", "isbn"],
        }
      }
    },
  }
  return json.dumps(document)


def _body(schema: object) -> dict[str, object]:
  return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


_BOOK = {"$ref": "#/components/schemas/Book"}
_MORE = {
  "properties": {
    "title": {"enum": ["Emma", "Persuasion"], "default": "Emma"},
    "part_of": {"properties": {"pages": {"maximum": 900}}},
  },
  "required": ["pages"],
}
_ROWS = [{"name": "room", "type": "STRING", "description": "Which room."}]
_TABLE = {"room": {"type": "str", "description": "Which room.", "default": ""}}
_SCHEMA = {
  "type": "object",
  "properties": {
    "room": {"type": "string", "pattern": "^[A-Z]"},
    "warmth": {"anyOf": [{"type": "number"}, {"type": "null"}]},
  },
  "required": ["room", "hour"],
}
_YAML = """\
openapi: 3.0.3
info: {title: Heating, version: '1'}
paths:
  /rooms/{room}/heat:
    parameters: &shared
      - {name: room, in: path, required: true, schema: {type: string}}
    post:
      operationId: heat_room
      description:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                degrees:
                  type: number
                  description:
                  maximum: 30.0
                until: {type: string, examples: {one: {value: '12:30'}}}
    delete: {operationId: cool_room, parameters: *shared}
"""


def _lines(*records: object) -> str:
  return "\n".join(map(json.dumps, records))


IMPORTED = {
  "allOf": ("json", _openapi(**_body({"allOf": [_BOOK, _MORE]}))),
  "path variables": (
    "json",
    _openapi(parameters=[{"name": "book", "in": "path", "schema": {}}]),
  ),
  "required elsewhere": ("json", _openapi(operationId="add", **_body(_BOOK))),
  "made names": (
    "json",
    json.dumps(
      {
        "swagger": "2.0",
        "paths": {
          "/書籍": {"get": {}},
          "/a.b": {"get": {"parameters": [{"name": "b", "in": "body"}]}},
          "/a/{b}": {"get": {"summary": "B"}},
        },
      }
    ),
  ),
  "empty keys": ("yaml", _YAML),
  "toolbench": (
    "jsonl",
    _lines(
      {"api_name": "heat", "api_description": "Heats.", "method": "GET",
       "required_parameters": _ROWS, "optional_parameters": []},
      {"tool_name": "home", "api_list": [
        {"name": "cool", "description": "Cools.", "schema": {"a": 1},
         "required_parameters": [], "optional_parameters": _ROWS}]},
    ),
  ),
  "gorilla": (
    "jsonl",
    _lines(
      {"api_name": "heat", "functionality": "Heats a room.",
       "api_call": "heat(room)",
       "api_arguments": {"room": "[REQUIRED] string: which room"}},
    ),
  ),
  "agent libraries": (
    "json",
    json.dumps(
      [
        {"name": "a", "description": "A.", "input_schema": _SCHEMA},
        {"type": "function", "function": {"name": "b", "parameters": _SCHEMA}},
        {"function_declarations": [{"name": "c", "parameters": _SCHEMA}]},
        {"toolSpec": {"name": "d", "inputSchema": {"json": _SCHEMA}}},
        {"name": "e", "description": "E.", "parameter_definitions": _TABLE},
        {"name": "g", "description": "G.", "parameters": _ROWS},
        {"name": "h", "description": "H.", "args": _TABLE, "required": ["x"]},
      ]
    ),
  ),
  "servers": (
    "jsonl",
    _lines(
      {"server": "s", "tools": [{"name": "f", "inputSchema": _SCHEMA}]},
      {"id": 1, "tools": json.dumps([{"name": "f", "parameters": _TABLE}])},
      {"heat": {"description": "Heats.", "parameters": _SCHEMA}},
    ),
  ),
}  # fmt: skip

_OFFERED = (
  Tool("weather", "W.", {"type": "object", "properties": {"city": _SCHEMA}}),
  Tool("list_alarms", "L.", {"type": "object", "properties": {}}),
  Tool("Plate (EU) Look-up, fast", "P."),
)
_DRAFT = "Maybe {0}, no: the user said Oslo.\n</think>\n\n{0}"
_SAMPLE = """Here is a body that you could post:

```json
{"name": "make_user", "arguments": {"id": 7}}
```

Adjust the id."""
TURNS = {
  "pythonic": (
    _DRAFT.format('[weather(city="Oslo")]'),
    '[Plate (EU) Look-up, fast(plate="AB12", n=[1, {"a": None}])]',
    '[weather(city="a" r"\\b", n=0x1F + 2 * (3 - 4) ** 2, e="\\N{EURO SIGN}")]',
    "The chance is [P(A=1)], so\n[list_alarms(), weather(city='Oslo')]",
  ),
  "hermes": (
    _DRAFT.format('<tool_call>\n{"name": "weather"}\n</tool_call>'),
    '<tool_call>\n{"name": "list_alarms", "arguments": ""}\n</tool_call>',
    f'{_SAMPLE}\n{{"name": "list_alarms", "arguments": " {{}} "}}',
  ),
  "llama": (
    _DRAFT.format('{"name": "weather", "parameters": {"city": "Oslo"}}'),
    '{"name": "list_alarms", "parameters": null}; {"name": "weather", '
    '"parameters": "{\\"city\\": \\"Oslo\\"}"}',
    _SAMPLE,
  ),
  "mistral": (
    _DRAFT.format('[TOOL_CALLS][{"name": "weather", "arguments": {}}]'),
    '[TOOL_CALLS]weather{"city": "hi {you}"}[TOOL_CALLS]list_alarms[ARGS]{}',
    '[TOOL_CALLS]weather{"city": "Oslo"}, list_alarms{}\nDone.',
  ),
}


def _of_turn(name: str) -> Callable[[str, pathlib.Path], object]:
  """Reads a turn; calls can be judged, and come back when written again."""
  form = CALL_FORMATS[name]
  names = [tool.name for tool in _OFFERED]

  def read(text: str, folder: pathlib.Path) -> None:
    with contextlib.suppress(ParseError):
      form.parse(text)
    known = form.parse(text, names)
    for call in known.calls:
      assert form.parse(form.render([call])).calls == (call,)
      checks.check_call(call, _OFFERED)
      checks.check_grounded(call, _OFFERED[0], text)
    canonical.canonical_key(known.calls, _OFFERED)

  return read


CASES = (
  # Importers: documents of tools.
  *(
    Case(f"import: {name}", kind, text, of_file(f"tools.{kind}", _import))
    for name, (kind, text) in IMPORTED.items()
  ),
  # Texts that become JSON values, and tools that a model made.
  Case("json", "json", json.dumps(_SCHEMA), _of_json,
       (jsontext.JsonTextError,)),
  Case("yaml", "yaml", _YAML, _of_yaml, (yamltext.YamlTextError,)),
  Case("made tools", "text",
       json.dumps([{"name": "f", "parameters": _SCHEMA}]), _of_made_tools,
       (toolparse.ToolParseError,)),
  # Turns, with and without the names of the offered tools.
  *(
    Case(f"turn: {name}, {index}", "text", text, _of_turn(name),
         (ParseError,))
    for name, texts in TURNS.items()
    for index, text in enumerate(texts)
  ),
  # Sources of examples: `of_file("rows.jsonl", lambda path: read_examples(…))`.
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_copy_is_read_or_refused_and_nothing_else(case, tmp_path):
  case.read(case.text, tmp_path)  # The good one is read.
  ends = set()
  for seed in range(COPIES):
    text = mutations.mutated(case.text, case.kind, seed)
    start = time.process_time()
    try:
      case.read(text, tmp_path)
      ends.add("read")
    except case.errors as error:
      assert str(error)
      ends.add("refused")
    except Exception as error:
      raise AssertionError(f"seed {seed}: {text[:2000]!r}") from error
    assert time.process_time() - start < MAX_SECONDS, f"seed {seed}"
  assert "read" in ends


@pytest.mark.parametrize("kind", ["json", "jsonl", "yaml", "text", "template"])
def test_a_seed_gives_the_same_copy_again(kind):
  text = '{"a": {"b": [1, "c"]}, "d": null}'
  copies = [mutations.mutated(text, kind, seed) for seed in range(50)]
  again = [mutations.mutated(text, kind, seed) for seed in range(50)]
  assert copies == again
  assert len(set(copies)) > 30
  assert sum(one == text for one in copies) < 10
