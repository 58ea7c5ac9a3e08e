import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.toolcall.json_values import JSON
from tooldev_jax.toolcall.jsontext import (
  JsonDepthError,
  JsonSyntaxError,
  JsonTextError,
  dump,
  load,
  load_at,
)
from tooldev_jax.toolcall.vocabulary import (
  Call,
  Example,
  MalformedError,
  Message,
  Tool,
)

# On a busy machine neither a slow example nor a slow draw is a failure.
STEADY = settings(
  max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
CALLS = st.builds(Call, st.text(min_size=1), OBJECTS)
TOOLS = st.builds(Tool, st.text(min_size=1), st.text(), OBJECTS)
MESSAGES = st.builds(
  Message,
  st.sampled_from(("system", "user", "assistant", "tool")),
  st.text(),
  st.lists(CALLS, max_size=2).map(tuple),
  st.text(),
)
EXAMPLES = st.builds(
  Example,
  st.text(),
  st.lists(MESSAGES, max_size=3).map(tuple),
  st.lists(TOOLS, max_size=2).map(tuple),
  st.lists(CALLS, max_size=2).map(tuple),
  st.text(),
  OBJECTS,
)


@given(EXAMPLES)
@STEADY
def test_an_example_survives_a_file(example):
  row = dump(example.to_json()).encode()
  read = Example.from_json(load(row.decode()))
  assert read == example
  assert dump(read.to_json()).encode() == row  # 1, 1.0 and true stay apart


@given(TOOLS)
@STEADY
def test_a_tool_survives_as_text(tool):
  assert Tool.loads(tool.dumps()) == tool
  assert "\n" not in tool.dumps()


def test_rows_keep_tools_as_text():
  example = Example("1", (Message("user", "hi"),), (Tool("f"),))
  assert isinstance(example.to_json()["tools"], str)
  assert json.loads(example.to_json()["tools"])[0]["name"] == "f"


def test_tools_in_the_shape_of_openai():
  function = {"name": "f", "description": None, "strict": True}
  expected = Tool("f", "", {"type": "object", "properties": {}})
  assert Tool.from_json({"type": "function", "function": function}) == expected
  assert Tool.from_json(function) == expected


def test_query_and_called_tools():
  messages = (
    Message("user", "first"),
    Message("assistant", "which?"),
    Message("user", "second"),
    Message("tool", "{}", name="g"),
  )
  f, g, h = Tool("f"), Tool("g"), Tool("h")
  example = Example("1", messages, (f, g, h), (Call("h"), Call("f")))
  assert example.query == "second"
  assert example.called_tools == (f, h)
  assert Example("2", ()).query == ""


@pytest.mark.parametrize(
  ("read", "obj", "where"),
  [
    (Tool.from_json, [], "/"),
    (Tool.from_json, {"description": "no name"}, "/name"),
    (Tool.from_json, {"name": "f", "parameters": []}, "/parameters"),
    (Tool.from_json, {"function": {"name": 3}}, "/function/name"),
    (Call.from_json, {"name": "f", "arguments": "{}"}, "/arguments"),
    (Message.from_json, {"role": "oracle"}, "/role"),
    (Example.from_json, {"id": "1"}, "/messages"),
    (
      Example.from_json,
      {"messages": [{"role": "user", "calls": [{"name": ""}]}]},
      "/messages/0/calls/0/name",
    ),
    (Example.from_json, {"messages": [], "tools": "[{]"}, "/tools"),
  ],
)
def test_a_broken_record_names_its_field(read, obj, where):
  with pytest.raises(MalformedError) as error:
    read(obj)
  assert str(error.value).startswith(f"{where}: ")


@pytest.mark.parametrize(
  "text",
  ["NaN", "-Infinity", "1e999", '{"a":1,"a":2}', "[1", "[" * 100_000, ""],
)
def test_text_that_is_not_strict_json_is_refused(text):
  with pytest.raises(JsonTextError):
    load(text)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, [{("a",): 1}], {1}])
def test_values_that_json_cannot_hold_are_refused(value):
  with pytest.raises(JsonTextError):
    dump(value)


def test_lone_surrogates_are_escaped():
  assert dump("é\ud800") == '"é\\ud800"'
  assert load(dump("\udfff")) == "\udfff"


def test_depth_is_bounded():
  for opening, closing in (("[", "]"), ('{"a":', "}")):
    deep = opening * 128 + "1" + closing * 128
    assert load(deep)
    for text in (opening + deep + closing, opening * 100_000):
      with pytest.raises(JsonTextError):
        load(text)
  with pytest.raises(JsonDepthError, match="128 levels"):
    load("[" * 129 + "]" * 129)
  assert len(load("[" + "[]," * 500 + "[]]")) == 501


def test_a_value_within_text_says_where_it_ends():
  assert load_at('x [1, {"a": 2}] y', 2) == ([1, {"a": 2}], 15)
  with pytest.raises(JsonDepthError):
    load_at("x [[[]]]", 2, max_depth=2)
  with pytest.raises(JsonSyntaxError) as caught:
    load_at("x [1 2]", 2)
  assert caught.value.position == 5
  with pytest.raises(JsonTextError) as refused:
    load_at("x [NaN]", 2)
  assert not isinstance(refused.value, JsonSyntaxError)
