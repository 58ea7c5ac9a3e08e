"""Rows as columnar stores give them back: every gap is filled with null."""

import json

import pytest

from tooldev_jax.data import sources
from tooldev_jax.data.sources import padding
from tooldev_jax.toolcall.vocabulary import Call, Tool

_CITY = {"type": "string"}


def _schema(**properties):
  return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
  ("padded", "clean"),
  [
    (_schema(city=_CITY, amount=None), _schema(city=_CITY)),
    (_schema(city={**_CITY, "enum": None, "items": None}), _schema(city=_CITY)),
    (
      _schema(city=_CITY, amount={"type": None, "items": {"type": None}}),
      _schema(city=_CITY),
    ),
    ({**_schema(city=_CITY), "required": None}, _schema(city=_CITY)),
    ({"type": "object", "properties": None}, {"type": "object"}),
    (
      _schema(trip={"type": "object", "properties": {"to": _CITY, "at": None}}),
      _schema(trip={"type": "object", "properties": {"to": _CITY}}),
    ),
    (
      _schema(x={"type": "array", "items": _schema(to=_CITY, at=None)}),
      _schema(x={"type": "array", "items": _schema(to=_CITY)}),
    ),
    (
      _schema(x={"anyOf": [{"type": "string", "enum": None}, None]}),
      _schema(x={"anyOf": [{"type": "string"}]}),
    ),
    (
      {**_schema(x={"$ref": "#/$defs/T"}), "$defs": {"T": _CITY, "U": None}},
      {**_schema(x={"$ref": "#/$defs/T"}), "$defs": {"T": _CITY}},
    ),
    # Null as a value where the schema describes it, and where it does not.
    (
      _schema(x={"type": ["string", "null"], "default": None}),
      _schema(x={"type": ["string", "null"], "default": None}),
    ),
    (_schema(x={**_CITY, "default": None, "const": None}), _schema(x=_CITY)),
    (_schema(x={}), _schema(x={})),
    (_schema(x={"default": None}), _schema(x={"default": None})),
    (_schema(x={"enum": ["a", None]}), _schema(x={"enum": ["a", None]})),
  ],
)
def test_a_null_schema_is_no_schema(padded, clean):
  assert padding.clean_schema(padded) == clean
  tool = padding.read_tool(
    {
      "type": "function",
      "function": {"name": "f", "parameters": padded, "strict": None},
      "name": None,
      "parameters": None,
    }
  )
  assert (tool.name, tool.parameters) == ("f", clean)


_PARAMETERS = {
  "type": "object",
  "properties": {
    "city": _CITY,
    "until": {"type": "string", "nullable": True},
    "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "free": {},
    "extra": {"type": "object"},
    "place": {"type": "object", "properties": {"zip": _CITY}},
    "stops": {
      "type": "array",
      "items": {"type": "object", "properties": {"at": _CITY}},
    },
    "tags": {"type": "array", "items": {"type": "string"}},
    "kind": {"$ref": "#/$defs/Kind"},
  },
  "$defs": {"Kind": {"enum": ["a", "b"]}},
}


@pytest.mark.parametrize(
  ("given", "kept"),
  [
    ({"city": None}, {}),
    ({"city": "A", "amount": None}, {"city": "A"}),
    ({"city": "A", "unknown": 1}, {"city": "A", "unknown": 1}),
    ({"kind": None, "until": None}, {"until": None}),
    ({"limit": None, "free": None}, {"limit": None, "free": None}),
    ({"extra": {"any": None}}, {"extra": {"any": None}}),
    ({"place": {"zip": "1", "street": None}}, {"place": {"zip": "1"}}),
    ({"place": {"zip": None}}, {}),
    (
      {"stops": [{"at": "A", "via": None}, {"at": "B", "via": None}, None]},
      {"stops": [{"at": "A"}, {"at": "B"}]},
    ),
    ({"tags": ["x", None]}, {"tags": ["x"]}),
    ({"tags": []}, {"tags": []}),
  ],
)
def test_a_null_argument_is_padding_unless_the_tool_allows_it(given, kept):
  tool = Tool("f", "", _PARAMETERS)
  assert padding.clean_call(Call("f", given), {"f": tool}).arguments == kept


def test_a_tool_without_parameters_takes_no_nulls():
  for parameters in ({"type": "object"}, {}):
    call = padding.clean_call(
      Call("now", {"city": None}), {"now": Tool("now", "", parameters)}
    )
    assert call.arguments == {}


_TOOLS = [
  {
    "name": "weather",
    "description": "W",
    "parameters": _schema(city={**_CITY, "enum": None}, amount=None),
  },
  {
    "name": "pay",
    "description": None,
    "parameters": _schema(city=None, amount={"type": "number"}),
  },
]
_PADDED = {"city": "Oslo", "amount": None}


@pytest.mark.parametrize(
  ("kind", "row"),
  [
    (
      "openai",
      {
        "messages": [
          {"role": "user", "content": "Rain?", "tool_calls": None,
           "name": None, "weight": None},
          {"role": "assistant", "content": None, "tool_call_id": None,
           "function_call": {"name": None, "arguments": None},
           "tool_calls": [{"id": None, "type": "function",
                           "function": {"name": "weather",
                                        "arguments": _PADDED}}]},
        ],
        "tools": [{"type": "function", "function": t} for t in _TOOLS],
        "functions": None,
      },
    ),
    (
      "xlam",
      {"id": None, "query": "Rain?", "tools": _TOOLS,
       "answers": [{"name": "weather", "arguments": _PADDED}]},
    ),
    (
      "xlam",
      {
        "query": "Rain?",
        "answers": json.dumps([{"name": "weather", "arguments": _PADDED}]),
        "tools": [
          {"name": "weather", "description": "W", "parameters":
           {"city": {"type": "str", "default": None, "enum": None},
            "amount": {"type": None, "default": None}}},
          {"name": None, "parameters": None},
          {"name": "pay", "parameters": {"city": None,
                                         "amount": {"type": "float"}}},
        ],
      },
    ),
    (
      "records",
      {"id": "x", "messages": [{"role": "user", "content": "Rain?",
                                "calls": None, "name": None}],
       "tools": _TOOLS, "calls": [{"name": "weather", "arguments": _PADDED}],
       "answer": None, "provenance": None},
    ),
    (
      "hermes",
      {"conversations": [
        {"from": "human", "value": "Rain?", "weight": None},
        {"from": "gpt", "value": "<tool_call>" + json.dumps(
          {"name": "weather", "arguments": _PADDED}) + "</tool_call>"}],
       "tools": _TOOLS},
    ),
  ],
)  # fmt: skip
def test_padded_rows_of_every_kind_are_what_they_were(tmp_path, kind, row):
  path = tmp_path / "rows.jsonl"
  path.write_text(json.dumps(row))
  read = sources.read_examples(path, kind)
  assert read.rejected == ()
  (example,) = read.examples
  assert example.calls == (Call("weather", {"city": "Oslo"}),)
  described = [sorted(t.parameters["properties"]) for t in example.tools]
  assert described == [["city"], ["amount"]]
  assert "null" not in "".join(tool.dumps() for tool in example.tools)


def test_results_without_ids_are_of_no_tool(tmp_path):
  call = {"id": None, "function": {"name": "weather", "arguments": "{}"}}
  row = {
    "messages": [
      {"role": "user", "content": "Rain?"},
      {"role": "assistant", "tool_calls": [call]},
      {"role": "tool", "tool_call_id": None, "content": "No."},
      {"role": "assistant", "content": "No."},
    ],
    "tools": _TOOLS,
  }
  path = tmp_path / "rows.jsonl"
  path.write_text(json.dumps(row))
  (example,) = sources.read_examples(path, "openai").examples
  assert example.messages[2].name == ""
