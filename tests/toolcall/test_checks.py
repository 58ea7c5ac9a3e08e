import pytest

from tooldev_jax.toolcall.checks import (
  Reason,
  check_call,
  check_tool,
  check_tools,
)
from tooldev_jax.toolcall.vocabulary import Call, Tool


def tool(properties, **more):
  return Tool(
    "f", "Does f.", {"type": "object", "properties": properties} | more
  )


def where(findings):
  return {(finding.reason, finding.where) for finding in findings}


CITY = {"type": "string", "description": "A city."}


@pytest.mark.parametrize(
  "definition",
  [
    tool({}),
    tool({"city": CITY}, required=["city"]),
    tool({"a": {"type": "float", "description": "x", "default": 1}}),
    tool({"a": {"type": "any", "description": "x", "default": []}}),
    tool({"a": {"type": "tuple", "description": "x", "items": CITY}}),
    tool({"a": {"type": "HashMap", "description": "x", "default": None}}),
    tool(
      {"a": {"$ref": "#/$defs/a"}},
      **{"$defs": {"a": CITY}, "$schema": "http://json-schema.org/draft-07"},
    ),
    tool({"a": {"anyOf": [CITY, {"type": "null"}], "description": "x"}}),
    tool(
      {
        "a": {
          "type": "number",
          "description": "draft 4",
          "minimum": 0,
          "exclusiveMinimum": True,
          "nullable": True,
        }
      }
    ),
    tool({"a": {"type": "List[int], optional", "description": "x"}}),
    tool({"a": {"type": "Optional[str]", "description": "x"}}),
    Tool("Get Fighter (UFC)", "Gets.", {"type": "dict", "properties": {}}),
  ],
)
def test_sound_definitions(definition):
  assert check_tool(definition) == ()


@pytest.mark.parametrize(
  ("definition", "expected"),
  [
    (Tool(" ", "x"), {(Reason.BAD_NAME, "/name")}),
    (Tool("f\n", "x"), {(Reason.BAD_NAME, "/name")}),
    (Tool("f" * 257, "x"), {(Reason.BAD_NAME, "/name")}),
    (Tool("f"), {(Reason.NO_DESCRIPTION, "/description")}),
    (
      tool({"a": {"type": "string"}}),
      {(Reason.UNDESCRIBED_PARAMETER, "/parameters/properties/a")},
    ),
    (
      tool({"a/b": {"description": "x"}}),
      {(Reason.UNTYPED_PARAMETER, "/parameters/properties/a~1b")},
    ),
    (
      Tool("f", "x", {"type": "string"}),
      {(Reason.NOT_AN_OBJECT, "/parameters/type")},
    ),
    (Tool("f", "x", {}), {(Reason.NOT_AN_OBJECT, "/parameters/type")}),
    (
      tool({"a": {"type": "uint8", "description": "x"}}),
      {(Reason.UNKNOWN_TYPE, "/parameters/properties/a/type")},
    ),
    (
      tool({"city": CITY}, required=["town"]),
      {(Reason.UNKNOWN_REQUIRED, "/parameters/required")},
    ),
    (
      tool({"a": CITY | {"required": True}}),
      {(Reason.BAD_SCHEMA, "/parameters/properties/a/required")},
    ),
    (
      tool({"a": CITY | {"minLength": -1}}),
      {(Reason.BAD_SCHEMA, "/parameters/properties/a/minLength")},
    ),
    (
      tool({"a": CITY | {"default": 3}}),
      {(Reason.BAD_DEFAULT, "/parameters/properties/a/default")},
    ),
    (
      tool({"a": CITY | {"enum": ["x", 3, "x"]}}),
      {
        (Reason.BAD_ENUM, "/parameters/properties/a/enum/1"),
        (Reason.BAD_ENUM, "/parameters/properties/a/enum/2"),
      },
    ),
    (
      tool({"a": CITY | {"$ref": "#/$defs/no"}}),
      {(Reason.BAD_REFERENCE, "/parameters/properties/a/$ref")},
    ),
    (
      tool({"a": CITY | {"$ref": "http://localhost/schema"}}),
      {(Reason.BAD_REFERENCE, "/parameters/properties/a/$ref")},
    ),
    (
      tool({"a": CITY | {"pattern": "a**"}}),
      {(Reason.UNKNOWN_PATTERN, "/parameters/properties/a/pattern")},
    ),
    (
      tool({"a": CITY | {"pattern": "("}}),
      {(Reason.UNKNOWN_PATTERN, "/parameters/properties/a/pattern")},
    ),
    (
      tool({f"a{i}": CITY for i in range(5001)}),
      {(Reason.TOO_LARGE, "/parameters")},
    ),
    (
      tool({f"a{i}": CITY | {"pattern": "a"} for i in range(501)}),
      {(Reason.TOO_LARGE, "/parameters")},
    ),
    (
      tool({"a": {"description": "x", "$ref": "#/x"}}, x=["a"]),
      {
        (Reason.UNTYPED_PARAMETER, "/parameters/properties/a"),
        (Reason.BAD_SCHEMA, "/parameters"),
      },
    ),
  ],
)
def test_unsound_definitions(definition, expected):
  assert where(check_tool(definition)) == expected


def test_names_are_unique_in_a_set():
  findings = check_tools([tool({}), Tool("g", "x"), tool({})])
  assert where(findings) == {(Reason.DUPLICATE_NAME, "/2/name")}


BOOK = tool(
  {
    "city": {"type": "string", "minLength": 2, "pattern": "^[A-Z]"},
    "nights": {"type": "integer", "minimum": 1, "maximum": 30},
    "price": {"type": "float"},
    "kind": {"type": "string", "enum": ["hotel", "hostel"]},
    "day": {"type": "string", "format": "date"},
    "tags": {
      "type": "array",
      "items": {"type": "string"},
      "maxItems": 2,
      "uniqueItems": True,
    },
    "guest": {
      "type": "dict",
      "properties": {"name": {"type": "string"}},
      "required": ["name"],
    },
    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "id": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    "free": {"type": "object"},
    "kinds": {"type": "array", "enum": ["a", "b"]},  # meant for its items
    "open": {
      "type": "object",
      "properties": {"a": {"type": "string"}},
      "additionalProperties": {"type": "integer"},
    },
    "both": {
      "allOf": [
        {"properties": {"a": {"type": "string"}}},
        {"$ref": "#/$defs/b"},
      ]
    },
    "any": {},
  },
  required=["city"],
  **{"$defs": {"b": {"properties": {"b": {"type": "string"}}}}},
)


@pytest.mark.parametrize(
  "arguments",
  [
    {},
    {"nights": 1, "price": 3, "kind": "hotel", "day": "2024-02-29"},
    {"price": 2.5, "tags": ["a", "b"], "guest": {"name": "Al"}},
    {"note": None, "id": 3, "free": {"x": [1]}, "open": {"a": "", "z": 1}},
    {"both": {"a": "x", "b": "y"}, "any": [{}], "kinds": ["b", "a"]},
  ],
)
def test_calls_that_fit(arguments):
  assert check_call(Call("f", {"city": "Nice"} | arguments), [BOOK]) == ()


@pytest.mark.parametrize(
  ("arguments", "reason", "place"),
  [
    ({"city": None}, Reason.WRONG_TYPE, "/arguments/city"),
    ({"city": "N"}, Reason.OUT_OF_RANGE, "/arguments/city"),
    ({"city": "nice"}, Reason.BAD_PATTERN, "/arguments/city"),
    ({"town": "Nice"}, Reason.UNKNOWN_ARGUMENT, "/arguments/town"),
    ({"nights": "3"}, Reason.WRONG_TYPE, "/arguments/nights"),
    ({"nights": 3.0}, Reason.WRONG_TYPE, "/arguments/nights"),
    ({"nights": True}, Reason.WRONG_TYPE, "/arguments/nights"),
    ({"nights": 31}, Reason.OUT_OF_RANGE, "/arguments/nights"),
    ({"kind": "tent"}, Reason.NOT_IN_ENUM, "/arguments/kind"),
    ({"day": "2023-02-29"}, Reason.BAD_FORMAT, "/arguments/day"),
    ({"tags": ["a", 1]}, Reason.WRONG_TYPE, "/arguments/tags/1"),
    ({"tags": ["a", "b", "c"]}, Reason.OUT_OF_RANGE, "/arguments/tags"),
    ({"tags": ["a", "a"]}, Reason.OUT_OF_RANGE, "/arguments/tags"),
    ({"guest": {}}, Reason.MISSING_ARGUMENT, "/arguments/guest/name"),
    (
      {"guest": {"name": "Al", "age": 3}},
      Reason.UNKNOWN_ARGUMENT,
      "/arguments/guest/age",
    ),
    ({"kinds": ["a", "c"]}, Reason.NOT_IN_ENUM, "/arguments/kinds/1"),
    ({"note": 3}, Reason.WRONG_TYPE, "/arguments/note"),
    ({"id": 0.5}, Reason.NO_ALTERNATIVE, "/arguments/id"),
    ({"open": {"z": "x"}}, Reason.WRONG_TYPE, "/arguments/open/z"),
    ({"both": {"c": 1}}, Reason.UNKNOWN_ARGUMENT, "/arguments/both/c"),
  ],
)
def test_calls_that_do_not_fit(arguments, reason, place):
  call = Call("f", {"city": "Nice"} | arguments)
  assert where(check_call(call, [BOOK])) == {(reason, place)}


def test_all_findings_are_told_in_a_stable_order():
  call = Call("f", {"nights": 0, "town": "x", "kind": 3})
  findings = check_call(call, [BOOK])
  assert findings == check_call(call, [BOOK])
  assert where(findings) == {
    (Reason.UNKNOWN_ARGUMENT, "/arguments/town"),
    (Reason.MISSING_ARGUMENT, "/arguments/city"),
    (Reason.OUT_OF_RANGE, "/arguments/nights"),
    (Reason.NOT_IN_ENUM, "/arguments/kind"),
    (Reason.WRONG_TYPE, "/arguments/kind"),
  }


def test_a_call_to_no_tool_or_to_an_unsound_one():
  assert where(check_call(Call("g"), [BOOK])) == {
    (Reason.UNKNOWN_TOOL, "/name")
  }
  for parameter in ({"required": True}, {"$ref": "https://example.org/a"}):
    assert where(check_call(Call("f"), [tool({"a": parameter})])) == {
      (Reason.UNSOUND_TOOL, "/name")
    }


def test_a_tool_without_parameters_takes_none():
  assert check_call(Call("f"), [Tool("f", "x", {})]) == ()
  assert where(check_call(Call("f", {"a": 1}), [Tool("f", "x", {})])) == {
    (Reason.UNKNOWN_ARGUMENT, "/arguments/a")
  }


def test_a_reference_to_itself_allows_anything():
  definition = tool({"a": {"$ref": "#/properties/a"}})
  assert check_call(Call("f", {"a": [1]}), [definition]) == ()
  around = {
    "x": {"allOf": [{"$ref": "#/$defs/y"}]},
    "y": {"anyOf": [{"$ref": "#/$defs/x"}]},
  }
  definition = tool({"a": {"$ref": "#/$defs/x"}}, **{"$defs": around})
  assert check_call(Call("f", {"a": [1]}), [definition]) == ()


ODD_NAMES = ("a b", "a/b", "a%b", "é", '"q"', "~", "#", "", "items", "0", "?",
             "{x}", "a\\b", "$ref", "<", "|", "a+b", "a\ud800")  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_any_letters_are_checked(name):
  step = name.replace("~", "~0").replace("/", "~1")
  for described in (
    {"type": "string", "default": 3},
    {"type": "array", "items": [{"type": "string", "default": 1}]},
    {"anyOf": [{"type": "string", "default": 2}, {"type": "null"}]},
  ):
    (found,) = check_tool(tool({name: {"description": "x", **described}}))
    assert found.reason == Reason.BAD_DEFAULT
    assert found.where.startswith(f"/parameters/properties/{step}/")
  referring = tool(
    {"a": {"$ref": f"#/$defs/{step}", "description": "x"}},
    **{"$defs": {name: {"type": "string"}}},
  )
  assert check_tool(referring) == ()
  assert where(check_call(Call("f", {"a": 1}), [referring])) == {
    (Reason.WRONG_TYPE, "/arguments/a")
  }


def test_half_a_character_in_a_value_is_checked_too():
  definition = tool({"a": {"type": "string", "maxLength": 1}, "b": {}})
  call = Call("f", {"a": "\ud800", "b": {"\udfff": 1}})
  assert check_call(call, [definition]) == ()
  call = Call("f", {"a": "\ud800x"})
  assert where(check_call(call, [definition])) == {
    (Reason.OUT_OF_RANGE, "/arguments/a")
  }


def test_nothing_is_fetched(monkeypatch):
  def fail(*args, **kwargs):
    raise AssertionError("a connection")

  monkeypatch.setattr("socket.socket.connect", fail)
  for reference in ("http://127.0.0.1:9/a", "file:///etc/hostname", "x.json"):
    definition = tool({"a": CITY | {"$ref": reference}})
    assert where(check_tool(definition)) == {
      (Reason.BAD_REFERENCE, "/parameters/properties/a/$ref")
    }
    assert where(check_call(Call("f", {"a": "x"}), [definition])) == {
      (Reason.UNSOUND_TOOL, "/name")
    }


def test_recursive_definitions_are_checked_at_every_level():
  node = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/node"}, "value": CITY},
  }
  definition = tool(
    {"list": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": node}}
  )
  good = {"next": {"next": {"value": "x"}}}
  bad = {"next": {"next": {"value": 1, "valu": "x"}}}
  assert check_call(Call("f", {"list": good}), [definition]) == ()
  assert where(check_call(Call("f", {"list": bad}), [definition])) == {
    (Reason.WRONG_TYPE, "/arguments/list/next/next/value"),
    (Reason.UNKNOWN_ARGUMENT, "/arguments/list/next/next/valu"),
  }


def test_depth_is_bounded():
  def nested(depth):
    schema = CITY
    for _ in range(depth):
      schema = {"description": "x", "type": "array", "items": schema}
    return tool({"a": schema})

  assert check_tool(nested(30)) == ()
  for depth in (40, 400):
    assert where(check_tool(nested(depth))) == {
      (Reason.TOO_LARGE, "/parameters")
    }


def test_new_keywords_are_judged_too():
  broken = {
    "prefixItems": {},
    "dependentRequired": {"a": 1},
    "$defs": {"a": {"type": 3}},
  }
  assert where(check_tool(tool({}, **broken))) == {
    (Reason.BAD_SCHEMA, "/parameters/prefixItems"),
    (Reason.BAD_SCHEMA, "/parameters/dependentRequired/a"),
    (Reason.BAD_SCHEMA, "/parameters/$defs/a/type"),
  }


def test_the_order_does_not_depend_on_the_hash_seed():
  names = [f"a{index}" for index in range(20)]
  definition = tool({}, additionalProperties={"type": "string"})
  findings = check_call(Call("f", dict.fromkeys(names, 1)), [definition])
  assert [one.where for one in findings] == [
    f"/arguments/{name}" for name in names
  ]
  unsound = tool(dict.fromkeys(names, 3))
  places = [one.where for one in check_tool(unsound)]
  places = [place for place in places if place.startswith("/parameters/p")]
  assert places[-20:] == [f"/parameters/properties/{name}" for name in names]


@pytest.mark.parametrize("kind", [None, 3, {}, True])
def test_a_type_that_is_no_name_is_unknown(kind):
  tool = Tool("f", "Does it.", {"type": [kind]})
  found = [finding.reason.value for finding in check_tool(tool)]
  assert "unknown_type" in found


def test_a_branch_that_allows_nothing_is_one_of_several():
  schema = {"anyOf": [False, {"type": "null"}]}
  tool = Tool("f", "F.", {"type": "object", "properties": {"a": schema}})
  (found,) = check_call(Call("f", {"a": 3}), [tool])
  assert found.where == "/arguments/a"
  assert check_call(Call("f", {"a": None}), [tool]) == ()
