"""OpenAPI as it is found: undeclared variables, empty keys, odd keywords."""

import time

import pytest

from tests.toolcall.refusals import refused
from tooldev_jax.toolcall.importers import import_tools


def _post(schema, kind="application/json"):
  body = {"content": {kind: {"schema": schema}}}
  return {"openapi": "3.0.0", "paths": {"/": {"post": {"requestBody": body}}}}


def _paths(paths, **more):
  return {"openapi": "3.0.3", "paths": paths, **more}


def test_variables_of_the_path_are_required_strings(write):
  item = {
    "parameters": [{"name": "a", "in": "path", "schema": {"type": "integer"}}],
    "get": {"operationId": "f"},
    "put": {
      "operationId": "g",
      "parameters": [
        {"name": "a", "in": "path", "schema": {"type": "number"}},
        {"name": "b", "in": "query", "schema": {"type": "boolean"}},
      ],
    },
  }
  servers = [{"url": "https://{region}.example.org/{version}"}]
  path = "/x/{a}/y/{ b }/{+rest}/{c*}:{verb}"
  document = _paths({path: item}, servers=servers)
  one, two = import_tools(write("a.json", document)).tools
  text = {"type": "string"}
  assert one.parameters == {
    "type": "object",
    "properties": {
      "a": {"type": "integer"}, "b": text, "rest": text, "c": text,
      "verb": text,
    },
    "required": ["a", "b", "rest", "c", "verb"],
  }  # fmt: skip
  assert two.parameters["properties"] == {
    "a": {"type": "number"}, "b": {"type": "boolean"}, "b_path": text,
    "rest": text, "c": text, "verb": text,
  }  # fmt: skip
  assert two.parameters["required"] == ["a", "b_path", "rest", "c", "verb"]


def test_a_variable_that_is_used_twice_is_one_parameter(write):
  document = _paths({"/a/{id}/b/{id}": {"get": {"operationId": "f"}}})
  (tool,) = import_tools(write("a.json", document)).tools
  assert tool.parameters["required"] == ["id"]


def test_names_made_of_paths_are_distinct_and_say_something(write):
  paths = {
    "/订单": "get_订单",
    "/用户/{id}": "get_用户_id",
    "/%E8%AE%A2/x": "get_订_x",
    "/a-b": "get_a_b",
    "/a/{b}": "get_a_by_b",
    "/a_b": None,
    "/": "get_root",
    "/~": "get_tilde",
    "/😀": "get_grinning_face",
    "/root": None,
    "/taken": None,
    "/" + "long/" * 20 + "one": None,
    "/" + "long/" * 20 + "two": None,
  }
  items = {path: {"get": {"responses": {}}} for path in paths}
  items["/last"] = {"get": {"operationId": "get_taken"}}
  tools = import_tools(write("a.json", _paths(items))).tools
  names = [tool.name for tool in tools]
  assert len(set(names)) == len(paths) + 1
  made = dict(zip(paths, names, strict=False))
  for path, expected in paths.items():
    if expected:
      assert made[path] == expected
  assert made["/a_b"].startswith("get_a_b_")
  assert made["/root"].startswith("get_root_")
  assert made["/taken"].startswith("get_taken_")
  assert names[-1] == "get_taken"
  assert all(len(name) <= 64 for name in names)
  again = import_tools(write("b.json", _paths(items))).tools
  assert [tool.name for tool in again] == names


def test_two_operations_of_one_given_name_are_still_refused(write):
  items = {path: {"get": {"operationId": "f"}} for path in ("/a", "/b")}
  imported = import_tools(write("a.json", _paths(items)))
  assert [tool.name for tool in imported.tools] == ["f"]
  assert refused(imported) == [("a.json#/paths/~1b/get", "duplicate_name")]


_EMPTY_KEYS = """
openapi: 3.0.3
info:
servers:
paths:
  /a/{id}:
    summary:
    parameters:
    get:
    post:
      operationId:
      summary: 404
      description:
      parameters:
        -
        - name: q
          in: query
          description:
          required:
          schema:
            type:
            title:
            default:
      requestBody:
        description:
        required:
        content:
          application/json:
            schema:
              type: object
              required:
              description:
              allOf:
              properties:
                qty:
                  $ref:
                  type: integer
                  description:
                  title:
                  format:
                  enum:
                  pattern:
                  minimum:
                  default:
                  properties:
                  items:
                  required:
                  additionalProperties:
                size:
      responses:
  /b:
components:
"""


def test_an_empty_key_means_left_out(write):
  imported = import_tools(write("a.yaml", _EMPTY_KEYS))
  assert refused(imported) == []
  assert imported.left_out == ()
  get, post = imported.tools
  assert (get.name, get.parameters["required"]) == ("get_a_id", ["id"])
  assert (post.name, post.description) == ("post_a_id", "404")
  assert post.parameters == {
    "type": "object",
    "properties": {
      "q": {}, "id": {"type": "string"}, "qty": {"type": "integer"}, "size": {},
    },
    "required": ["id"],
  }  # fmt: skip


_ODD = {
  # What is written in another type is read.
  "maxLength": (10.0, 10),
  "minLength": ("3", 3),
  "minimum": ("1.5", 1.5),
  "exclusiveMaximum": ("7", 7),
  "uniqueItems": ("true", True),
  "description": (404, "404"),
  "pattern": (12, "12"),
  "additionalProperties": ("false", False),
  "items": ("string", {"type": "string"}),
  "properties": ([], {}),
  "nullable": ("yes", True),
  "examples": ({"one": {"value": 1}, "two": {"value": 2}}, [1, 2]),
  "enum": ([1], [1]),
  # What cannot be read is left out and told.
  "maxItems": (-1, None),
  "minItems": ("two", None),
  "maximum": ([3], None),
  "multipleOf": (0, None),
  "title": ({"en": "A"}, None),
  "format": (["date"], None),
  "readOnly": ("maybe", None),
  "deprecated": ({}, None),
  "type": (["string", "tensor"], None),
  "anyOf": ([], None),
  "not": ("x", None),
  "contains": (5, None),
  "dependentRequired": ({"a": "b"}, None),
  "$comment": ([5], None),
}


@pytest.mark.parametrize("keyword", _ODD)
@pytest.mark.parametrize("dialect", ["openapi", "functions"])
def test_a_harmless_keyword_never_costs_the_tool(write, keyword, dialect):
  value, expected = _ODD[keyword]
  schema = {"properties": {"a": {keyword: value}}, "type": "object"}
  document = _post(schema)
  if dialect == "functions":
    document = [{"name": "f", "description": "F.", "inputSchema": schema}]
  imported = import_tools(write("a.json", document))
  assert refused(imported) == []
  (tool,) = imported.tools
  found = tool.parameters["properties"]["a"]
  if expected is None:
    assert found == {}
    (one,) = imported.left_out
    assert str(one.reason) == "left_out"
    assert f"/properties/a/{keyword} is {value!r}"[:40] in one.detail
  else:
    if keyword == "nullable" and dialect == "openapi":
      keyword, expected = "type", None  # There it is rewritten.
    assert found.get(keyword) == expected
    assert imported.left_out == ()


def test_null_among_types_is_the_type_null(write):
  document = _post({"properties": {"a": {"type": ["string", None]}}})
  (tool,) = import_tools(write("a.json", document)).tools
  assert set(tool.parameters["properties"]["a"]["type"]) == {"string", "null"}


def test_a_body_without_content_is_told(write):
  post = {"operationId": "f", "requestBody": {"content": None}}
  imported = import_tools(write("a.json", _paths({"/a": {"post": post}})))
  assert [tool.name for tool in imported.tools] == ["f"]
  (one,) = imported.left_out
  assert "requestBody, which has no content" in one.detail


def test_booleans_and_words_are_read_as_they_are_meant(write):
  parameters = [
    {"name": "a", "in": "query", "required": "true", "type": "date"},
    {"name": 2, "in": "query", "required": "no", "type": "url"},
    {"name": "c", "in": "query", "description": ["A", "list"], "schema": {}},
  ]
  get = {"operationId": 12, "summary": {"a": 1}, "parameters": parameters}
  document = {"swagger": "2.0", "paths": {"/a": {"get": get}}}
  imported = import_tools(write("a.json", document))
  (tool,) = imported.tools
  assert tool.name == "12"
  assert tool.parameters == {
    "type": "object",
    "properties": {
      "a": {"type": "string", "format": "date"},
      "2": {"type": "string", "format": "uri"},
      "c": {},
    },
    "required": ["a"],
  }
  assert sorted(one.detail for one in imported.left_out) == [
    "'12': description is ['A', 'list'], not text",
    "'12': summary is {'a': 1}, not text",
  ]


def test_required_may_name_what_is_described_elsewhere(write):
  inner = {"properties": {"no": {}}, "required": ["no", "channel"]}
  branch = {"type": "object", "properties": {"b": {}}, "anyOf": [
    {"required": ["b"]}, {"required": ["c"]}]}  # fmt: skip
  schema = {"properties": {"card": inner, "x": branch}, "required": ["y"]}
  imported = import_tools(write("a.json", _post(schema)))
  assert refused(imported) == []
  (tool,) = imported.tools
  assert tool.parameters["properties"]["card"] == inner
  assert tool.parameters["properties"]["x"] == branch
  assert tool.parameters["required"] == ["y"]


def test_long_names_take_no_long_time(write):
  many = 200_000
  paths = {
    "/{" + "a" * many: {"get": {}},
    "/" + "{" * many: {"get": {}},
    "/" + "~" * many: {"get": {}},
  }
  start = time.process_time()
  tools = import_tools(write("a.json", _paths(paths))).tools
  assert len({tool.name for tool in tools}) == 3
  lines = {
    "a": "str" + " " * many + "x",
    "b": "[" + " " * many + "required",
    "c": {"type": "str" + " " * many + ", optional"},
  }
  tool = {"name": "f", "description": "F.", "parameters": lines}
  assert len(import_tools(write("b.json", [tool])).tools) == 1
  assert time.process_time() - start < 10
