import time

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
