import pytest

from tooldev_jax.toolcall import dialects
from tooldev_jax.toolcall.checks import check_call, check_tool
from tooldev_jax.toolcall.findings import Reason
from tooldev_jax.toolcall.validation import (
  GivenUp,
  Steps,
  Validator,
  schema_errors,
)
from tooldev_jax.toolcall.vocabulary import Call, Tool

_VALUES = (
  *(None, True, 0, -1, 1.5, "", "x", [], {}, [None], [[]], [{}], [True]),
  *(["a"], ["a", "a"], [1], {"a": 1}, {"a": {}}, {"a": []}, {"type": "x"}),
  *([{"type": 3}], {"a": {"minimum": "x"}}, {"a": ["b"]}, "string", ["null"]),
)
_KEYWORDS = (
  *(*dialects.NAMED, *dialects.LISTED, *dialects.SINGLE),
  *("type", "enum", "const", "default", "examples", "required", "format"),
  *("minimum", "minLength", "multipleOf", "pattern", "title", "uniqueItems"),
  *("$ref", "$comment", "dependentRequired", "dependencies", "readOnly"),
  *("minContains", "contentEncoding", "x-unknown"),
)


@pytest.mark.parametrize("keyword", _KEYWORDS)
def test_a_fault_is_found_wherever_it_is(keyword):
  found = set()
  for value in _VALUES:
    inner = {"type": "string", keyword: value}
    places = [error.instance_path for error in schema_errors(inner)]
    for path, schema in (
      (["properties", "b"], {"properties": {"a": {}, "b": inner}}),
      (["allOf", 1, "items"], {"allOf": [{}, {"items": inner}]}),
    ):
      errors = schema_errors(schema)
      assert [error.instance_path for error in errors] == [
        [*path, *place] for place in places
      ]
    found.add(bool(places))
  anything = keyword in ("const", "default", "x-unknown")
  assert found == ({False} if anything else {False, True})


_UUID = "12345678-90ab-cdef-1234-567890ABCDEF"


@pytest.mark.parametrize(
  ("name", "good", "bad"),
  [
    ("date", ["2024-02-29"], ["2023-02-29", "20240229", "today", ""]),
    ("time", ["09:30:00", "09:30:00Z"], ["24:30:00", "9:30", "noon"]),
    (
      "date-time",
      ["2024-02-29T09:30:00+01:00", "2024-02-29 09:30:00"],
      ["2024-02-29", "9:30", "20240229T09:30:00", "2023-02-29T09:30:00"],
    ),
    ("email", ["a@b.org"], ["a", "a@", "a b@c"]),
    ("ipv4", ["127.0.0.1"], ["127.0.0", "256.0.0.1"]),
    ("ipv6", ["::1"], ["127.0.0.1", ":::1"]),
    ("hostname", ["a.b-c.org", "x"], ["-a.org", "a_b", "a..b", "a" * 64, ""]),
    ("duration", ["P1D", "PT1H30M", "P2W", "P1Y2M3DT4S"], ["P", "1 day", "PT"]),
    ("uri", ["https://x.org/a?b"], ["x.org/a", "https: //x"]),
    ("uuid", [_UUID], [_UUID.replace("-", ""), "{" + _UUID + "}"]),
    ("regex", ["a+"], ["("]),
    ("no such format", ["anything"], []),
  ],
)
def test_formats(name, good, bad):
  validator = Validator({"type": "string", "format": name})
  assert [x for x in good if validator.errors(x)] == []
  assert [x for x in bad if not validator.errors(x)] == []


def test_multiples_are_counted_in_decimals():
  for step, good, bad in (
    (0.01, [19.99, 0.3, -1, 1e300], [0.001, 19.995]),
    (3, [0, 6, 6.0, 3 * 10**400], [7, 6.5, 10**400]),
    (1e-300, [1e300, 5], []),
  ):
    validator = Validator({"multipleOf": step})
    assert [x for x in good if validator.errors(x)] == []
    assert [x for x in bad if not validator.errors(x)] == []


def test_an_integer_is_written_as_one():
  for named, good, bad in (
    ("integer", [3, -1, 10**400], [3.0, 0.5, True, "3", None]),
    (["integer", "null"], [3, None], [3.0, "3"]),
    (["integer", "number"], [3, 3.0, 0.5], ["3"]),
    ("int", [3], [3.0]),
    ("number", [3, 3.0], [True]),
  ):
    validator = Validator(dialects.checkable({"type": named}))
    assert [x for x in good if validator.errors(x)] == []
    assert [x for x in bad if not validator.errors(x)] == []


def test_a_stranger_cannot_use_our_own_keyword():
  schema = dialects.checkable({"type": "number", dialects.INTEGER: True})
  assert Validator(schema).errors(3.0) == ()


def test_steps_are_shared_between_checks():
  validator = Validator({"items": {"type": "integer"}})
  steps = Steps(25)
  assert validator.errors([1] * 10, steps) == ()
  assert steps.left < 25
  with pytest.raises(GivenUp):
    validator.errors(list(range(30)), steps)


def test_errors_come_in_the_order_of_the_value():
  names = [f"a{index}" for index in range(20)]
  validator = Validator({"additionalProperties": {"type": "string"}})
  errors = validator.errors(dict.fromkeys(names, 1))
  assert [error.instance_path for error in errors] == [[n] for n in names]


_BAD = {"type": "string", "default": 3}
_HOLDERS = (
  *((f"{key}/a", {key: {"a": _BAD}}) for key in dialects.NAMED),
  *((f"{key}/1", {key: [{}, _BAD]}) for key in (*dialects.LISTED, "items")),
  *((key, {key: _BAD}) for key in dialects.SINGLE),
)


@pytest.mark.parametrize(("place", "holder"), _HOLDERS)
def test_a_default_is_checked_wherever_it_is(place, holder):
  tool = Tool("f", "F.", {"type": "object", "not": {"allOf": [holder]}})
  found = {finding.where: finding.reason for finding in check_tool(tool)}
  where = f"/parameters/not/allOf/0/{place}/default"
  assert found[where] is Reason.BAD_DEFAULT


def test_a_reference_may_lead_into_a_list_of_items():
  pair = {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}
  parameters = {
    "type": "object",
    "properties": {"pair": pair, "n": {"$ref": "#/properties/pair/items/1"}},
  }
  tool = Tool("f", "F.", parameters)
  assert not any(finding.unsound for finding in check_tool(tool))
  assert check_call(Call("f", {"n": 1}), [tool]) == ()
  (finding,) = check_call(Call("f", {"n": "x"}), [tool])
  assert (finding.reason, finding.where) == (Reason.WRONG_TYPE, "/arguments/n")
