import gzip
import json

import pytest

from tests.tools import fuzz_documents
from tooldev_jax.errors import UserError
from tooldev_jax.tools.checks import check_call
from tooldev_jax.tools.importers import IMPORTERS, import_tools
from tooldev_jax.tools.vocabulary import Call, Tool

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
F = Tool("f", "Does f.", SCHEMA)


@pytest.fixture
def write(tmp_path):
  """Writes documents, one a line in `.jsonl`, and returns the path."""

  def write(name, *documents):
    text = "\n".join(
      document if isinstance(document, str) else json.dumps(document)
      for document in documents
    )
    data = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path

  return write


def refused(imported):
  return [(one.where, str(one.reason)) for one in imported.refused]


MCP_TOOL = {"name": "f", "description": "Does f.", "inputSchema": SCHEMA}
FUNCTION = {"name": "f", "description": "Does f.", "parameters": SCHEMA}
SEAL = {
  "api_name": "f",
  "api_description": "Does f.",
  "parameters": {"a": {"type": "str"}},
}


@pytest.mark.parametrize(
  ("kind", "document"),
  [
    ("mcp", {"tools": [MCP_TOOL]}),
    ("mcp", {"jsonrpc": "2.0", "id": 1, "result": {"tools": [MCP_TOOL]}}),
    ("mcp", {"server": "s", "tools": [MCP_TOOL]}),
    ("mcp", [MCP_TOOL]),
    ("openai", [{"type": "function", "function": FUNCTION}]),
    ("openai", {"tools": [{"type": "function", "function": FUNCTION}]}),
    ("openai", {"functions": [FUNCTION]}),
    ("openai", FUNCTION),
  ],
)
@pytest.mark.parametrize("name", ["one.json", "rows.jsonl", "rows.jsonl.gz"])
def test_lists_of_tools(write, kind, document, name):
  path = write(name, document)
  for asked in ("auto", kind):
    imported = import_tools(path, asked)
    assert imported.tools == (F,)
    assert imported.refused == ()


def test_what_is_refused_names_its_place(write):
  path = write(
    "servers.jsonl",
    {"tools": [MCP_TOOL, MCP_TOOL]},
    "",
    '{"tools": [',
    {"tools": [MCP_TOOL, {"name": "g"}, {"inputSchema": {}}, 3]},
    {"weather": "fine"},
    {"tools": [MCP_TOOL | {"inputSchema": {"type": "string"}}]},
    {"tools": [MCP_TOOL | {"inputSchema": SCHEMA | {"required": ["b"]}}]},
    {"tools": [MCP_TOOL | {"name": "g\n"}]},
    {"tools": "none"},
  )
  imported = import_tools(path, "auto")
  assert imported.tools == (F, F)  # of two documents
  assert refused(imported) == [
    ("servers.jsonl:1#/tools/1", "duplicate_name"),
    ("servers.jsonl:3", "not_json"),
    ("servers.jsonl:4#/tools/1", "bad_record"),
    ("servers.jsonl:4#/tools/2", "bad_record"),
    ("servers.jsonl:4#/tools/3", "bad_record"),
    ("servers.jsonl:5#", "unknown_kind"),
    ("servers.jsonl:6#/tools/0", "not_an_object"),
    ("servers.jsonl:7#/tools/0", "unknown_required"),
    ("servers.jsonl:8#/tools/0", "bad_name"),
    ("servers.jsonl:9#", "unknown_kind"),
  ]


def test_a_kind_that_a_document_is_not(write):
  path = write("x.json", {"openapi": "3.0.0"})
  assert refused(import_tools(path)) == [("x.json#", "bad_record")]
  assert refused(import_tools(path, "mcp")) == [("x.json#", "bad_record")]


def test_errors_of_the_user(tmp_path, write):
  with pytest.raises(UserError, match=r"absent\.json"):
    import_tools(tmp_path / "absent.json")
  with pytest.raises(UserError, match="auto, openapi, seal_tools, mcp, openai"):
    import_tools(write("x.json", []), "soap")
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
  imported = import_tools(write("seal.jsonl", record, odd, SEAL))
  assert imported.tools[0].parameters == {
    "type": "object",
    "properties": {
      "a": {"type": "string", "description": "A.", "enum": ["x", "y"]},
      "b": {"type": "number", "description": "B (unit: km)", "examples": [3]},
      "c": {"type": "boolean", "description": "C", "default": False},
    },
    "required": ["a"],
  }
  assert len(imported.tools) == 2
  assert refused(imported) == [("seal.jsonl:2#", "bad_record")]
  assert "tensor" in imported.refused[0].detail


OPENAPI = {
  "openapi": "3.0.1",
  "paths": {
    "/pets/{id}": {
      "description": "One pet.",
      "parameters": [
        {"$ref": "#/components/parameters/id"},
        {"name": "lang", "in": "query", "schema": {"type": "string"}},
      ],
      "put": {
        "operationId": "updatePet",
        "summary": "Update a pet.",
        "description": "Update a pet. It must exist.",
        "parameters": [
          {
            "name": "lang",
            "in": "query",
            "description": "Language.",
            "schema": {"type": "string", "enum": ["en", "fr"]},
          },
          {
            "name": "X-Trace",
            "in": "header",
            "content": {"text/plain": {"schema": {"type": "string"}}},
          },
        ],
        "requestBody": {
          "content": {
            "application/xml": {"schema": {"type": "string"}},
            "application/json": {
              "schema": {"$ref": "#/components/schemas/Pet"}
            },
          }
        },
      },
      "get": {"responses": {}},
      "delete": {
        "operationId": "deletePet",
        "parameters": [{"$ref": "other.json#/components/parameters/x"}],
      },
    },
    "/echo": {
      "post": {
        "operationId": "echo",
        "requestBody": {
          "description": "What to say.",
          "content": {"text/plain": {"schema": {"type": "string"}}},
        },
      },
      "get": {
        "operationId": "updatePet",
      },
      "patch": [],
    },
    "/send": {
      "post": {
        "operationId": "send",
        "requestBody": {
          "content": {
            "application/json": {
              "schema": {
                "oneOf": [
                  {
                    "properties": {
                      "kind": {"type": "string", "enum": ["sms"]},
                      "to": {"type": "string"},
                    },
                    "required": ["kind", "to"],
                  },
                  {
                    "properties": {
                      "kind": {"type": "string", "enum": ["mail"]},
                      "to": {"type": "integer"},
                      "cc": {"type": "string"},
                    },
                    "required": ["kind", "cc"],
                  },
                ]
              }
            }
          }
        },
      }
    },
  },
  "components": {
    "parameters": {
      "id": {"name": "id", "in": "path", "schema": {"type": "integer"}}
    },
    "schemas": {
      "Named": {
        "type": "object",
        "properties": {"name": {"type": "string", "example": "Rex"}},
        "required": ["name"],
      },
      "Pet": {
        "allOf": [
          {"$ref": "#/components/schemas/Named"},
          {
            "type": "object",
            "properties": {
              "id": {"type": "integer", "readOnly": True},
              "age": {"type": "integer", "nullable": True},
              "lang": {"type": "string", "x-note": "its own"},
              "mother": {"$ref": "#/components/schemas/Pet"},
            },
            "required": ["id", "lang"],
          },
        ]
      },
    },
  },
}


def test_openapi_3(write):
  imported = import_tools(write("pets.json", OPENAPI))
  by_name = {tool.name: tool for tool in imported.tools}
  update = by_name["updatePet"]
  assert update.description == "Update a pet. It must exist."
  properties = update.parameters["properties"]
  mother = properties.pop("mother")
  assert properties == {
    "id": {"type": "integer"},
    "lang": {
      "type": "string",
      "enum": ["en", "fr"],
      "description": "Language.",
    },
    "X-Trace": {"type": "string"},
    "name": {"type": "string", "examples": ["Rex"]},
    "age": {"type": ["integer", "null"]},
    "lang_body": {"type": "string"},
  }
  assert mother == {}  # Inside itself only type and description are left.
  assert update.parameters["required"] == ["id", "name", "lang_body"]
  assert by_name["get_pets_id"].description == "One pet."
  assert by_name["echo"].parameters["properties"] == {
    "body": {"type": "string", "description": "What to say."}
  }
  assert by_name["send"].parameters == {
    "type": "object",
    "properties": {
      "kind": {"type": "string", "enum": ["sms", "mail"]},
      "to": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
      "cc": {"type": "string"},
    },
    "required": ["kind"],
  }
  assert refused(imported) == [
    ("pets.json#/paths/~1pets~1{id}/delete", "bad_reference"),
    ("pets.json#/paths/~1echo/get", "duplicate_name"),
    ("pets.json#/paths/~1echo/patch", "bad_record"),
  ]
  assert len(imported.tools) == 4


def test_swagger_2(write):
  document = {
    "swagger": "2.0",
    "paths": {
      "/upload": {
        "post": {
          "operationId": "upload",
          "parameters": [
            {"name": "token", "in": "header", "type": "string",
             "required": True, "description": "Who."},
            {"name": "file", "in": "formData", "type": "file"},
            {"name": "tags", "in": "query", "type": "array",
             "items": {"type": "string"}, "collectionFormat": "csv"},
            {"name": "more", "in": "body",
             "schema": {"$ref": "#/definitions/more"}},
          ],
        }
      },
      "/plain": "none",
    },
    "definitions": {
      "more": {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1}},
        "additionalProperties": {"type": "string"},
        "required": ["n"],
      }
    },
  }  # fmt: skip
  imported = import_tools(write("upload.json", document))
  (tool,) = imported.tools
  assert tool.parameters == {
    "type": "object",
    "properties": {
      "token": {"type": "string", "description": "Who."},
      "file": {"type": "string", "format": "binary"},
      "tags": {"type": "array", "items": {"type": "string"}},
      "n": {"type": "integer", "minimum": 1},
    },
    "required": ["token", "n"],
    "additionalProperties": {"type": "string"},
  }
  assert refused(imported) == [("upload.json#/paths/~1plain", "bad_record")]
  call = Call("upload", {"token": "t", "n": 1, "extra": "x"})
  assert check_call(call, imported.tools) == ()


_YAML = """
openapi: 3.1.0
paths:
  /pets/{id}:
    parameters: &shared
      - {name: id, in: path, required: true, schema: {type: integer}}
    get:
      operationId: get_pet
      description: Gets a pet.
      parameters:
        - name: country
          in: query
          schema: {type: string, enum: [DE, NO]}
      responses:
        200: {description: ok}
    delete: {operationId: no, parameters: *shared}
"""


@pytest.mark.parametrize("name", ["api.yaml", "api.yml", "api.yaml.gz"])
def test_openapi_in_yaml(write, name):
  imported = import_tools(write(name, _YAML))
  assert refused(imported) == []
  get, delete = imported.tools
  assert (get.name, get.description) == ("get_pet", "Gets a pet.")
  assert get.parameters == {
    "type": "object",
    "properties": {
      "id": {"type": "integer"},
      "country": {"type": "string", "enum": ["DE", "NO"]},
    },
    "required": ["id"],
  }
  assert delete.name == "no"


def test_yaml_that_is_none_names_its_place(write):
  imported = import_tools(write("api.yaml", "openapi: 3.1.0\npaths: ["))
  (one,) = imported.refused
  assert (one.where, str(one.reason)) == ("api.yaml", "not_yaml")
  assert "line 3" in one.detail
  two = write("two.yaml", "---\nname: f\n---\n3\n")
  imported = import_tools(two)
  assert [tool.name for tool in imported.tools] == ["f"]
  assert refused(imported) == [("two.yaml:3#", "unknown_kind")]


def test_odd_documents_are_refused_and_nothing_is_raised():
  assert fuzz_documents.fuzz(200, 0)["tools"] > 10
  assert fuzz_documents.fuzz_schemas(50, 0)["views"] > 500
  assert fuzz_documents.fuzz_texts(100, 0)["refused"] > 10


def test_parameters_of_one_name_are_told_apart_by_their_places(write):
  places = ("path", "query", "header")
  document = {
    "openapi": "3.0.0",
    "paths": {
      "/a/{id}": {
        "get": {
          "parameters": [
            *({"name": "id", "in": place, "schema": {}} for place in places),
            {"name": "id_query", "in": "cookie", "schema": {}},
          ]
        }
      }
    },
  }
  (tool,) = import_tools(write("a.json", document)).tools
  assert list(tool.parameters["properties"]) == [
    "id", "id_query", "id_header", "id_query_cookie",
  ]  # fmt: skip


def test_a_property_may_say_of_itself_that_it_is_required(write):
  fields = {
    "a": {"type": "string", "required": True},
    "b": {"type": "string", "required": False},
    "c": True,
  }
  body = {"type": "object", "properties": fields, "required": ["c"]}
  content = {"application/json": {"schema": body}}
  post = {"operationId": "f", "requestBody": {"content": content}}
  document = {"openapi": "3.0.0", "paths": {"/": {"post": post}}}
  (tool,) = import_tools(write("a.json", document)).tools
  assert tool.parameters == {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": True},
    "required": ["a", "c"],
  }


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


def test_references_are_part_of_a_uri_and_may_stand_for_a_path(write):
  document = {
    "openapi": "3.1.0",
    "paths": {
      "/a b/{x}": {"$ref": "#/components/pathItems/a%20b"},
      "/gone": {"$ref": "#/components/pathItems/gone"},
      "/copy": {
        "get": {
          "parameters": [
            {"$ref": "#/components/pathItems/a b/get/parameters/0"},
            {"$ref": "#/components/parameters/50%25"},
          ]
        }
      },
    },
    "components": {
      "parameters": {"50%": {"name": "half", "in": "query", "schema": {}}},
      "pathItems": {
        "a b": {
          "get": {
            "operationId": "f",
            "parameters": [
              {"name": "x", "in": "path", "schema": {"type": "string"}},
              {"name": "Authorization", "in": "header", "schema": {}},
              {"name": "accept", "in": "header", "schema": {}},
              {"name": "accept", "in": "query", "schema": {}},
            ],
          }
        }
      },
    },
  }
  imported = import_tools(write("a.json", document))
  assert [
    (tool.name, list(tool.parameters["properties"])) for tool in imported.tools
  ] == [("f", ["x", "accept"]), ("get_copy", ["x", "half"])]
  assert refused(imported) == [("a.json#/paths/~1gone", "bad_reference")]


def test_a_folder_stands_for_the_documents_in_it(write, tmp_path):
  write("b.yaml", _YAML)
  write("a.json", {"tools": [MCP_TOOL]})
  write("notes.txt", "No document.")
  names = [tool.name for tool in import_tools(tmp_path).tools]
  assert names == ["f", "get_pet", "no"]


def test_cycles_and_unfolding_are_cut(write):
  doubling = {
    f"d{i}": {
      "type": "object",
      "properties": {
        "a": {"$ref": f"#/definitions/d{i + 1}"},
        "b": {"$ref": f"#/definitions/d{i + 1}"},
      },
    }
    for i in range(40)
  }
  node = {
    "type": "object",
    "description": "A node.",
    "properties": {"next": {"$ref": "#/definitions/node"}},
  }
  document = {
    "swagger": "2.0",
    "paths": {
      f"/{name}": {
        "post": {
          "parameters": [
            {"name": "x", "in": "body",
             "schema": {"$ref": f"#/definitions/{name}"}}
          ]
        }
      }
      for name in ("node", "d0", "self")
    },
    "definitions": {
      **doubling,
      "d40": {"type": "string"},
      "node": node,
      "self": {"$ref": "#/definitions/self"},
    },
  }  # fmt: skip
  imported = import_tools(write("loops.json", document))
  assert [tool.name for tool in imported.tools] == ["post_node", "post_self"]
  assert imported.tools[0].parameters["properties"] == {
    "next": {"type": "object", "description": "A node."}
  }
  assert refused(imported) == [("loops.json#/paths/~1d0/post", "too_large")]


def test_a_new_kind_is_one_line_of_the_table():
  assert list(IMPORTERS) == ["openapi", "seal_tools", "mcp", "openai"]
  assert all(kind == one.kind for kind, one in IMPORTERS.items())
