import pytest

from tests.toolcall.refusals import refused
from tooldev_jax.toolcall.checks import check_call
from tooldev_jax.toolcall.importers import import_tools
from tooldev_jax.toolcall.vocabulary import Call

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
      "get": {"operationId": "updatePet"},
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


def _post(schema, kind="application/json"):
  body = {"content": {kind: {"schema": schema}}}
  return {"openapi": "3.0.0", "paths": {"/": {"post": {"requestBody": body}}}}


def test_methods_that_are_none_are_refused_by_place(write):
  item = {"GET": {"operationId": "f"}, "query": {}, "x-own": 1, "summary": "S."}
  document = {"openapi": "3.0.0", "paths": {"/a": item}}
  assert refused(import_tools(write("a.json", document))) == [
    ("a.json#/paths/~1a/GET", "bad_record"),
    ("a.json#/paths/~1a/query", "bad_record"),
  ]


@pytest.mark.parametrize("reference", ["#Pet", "Pet", "#pets/0", "a.json#/x"])
def test_a_reference_that_is_no_pointer_leads_nowhere(write, reference):
  document = _post({"$ref": reference})
  assert refused(import_tools(write("a.json", document))) == [
    ("a.json#/paths/~1/post", "bad_reference")
  ]


@pytest.mark.parametrize(
  "kind",
  ["application/json; charset=utf-8", "Application/JSON", "application/a+json"],
)
def test_media_types_are_known_by_what_they_mean(write, kind):
  document = _post({"properties": {"a": {"type": "string"}}}, kind)
  content = document["paths"]["/"]["post"]["requestBody"]["content"]
  # The first is taken where none is known.
  content |= {"text/plain": {"schema": {}}, kind: content.pop(kind)}
  (tool,) = import_tools(write("a.json", document)).tools
  assert list(tool.parameters["properties"]) == ["a"]


def test_a_body_that_says_of_itself_that_it_is_required(write):
  fields = {"a": {"type": "string"}}
  for required in (True, False):
    document = _post({"properties": fields, "required": required})
    (tool,) = import_tools(write("a.json", document)).tools
    assert tool.parameters == {"type": "object", "properties": fields}
