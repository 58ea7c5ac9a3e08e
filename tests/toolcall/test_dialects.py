"""Every dialect gives the same tool, and none loses its parameters."""

import json

import pytest

from tests.toolcall.refusals import refused
from tooldev_jax.toolcall.importers import import_tools

SCHEMA = {
  "type": "object",
  "properties": {
    "city": {"type": "string", "description": "Where."},
    "days": {"type": "integer", "description": "How many."},
  },
  "required": ["city"],
}
ROWS = [
  {"name": "city", "type": "string", "description": "Where."},
  {"name": "days", "type": "integer", "description": "How many."},
]
BY_NAME = {
  "city": {"type": "str", "description": "Where.", "required": True},
  "days": {"type": "int", "description": "How many.", "required": False},
}
F = {"name": "f", "description": "Does f."}
FUNCTION = F | {"parameters": SCHEMA}

DIALECTS = {
  "mcp": {"tools": [F | {"inputSchema": SCHEMA, "outputSchema": {"a": 1}}]},
  "anthropic": [
    F | {"type": "custom", "input_schema": SCHEMA, "input_examples": [{"a": 1}]}
  ],
  "openai chat": {"tools": [{"type": "function", "function": FUNCTION}]},
  "openai responses": [{"type": "function", "strict": True, **FUNCTION}],
  "openai functions": {"functions": [FUNCTION]},
  "gemini": {"tools": [{"functionDeclarations": [FUNCTION]}]},
  "gemini schema": [
    {"function_declarations": [F | {"parametersJsonSchema": SCHEMA}]}
  ],
  "bedrock": {
    "toolConfig": {
      "tools": [{"toolSpec": F | {"inputSchema": {"json": SCHEMA}}}]
    }
  },
  "bedrock agents": {
    "functionSchema": {"functions": [F | {"parameters": BY_NAME}]}
  },
  "cohere": [F | {"parameter_definitions": BY_NAME}],
  "langchain": [
    F | {"args": {"city": ROWS[0] | {"title": None}, "days": {
      "type": "integer", "description": "How many.", "optional": True}}}
  ],
  "crewai": [F | {"args_schema": SCHEMA, "env_vars": []}],
  "llamaindex": [F | {"fn_schema_str": json.dumps(SCHEMA)}],
  "smolagents": [
    F
    | {
      "inputs": {
        "city": {"type": "string", "description": "Where."},
        "days": {
          "type": "integer", "description": "How many.", "nullable": True,
        },
      },
      "output_type": "string",
    }
  ],
  "semantic kernel": {
    "name": "plugin",
    "description": "A plugin.",
    "functions": [
      F
      | {
        "parameters": [
          {"name": "city", "type_": "str", "description": "Where.",
           "is_required": True},
          {"name": "days", "type_": "int", "description": "How many.",
           "isRequired": False},
        ]
      }
    ],
  },
  "transformers": [
    {"type": "function",
     "function": FUNCTION | {"return": {"type": "string", "description": "R"}}}
  ],
  "toolbench": {
    "tool_name": "weather",
    "tool_description": "All about weather.",
    "api_list": [
      {"name": "f", "url": "https://example.org", "description": "Does f.",
       "method": "GET", "required_parameters": [ROWS[0] | {"default": ""}],
       "optional_parameters": [ROWS[1]], "body": {"a": 1}, "schema": {"b": 2}}
    ],
  },
  "t-eval": [
    F | {"required_parameters": ROWS[:1], "optional_parameters": ROWS[1:],
         "return_data": [{"name": "r"}]}
  ],
  "api-bank": {
    "apis": [
      {"name": "f", "description": "Does f.", "input_parameters": BY_NAME,
       "output_parameters": {"r": {"type": "str"}}}
    ]
  },
  "xlam": {
    "id": 1,
    "query": "q",
    "answers": "[]",
    "tools": json.dumps(
      [F | {"parameters": {
        "city": {"type": "str", "description": "Where."},
        "days": {"type": "int, optional", "description": "How many."}}}]
    ),
  },
  "gorilla": {
    "api_name": "f",
    "api_call": "f(city)",
    "functionality": "Does f.",
    "api_arguments": {
      "city": "[REQUIRED] string: Where.",
      "days": "[OPTIONAL] integer: How many.",
    },
  },
  "seal-tools": {
    "api_name": "f",
    "api_description": "Does f.",
    "field": "Weather",
    "parameters": {"city": BY_NAME["city"], "days": BY_NAME["days"]},
    "required": ["city"],
    "responses": {"r": {"type": "str"}},
  },
  "inline": [F | {"properties": SCHEMA["properties"], "required": ["city"]}],
  "bare names": [
    F | {"parameters": SCHEMA, "required_parameters": [], "title": "F"}
  ],
  "by name": {"f": {"description": "Does f.", "parameters": SCHEMA}},
  "ours": [FUNCTION],
}  # fmt: skip


@pytest.mark.parametrize("document", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_each_dialect_gives_the_same_tool(write, document, name):
  imported = import_tools(write(name, document))
  assert refused(imported) == []
  assert imported.left_out == ()
  (tool,) = imported.tools
  assert (tool.name, tool.description) == ("f", "Does f.")
  assert tool.parameters == SCHEMA


def test_schemas_are_kept_as_their_source_wrote_them(write):
  gemini = {
    "type": "OBJECT",
    "properties": {"city": {"type": "STRING", "nullable": True}},
    "propertyOrdering": ["city"],
  }
  (tool,) = import_tools(write("a.json", [F | {"parameters": gemini}])).tools
  assert tool.parameters == gemini


UNKNOWN = {
  "input_fields": [F | {"input_fields": BY_NAME}],
  "fields": [F | {"fields": ROWS}],
  "param_types": [F | {"param_types": {"city": "str"}}],
  "arg_spec": [FUNCTION | {"arg_spec": {"more": "int"}}],
  "slots": [F | {"slots": ROWS}],
  "signature": [F | {"signature": "f(city: str, days: int = 1)"}],
  "parameters": [F | {"parameters": "city: str"}],
  "args": [F | {"args": [["city", "str"]]}],
  "functions": {
    "Name": "f",
    "Description": "Does f.",
    "Functions": "1. f(city)",
  },
}


@pytest.mark.parametrize(("key", "document"), UNKNOWN.items())
def test_parameters_that_are_not_understood_are_refused_by_name(
  write, key, document
):
  imported = import_tools(write("a.json", document))
  assert imported.tools == ()
  (one,) = imported.refused
  assert str(one.reason) == "unknown_parameters"
  assert key in one.detail.lower()


def test_two_spellings_of_one_key_are_not_told_apart_in_silence(write):
  document = [F | {"inputSchema": SCHEMA, "input_schema": {"type": "object"}}]
  imported = import_tools(write("a.json", document))
  assert refused(imported) == [("a.json#/0", "unknown_parameters")]
  document = [F | {"inputSchema": SCHEMA, "input_schema": SCHEMA}]
  assert len(import_tools(write("a.json", document)).tools) == 1


def test_parameters_beside_a_wrapped_function_are_not_lost(write):
  document = [{"type": "function", "function": F, "parameters": SCHEMA}]
  imported = import_tools(write("a.json", document))
  assert refused(imported) == [("a.json#/0", "unknown_parameters")]


def test_what_is_no_definition_is_refused(write):
  documents = [
    {"name": "f", "arguments": {"city": "Nice"}},
    {"type": "function", "function": {"name": "f", "arguments": "{}"}},
    {"type": "custom", "name": "f", "description": "Runs code."},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    {"description": "Nameless.", "parameters": SCHEMA},
    {"name": 3, "description": "Does f.", "parameters": SCHEMA},
  ]
  imported = import_tools(write("a.json", [FUNCTION, *documents]))
  assert [tool.name for tool in imported.tools] == ["f"]
  assert refused(imported) == [
    (f"a.json#/{index}", "bad_record") for index in range(1, 7)
  ]


def _only(write, **keys):
  imported = import_tools(write("a.json", [F | keys]))
  assert refused(imported) == []
  (tool,) = imported.tools
  return tool.parameters, [one.detail for one in imported.left_out]


def test_who_is_required_in_a_table(write):
  # Nobody says: whatever has no default and is not called optional.
  table = {
    "a": {"type": "str"},
    "b": {"type": "int", "default": "3"},
    "c": {"type": "Optional[str]"},
    "d": {"type": "str", "default": ""},
    "e": "string",
  }
  parameters, _ = _only(write, parameters=table)
  assert parameters["required"] == ["a", "d", "e"]
  assert parameters["properties"]["b"] == {"type": "integer", "default": 3}
  # One says: the others are not.
  table["a"]["required"] = "maybe"
  table["b"]["required"] = "true"
  parameters, told = _only(write, parameters=table)
  assert parameters["required"] == ["b"]
  assert told == ["'f': parameters/a/required is 'maybe', not a boolean"]


def test_types_of_tables_become_those_of_json_schema(write):
  kinds = {
    "DATE (YYYY-MM-DD)": {"type": "string", "format": "date"},
    "ENUM": {"type": "string"},
    "List[int]": {"type": "array", "items": {"type": "integer"}},
    "Dict[str, int]": {"type": "object"},
    "Union[int, str]": {"type": ["integer", "string"]},
    "Literal['a', 'b']": {"type": "string", "enum": ["a", "b"]},
    "any": {},
  }
  rows = [{"name": kind, "type": kind} for kind in kinds]
  parameters, told = _only(write, optional_parameters=rows)
  assert parameters["properties"] == kinds
  assert "required" not in parameters
  assert told == []


def test_what_a_table_says_beyond_a_schema_is_told(write):
  table = {"a": {"type": "str", "choices": ["x", "y"], "color": "red"}}
  parameters, told = _only(write, parameters=table)
  assert parameters["properties"]["a"] == {"type": "string", "enum": ["x", "y"]}
  assert told == ["'f': parameters/a/color is 'red', which is not understood"]


def test_properties_that_a_columnar_file_padded_are_left_out(write):
  padded = {
    "type": "object",
    "properties": {
      "a": {"type": "string", "enum": None, "items": None},
      "b": None,
    },
    "required": ["a"],
    "$defs": None,
  }
  parameters, _ = _only(write, parameters=padded, inputSchema=None)
  assert parameters == {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
  }


def test_parameters_under_two_keys_are_all_kept(write):
  more = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}}}
  parameters, _ = _only(write, parameters=SCHEMA, args_schema=more)
  assert list(parameters["properties"]) == ["city", "days", "unit"]
  assert parameters["required"] == ["city"]


@pytest.mark.parametrize("kind", [None, "tensor", ["object", "null"]])
def test_arguments_are_an_object_whatever_their_schema_says(write, kind):
  parameters, told = _only(
    write, inputSchema={"type": kind, "properties": {"a": {}}}
  )
  assert parameters == {"type": "object", "properties": {"a": {}}}
  assert len(told) == (kind == "tensor")


def test_a_function_may_be_no_more_than_a_name(write):
  wrapped = {"type": "function", "function": {"name": "f"}}
  for document in (wrapped, {"type": "function", "name": "f"}):
    (tool,) = import_tools(write("a.json", [document])).tools
    assert tool.parameters == {"type": "object", "properties": {}}


def test_a_tool_is_no_list_of_tools_for_a_key_of_that_name(write):
  parameters, told = _only(write, parameters=SCHEMA, tools=["hammer"])
  assert (parameters, told) == (SCHEMA, [])


def test_names_that_are_required_beside_the_parameters(write):
  for required in (["days"], "days"):
    parameters, _ = _only(write, parameters=SCHEMA, required=required)
    assert parameters["required"] == ["city", "days"]
  _, told = _only(write, parameters=SCHEMA, required={"a": 1})
  assert told == ["'f': required is {'a': 1}, not a list of names"]


def test_a_list_of_required_names_beside_a_table(write):
  table = {"a": {"type": "str"}, "b": {"type": "str"}, "padding": None}
  for key in ("required", "required_parameters"):
    parameters, _ = _only(write, parameters=table, **{key: ["a"]})
    assert sorted(parameters["properties"]) == ["a", "b"]
    assert parameters["required"] == ["a"]
