"""One notion of a tool that cannot be used, for imported and made tools."""

import json

import pytest

from tooldev_jax.data import toolparse
from tooldev_jax.toolcall.checks import check_call, check_tools
from tooldev_jax.toolcall.importers import import_tools
from tooldev_jax.toolcall.vocabulary import Call, Tool


def _tool(schema, name="f"):
  return {"name": name, "description": "Does f.", "parameters": schema}


def _object(**properties):
  return {"type": "object", "properties": properties}


TASTE = {
  "no description": _object(a={"type": "string"}),
  "no type": _object(a={"description": "A."}),
  "look-ahead": _object(a={"type": "string", "pattern": "^(?=x)x"}),
  "odd default": _object(a={"type": "integer", "default": "many"}),
  "odd enum": _object(a={"type": "integer", "enum": ["one", 1]}),
  "required only": _object(a={"type": "string"}) | {"required": ["b"]},
}
UNSOUND = {
  "no object": {"type": "string"},
  "no schema": _object(a=3),
  "reference to nothing": _object(a={"$ref": "#/$defs/a"}),
  "remote reference": _object(a={"$ref": "https://example.org/a.json"}),
}


@pytest.mark.parametrize("schema", TASTE.values(), ids=TASTE)
def test_matters_of_taste_cost_neither_imported_nor_made_tools(write, schema):
  tools = toolparse.parse_tools(json.dumps([_tool(schema)]))
  findings = check_tools(tools)
  assert findings
  assert not any(one.unsound for one in findings)
  imported = import_tools(write("f.json", [_tool(schema)]))
  assert [tool.name for tool in imported.tools] == ["f"]


@pytest.mark.parametrize("schema", UNSOUND.values(), ids=UNSOUND)
def test_what_cannot_be_called_is_unsound_for_both(write, schema):
  tool = Tool.from_json(_tool(schema))
  assert any(one.unsound for one in check_tools([tool]))
  assert import_tools(write("f.json", [_tool(schema)])).tools == ()


@pytest.mark.parametrize(
  "odd", [{"type": "string", "minLength": "two"}, {"type": "tensor"}]
)
def test_an_importer_leaves_out_what_would_be_unsound(write, odd):
  tool = Tool.from_json(_tool(_object(a=odd)))
  assert any(one.unsound for one in check_tools([tool]))
  imported = import_tools(write("f.json", [_tool(_object(a=odd))]))
  assert not any(one.unsound for one in check_tools(imported.tools))
  (told,) = imported.left_out
  assert "/properties/a/" in told.detail


def test_two_made_tools_of_one_name_are_unsound():
  tool = Tool.from_json(_tool(TASTE["no description"]))
  assert any(one.unsound for one in check_tools([tool, tool]))


def test_what_is_required_may_be_used_without_a_description():
  card = _object(no={"type": "string"}) | {"required": ["no", "channel"]}
  tool = Tool.from_json(_tool(_object(card=card) | {"required": ["day"]}))
  full = {"card": {"no": "1", "channel": "web"}, "day": 3}
  assert check_call(Call("f", full), [tool]) == ()
  places = [
    one.where
    for one in check_call(Call("f", {"card": {"no": "1", "other": 1}}), [tool])
  ]
  assert sorted(places) == [
    "/arguments/card/channel", "/arguments/card/other", "/arguments/day",
  ]  # fmt: skip
