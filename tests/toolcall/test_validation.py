"""Schemas taken alone are judged as they are judged within the whole."""

import itertools

import pytest

from tooldev_jax.toolcall import dialects, validation

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
    for schema in (
      inner,
      {"type": "object", "properties": {"a": {}, "b": inner}},
      {"properties": {"a": {"anyOf": [{"items": inner}, {"not": True}]}}},
    ):
      whole = [e.message for e in validation._meta_errors(schema)]
      assert [e.message for e in validation.schema_errors(schema)] == whole
      found.add(bool(whole))
  anything = keyword in ("const", "default", "x-unknown")
  assert found == ({False} if anything else {False, True})


def test_what_differs_in_words_alone_is_judged_once():
  validation._is_sound_alone.cache_clear()
  for name, number in itertools.product("abc", range(20)):
    field = {
      "type": "string",
      "description": f"{name}{number}",
      "default": name,
    }
    schema = {"type": "object", "properties": {name: field}, "required": [name]}
    assert validation.schema_errors(schema) == ()
  assert validation._is_sound_alone.cache_info().currsize == 2


_UUID = "12345678-90ab-cdef-1234-567890ABCDEF"


@pytest.mark.parametrize(
  ("name", "good", "bad"),
  [
    ("date", ["2024-02-29"], ["2023-02-29", "20240229", "today", ""]),
    ("time", ["09:30:00", "09:30:00Z"], ["24:30:00", "9:30", "noon"]),
    ("date-time", ["2024-02-29T09:30:00+01:00"], ["2024-02-29", "9:30"]),
    ("email", ["a@b.org"], ["a", "a@", "a b@c"]),
    ("ipv4", ["127.0.0.1"], ["127.0.0", "256.0.0.1"]),
    ("ipv6", ["::1"], ["127.0.0.1", ":::1"]),
    ("hostname", ["a.b-c.org", "x"], ["-a.org", "a_b", "a..b", "a" * 64, ""]),
    ("duration", ["P1D", "PT1H30M", "P2W", "P1Y2M3DT4S"], ["P", "1 day", "PT"]),
    ("uri", ["https://x.org/a?b"], ["x.org/a", "https: //x"]),
    ("uuid", [_UUID], [_UUID.replace("-", ""), "{" + _UUID + "}"]),
    ("no such format", ["anything"], []),
  ],
)
def test_formats(name, good, bad):
  schema = {"type": "string", "format": name}
  assert [x for x in good if validation.errors_of(x, schema)] == []
  assert [x for x in bad if not validation.errors_of(x, schema)] == []


def test_multiples_are_counted_in_decimals():
  for step, good, bad in (
    (0.01, [19.99, 0.3, -1, 1e300], [0.001, 19.995]),
    (3, [0, 6, 6.0, 3 * 10**400], [7, 6.5, 10**400]),
    (1e-300, [1e300, 5], []),
  ):
    schema = {"multipleOf": step}
    assert [x for x in good if validation.errors_of(x, schema)] == []
    assert [x for x in bad if not validation.errors_of(x, schema)] == []
