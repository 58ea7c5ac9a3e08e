"""Schemas taken alone are judged as they are judged within the whole."""

import itertools

import pytest

from tooldev_jax.tools import dialects, validation

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
