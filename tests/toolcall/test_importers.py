import pytest

from tests.toolcall import fuzz_documents
from tests.toolcall.refusals import refused
from tooldev_jax.errors import UserError
from tooldev_jax.toolcall.importers import import_tools
from tooldev_jax.toolcall.vocabulary import Tool

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
F = Tool("f", "Does f.", SCHEMA)

MCP_TOOL = {"name": "f", "description": "Does f.", "inputSchema": SCHEMA}
FUNCTION = {"name": "f", "description": "Does f.", "parameters": SCHEMA}
SEAL = {
  "api_name": "f",
  "api_description": "Does f.",
  "parameters": {"a": {"type": "str"}},
}


@pytest.mark.parametrize(
  "document",
  [
    {"tools": [MCP_TOOL]},
    {"jsonrpc": "2.0", "id": 1, "result": {"tools": [MCP_TOOL]}},
    {"server": "s", "tools": [MCP_TOOL]},
    [MCP_TOOL],
    [{"name": "s", "tools": [MCP_TOOL]}],
    [{"id": 1, "result": {"tools": [MCP_TOOL]}}, {"tools": []}],
    [{"type": "function", "function": FUNCTION}],
    {"tools": [{"type": "function", "function": FUNCTION}]},
    {"functions": [FUNCTION]},
    FUNCTION,
  ],
)
@pytest.mark.parametrize("name", ["one.json", "rows.jsonl", "rows.jsonl.gz"])
def test_lists_of_tools(write, document, name):
  imported = import_tools(write(name, document))
  assert imported.tools == (F,)
  assert imported.refused == ()
  assert imported.left_out == ()


def test_what_is_refused_names_its_place(write):
  path = write(
    "servers.jsonl",
    {"tools": [MCP_TOOL, MCP_TOOL]},
    "",
    '{"tools": [',
    {"tools": [MCP_TOOL, {"name": "g"}, {"inputSchema": {}}, 3]},
    {"weather": "fine"},
    {"tools": [MCP_TOOL | {"inputSchema": {"type": "string"}}]},
    {"tools": [MCP_TOOL | {"name": "g\n"}]},
    {"tools": "none"},
  )
  imported = import_tools(path)
  assert imported.tools == (F, F)  # of two documents
  assert refused(imported) == [
    ("servers.jsonl:1#/tools/1", "duplicate_name"),
    ("servers.jsonl:3", "not_json"),
    ("servers.jsonl:4#/tools/1", "bad_record"),
    ("servers.jsonl:4#/tools/2", "bad_record"),
    ("servers.jsonl:4#/tools/3", "bad_record"),
    ("servers.jsonl:5#", "unknown_kind"),
    ("servers.jsonl:6#/tools/0", "not_an_object"),
    ("servers.jsonl:7#/tools/0", "bad_name"),
    ("servers.jsonl:8#", "unknown_kind"),
  ]


def test_openapi_without_paths_is_refused(write):
  path = write("x.json", {"openapi": "3.0.0"})
  assert refused(import_tools(path)) == [("x.json#", "bad_record")]


def test_a_part_that_is_no_tool_is_refused_alone(write):
  functions = [3, {"type": "web_search"}, FUNCTION, {"name": "s", "tools": []}]
  imported = import_tools(write("x.json", functions))
  assert imported.tools == (F,)
  assert refused(imported) == [
    ("x.json#/0", "bad_record"),
    ("x.json#/1", "bad_record"),
  ]
  servers = [{"tools": [MCP_TOOL, 3]}, {"error": {"code": 1}}]
  imported = import_tools(write("y.json", servers))
  assert imported.tools == (F,)
  assert refused(imported) == [
    ("y.json#/0/tools/1", "bad_record"),
    ("y.json#/1", "bad_record"),
  ]


def test_what_only_has_a_name_is_no_tool(write):
  package = {"name": "leftpad", "version": "1.0", "dependencies": {}}
  assert refused(import_tools(write("package.json", package))) == [
    ("package.json#", "unknown_kind")
  ]


def test_errors_of_the_user(tmp_path, write):
  with pytest.raises(UserError, match=r"absent\.json"):
    import_tools(tmp_path / "absent.json")
  path = tmp_path / "x.json.gz"
  path.write_bytes(b"not gzip")
  with pytest.raises(UserError, match=r"x\.json\.gz"):
    import_tools(path)


def test_seal_tools(write):
  record = SEAL | {
    "parameters": {
      "a": {"type": "str", "description": "A.", "choices": ["x", "y"]},
      "b": {"type": "float", "description": "B", "unit": "km", "example": 3},
      "c": {"type": "bool", "description": "C", "default": False},
    },
    "required": ["a"],
    "responses": {"r": {"type": "str"}},
  }
  odd = SEAL | {"parameters": {"a": {"type": "tensor"}}}
  imported = import_tools(write("seal.jsonl", record, odd))
  assert imported.tools[0].parameters == {
    "type": "object",
    "properties": {
      "a": {"type": "string", "description": "A.", "enum": ["x", "y"]},
      "b": {"type": "number", "description": "B (unit: km)", "examples": [3]},
      "c": {"type": "boolean", "description": "C", "default": False},
    },
    "required": ["a"],
  }
  assert imported.tools[1].parameters["properties"] == {"a": {}}
  assert refused(imported) == []
  (told,) = imported.left_out
  assert told.where == "seal.jsonl:2#"
  assert "parameters/a/type is 'tensor'" in told.detail


def test_yaml_that_is_none_names_its_place(write):
  imported = import_tools(write("api.yaml", "openapi: 3.1.0\npaths: ["))
  (one,) = imported.refused
  assert (one.where, str(one.reason)) == ("api.yaml", "not_yaml")
  assert one.detail.startswith("line 2: ")
  two = write("two.yaml", "---\nname: f\ndescription: F.\n---\n3\n")
  imported = import_tools(two)
  assert [tool.name for tool in imported.tools] == ["f"]
  assert refused(imported) == [("two.yaml:5#", "unknown_kind")]


def test_odd_documents_are_refused_and_nothing_is_raised():
  assert fuzz_documents.fuzz(200, 0)["tools"] > 10
  assert fuzz_documents.fuzz_schemas(50, 0)["views"] > 500
  assert fuzz_documents.fuzz_texts(100, 0)["refused"] > 10


@pytest.mark.parametrize("text", ["", " \n", "# nothing\n"])
def test_an_empty_document_is_refused(write, text):
  assert refused(import_tools(write("a.json", text))) == [
    ("a.json", "not_json")
  ]
  assert refused(import_tools(write("a.yaml", text))) == [
    ("a.yaml", "not_yaml")
  ]


def test_a_server_without_tools_is_no_fault(write):
  for document in ({"tools": []}, {"result": {"tools": []}}):
    imported = import_tools(write("a.json", document))
    assert (imported.tools, imported.refused) == ((), ())
  assert refused(import_tools(write("b.json", []))) == [
    ("b.json#", "unknown_kind")
  ]


def test_a_folder_stands_for_the_documents_in_it(write, tmp_path):
  write("b.yaml", "name: g\ndescription: G.\n")
  write("a.json", {"tools": [MCP_TOOL]})
  write("notes.txt", "No document.")
  (tmp_path / "c.json").write_bytes(b"\xff\xfe")
  imported = import_tools(tmp_path)
  assert [tool.name for tool in imported.tools] == ["f", "g"]
  assert refused(imported) == [("c.json", "not_text")]


def test_what_a_tool_lacks_is_told_once_and_no_longer_than_can_be_read(write):
  bad = {f"a{index}": {"maxLength": "long"} for index in range(30)}
  tool = MCP_TOOL | {"inputSchema": {"type": "object", "properties": bad}}
  told = import_tools(write("a.json", [tool])).left_out
  assert len(told) == 21
  assert told[-1].detail == "'f': and 10 details more"
  assert {one.where for one in told} == {"a.json#/0"}
