"""All parts of an `allOf` hold, in one schema or in an honest `allOf`."""

import itertools

import jsonschema
import pytest

from tests.toolcall.refusals import refused
from tooldev_jax.toolcall.importers import import_tools
from tooldev_jax.toolcall.importers.all_of import merge


def _merge(first, second):
  told = []
  return merge(first, second, told.append), told


@pytest.mark.parametrize(
  ("first", "second", "expected"),
  [
    ({"type": "string"}, {"enum": ["a"]}, {"type": "string", "enum": ["a"]}),
    ({"enum": ["a", "b", 1]}, {"enum": [1.0, "b"]}, {"enum": ["b", 1]}),
    ({"type": "number"}, {"type": "integer"}, {"type": "integer"}),
    (
      {"type": ["string", "null"]},
      {"type": ["null", "string", "array"]},
      {"type": ["null", "string"]},
    ),
    (
      {"minimum": 1, "maximum": 9, "minLength": 1, "maxItems": 4},
      {"minimum": 3, "maximum": 20, "minLength": 0, "maxItems": 2},
      {"minimum": 3, "maximum": 9, "minLength": 1, "maxItems": 2},
    ),
    ({"multipleOf": 4}, {"multipleOf": 6}, {"multipleOf": 12}),
    ({"const": "a"}, {"default": "a"}, {"const": "a", "default": "a"}),
    (
      {"items": {"type": "string"}},
      {"items": {"maxLength": 3}, "uniqueItems": True},
      {"items": {"type": "string", "maxLength": 3}, "uniqueItems": True},
    ),
    ({"required": ["a"]}, {"required": ["b", "a"]}, {"required": ["a", "b"]}),
    (
      {"properties": {"a": {"properties": {"b": {"type": "integer"}}}}},
      {"properties": {"a": {"required": ["b"]}, "c": {}}},
      {
        "properties": {
          "a": {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
          "c": {},
        }
      },
    ),
    (
      {"properties": {"a": {"minimum": 1}}},
      {"additionalProperties": {"type": "integer"}},
      {
        "properties": {"a": {"minimum": 1, "type": "integer"}},
        "additionalProperties": {"type": "integer"},
      },
    ),
    ({"description": "A."}, {"description": "B."}, {"description": "B."}),
    (True, {"type": "string"}, {"type": "string"}),
    (
      {"type": "object"},
      {"properties": {}},
      {"type": "object", "properties": {}},
    ),
    ({"type": "string"}, False, False),
    # What one keyword cannot say stays in an honest `allOf`.
    (
      {"pattern": "^a"},
      {"pattern": "b$"},
      {"pattern": "^a", "allOf": [{"pattern": "b$"}]},
    ),
    (
      {"enum": [1]},
      {"enum": [True]},
      {"enum": [1], "allOf": [{"enum": [True]}]},
    ),
    ({"const": 1}, {"const": 2}, {"const": 1, "allOf": [{"const": 2}]}),
    (
      {"type": "string"},
      {"type": "integer"},
      {"type": "string", "allOf": [{"type": "integer"}]},
    ),
    (
      {"if": {"minimum": 1}, "then": {"maximum": 2}},
      {"if": {"minimum": 3}, "else": {"maximum": 4}},
      {
        "if": {"minimum": 1},
        "then": {"maximum": 2},
        "allOf": [{"if": {"minimum": 3}, "else": {"maximum": 4}}],
      },
    ),
    (
      {"anyOf": [{"minimum": 1}], "allOf": [{"not": {"const": 3}}]},
      {"anyOf": [{"maximum": 2}]},
      {
        "anyOf": [{"minimum": 1}],
        "allOf": [{"not": {"const": 3}}, {"anyOf": [{"maximum": 2}]}],
      },
    ),
  ],
)
def test_what_both_parts_say_holds(first, second, expected):
  assert _merge(first, second) == (expected, [])


_PARTS = (
  {"type": "integer", "minimum": 2},
  {"type": "number", "maximum": 3},
  {"enum": [1, 2, 3, "a", None]},
  {"enum": ["a", "b", 3]},
  {"const": 3},
  {"multipleOf": 1.5},
  {"multipleOf": 2},
  {"pattern": "a"},
  {"type": "array", "items": {"type": "integer"}, "minItems": 1},
  {"prefixItems": [{"const": 1}], "items": {"maximum": 4}},
  {"contains": {"const": 1}, "maxContains": 1},
  {"contains": {"const": 2}},
  {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
  {"properties": {"a": {"minimum": 2}, "b": {"type": "string"}}},
  {"additionalProperties": {"type": "integer"}},
  {"minProperties": 1, "maxProperties": 1},
  {"not": {"const": 2}},
  {"not": {"type": "array"}},
  {"anyOf": [{"type": "string"}, {"minimum": 3}]},
  {"oneOf": [{"type": "string"}, {"type": "integer"}]},
  {"if": {"type": "integer"}, "then": {"minimum": 3}},
  {
    "if": {"type": "string"},
    "then": {"maxLength": 1},
    "else": {"not": {"const": 3}},
  },
)
_VALUES = (
  None, 0, 1, 1.5, 2, 3, 4, 6, "a", "b", "ab", [], [1], [2], [1, 2], [1, 5],
  [2, "a"], [1, 1], {}, {"a": 1}, {"a": 2}, {"a": 2, "b": "x"},
  {"a": 2, "b": 3}, {"b": "x"}, {"c": "x"}, {"c": 3},
)  # fmt: skip


def test_a_value_fits_the_merged_schema_if_it_fits_both():
  for first, second in itertools.product(_PARTS, repeat=2):
    merged, told = _merge(first, second)
    assert told == []
    checks = [
      jsonschema.Draft202012Validator(one) for one in (first, second, merged)
    ]
    for value in _VALUES:
      one, other, both = (check.is_valid(value) for check in checks)
      assert both == (one and other), (first, second, merged, value)


def test_what_a_merged_schema_does_not_say_is_told():
  merged, told = _merge({"default": 1}, {"default": 2})
  assert merged == {"default": 2}
  assert told == ["default 1, where another part has 2"]
  closed = {"properties": {"a": {}}, "additionalProperties": False}
  merged, told = _merge(closed, {"properties": {"b": {}}})
  assert list(merged["properties"]) == ["a", "b"]
  assert told == ["additionalProperties: false, for ['b']"]


def _body(write, schema, **schemas):
  document = {
    "openapi": "3.0.3",
    "paths": {
      "/a": {
        "post": {
          "operationId": "f",
          "requestBody": {"content": {"application/json": {"schema": schema}}},
        }
      }
    },
    "components": {"schemas": schemas},
  }
  imported = import_tools(write("a.json", document))
  assert refused(imported) == []
  (tool,) = imported.tools
  return tool.parameters, [one.detail for one in imported.left_out]


PET = {
  "type": "object",
  "properties": {
    "kind": {"type": "string"},
    "size": {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
    "tags": {"type": "array", "items": {"type": "string"}},
  },
  "required": ["kind"],
}


def test_parts_that_describe_one_property_all_hold(write):
  more = {
    "properties": {
      "kind": {"const": "cat"},
      "size": {"minimum": 1, "maximum": 10, "default": 5},
      "tags": {"items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["size"],
  }
  for schema in (
    {"allOf": [{"$ref": "#/components/schemas/Pet"}, more]},
    {"$ref": "#/components/schemas/Pet", **more},
    {"allOf": [{"allOf": [{"$ref": "#/components/schemas/Pet"}]}], **more},
  ):
    parameters, told = _body(write, schema, Pet=PET)
    assert parameters == {
      "type": "object",
      "properties": {
        "kind": {"type": "string", "const": "cat"},
        "size": {
          "type": "integer",
          "minimum": 1,
          "exclusiveMinimum": 1,
          "maximum": 10,
          "default": 5,
        },
        "tags": {
          "type": "array",
          "items": {"type": "string", "enum": ["a", "b"]},
          "maxItems": 2,
        },
      },
      "required": ["kind", "size"],
    }
    assert told == []


def test_patterns_of_two_parts_both_hold_in_the_tool(write):
  schema = {
    "allOf": [
      {"properties": {"a": {"type": "string", "pattern": "^a"}}},
      {"properties": {"a": {"pattern": "b$"}}, "not": {"required": ["b"]}},
    ]
  }
  parameters, told = _body(write, schema)
  assert parameters["properties"]["a"] == {
    "type": "string", "pattern": "^a", "allOf": [{"pattern": "b$"}],
  }  # fmt: skip
  assert parameters["not"] == {"required": ["b"]}
  assert told == []


def test_what_a_body_says_of_itself_alone_is_told(write):
  schema = {"properties": {"a": {}}, "minProperties": 1}
  parameters, told = _body(write, schema)
  assert parameters == {"type": "object", "properties": {"a": {}}}
  assert told == [
    "'f': the body's minProperties, which has no place beside other parameters"
  ]


def test_what_stands_beside_alternatives_holds_with_them(write):
  schema = {
    "properties": {
      "kind": {"type": "string"},
      "size": {"type": "integer", "minimum": 1},
      "note": {"type": "string"},
    },
    "oneOf": [
      {"properties": {
        "kind": {"enum": ["cat"]}, "size": {"maximum": 5},
        "note": {"maxLength": 3}}},
      {"properties": {"kind": {"enum": ["dog"]}, "size": {"maximum": 9}}},
    ],
  }  # fmt: skip
  parameters, told = _body(write, schema)
  assert parameters["properties"] == {
    "kind": {"type": "string", "enum": ["cat", "dog"]},
    "size": {
      "type": "integer",
      "minimum": 1,
      "anyOf": [{"maximum": 5}, {"maximum": 9}],
    },
    "note": {"type": "string"},
  }
  assert told == []
