import random

import pytest

from tooldev_jax.toolcall.canonical import canonical_call, canonical_key
from tooldev_jax.toolcall.vocabulary import Call, Tool

TOOL = Tool(
  "book",
  "",
  {
    "type": "dict",
    "properties": {
      "city": {"type": "string"},
      "price": {"type": "float"},
      "guests": {"type": "integer", "default": 2},
      "extra": {"description": "no type"},
      "either": {"anyOf": [{"type": "number"}, {"type": "null"}]},
      "room": {
        "type": "dict",
        "properties": {
          "beds": {"type": "float", "default": 1.0},
          "view": {"type": "string", "default": " sea "},
        },
      },
      "rooms": {"type": "array", "items": {"$ref": "#/$defs/room"}},
    },
    "$defs": {
      "room": {
        "type": "object",
        "properties": {
          "beds": {"type": "number", "default": 1},
          "inner": {"$ref": "#/$defs/room"},
        },
      }
    },
  },
)


def key(**arguments):
  return canonical_key([Call("book", arguments)], [TOOL])


@pytest.mark.parametrize(
  ("one", "other"),
  [
    ({}, {"guests": 2}),
    ({"city": "Nice", "price": 1}, {"price": 1.0, "city": " Nice\n"}),
    ({"extra": 2.0}, {"extra": 2}),
    ({"either": 2.0}, {"either": 2}),
    ({"city": "Orle\u0301ans"}, {"city": "Orl\u00e9ans"}),
    ({"room": {}}, {"room": {"view": "sea", "beds": 1}}),
    ({"rooms": [{}]}, {"rooms": [{"beds": 1.0}]}),
    (
      {"rooms": [{"inner": {}}]},
      {"rooms": [{"beds": 1, "inner": {"beds": 1.0}}]},
    ),
    ({"price": 1e20}, {"price": 10**20}),
    ({"price": -0.0}, {"price": 0}),
  ],
)
def test_calls_that_are_the_same(one, other):
  assert key(**one) == key(**other)


@pytest.mark.parametrize(
  ("one", "other"),
  [
    ({"guests": 3}, {"guests": "3"}),
    ({"guests": 3}, {"guests": 3.0}),
    ({"price": 1}, {"price": True}),
    ({"city": "Nice"}, {"city": "nice"}),
    ({"city": "a b"}, {"city": "a  b"}),
    ({"either": None}, {}),
    ({"extra": [1, 2]}, {"extra": [2, 1]}),
    ({"extra": {}}, {"extra": []}),
    ({"price": 2**53}, {"price": 2**53 + 1}),
  ],
)
def test_calls_that_are_not_the_same(one, other):
  assert key(**one) != key(**other)


def test_parallel_calls_are_a_bag():
  calls = [Call("book", {"city": city}) for city in "aab"]
  shuffled = random.Random(0).sample(calls, 3)
  assert canonical_key(calls, [TOOL]) == canonical_key(shuffled, [TOOL])
  assert canonical_key(calls, [TOOL]) != canonical_key(calls[1:], [TOOL])
  assert canonical_key([]) == "[]"


def test_the_key_is_stable():
  call = Call("f", {"b": [True, None, "é"], "a": {"y": 0.5, "x": 1}})
  assert canonical_key([call]) == (
    '[{"arguments":{"a":{"x":1,"y":0.5},"b":[true,null,"é"]},"name":"f"}]'
  )


def test_canonical_form_is_a_fixed_point():
  call = Call("book", {"room": {"beds": 3.0}, "city": " x ", "odd": [1.0]})
  once = canonical_call(call, TOOL)
  assert canonical_call(once, TOOL) == once
  assert list(once.arguments) == sorted(once.arguments)


def test_schemas_that_refer_to_themselves_end():
  loop = Tool("f", "", {"properties": {"a": {"$ref": "#/properties/a"}}})
  assert canonical_call(Call("f", {"a": 1.0}), loop).arguments == {"a": 1}
  away = Tool("f", "", {"properties": {"a": {"$ref": "https://x.org/s"}}})
  assert canonical_call(Call("f", {"a": 1.0}), away).arguments == {"a": 1}


def test_defaults_that_hold_themselves_end():
  box = {
    "type": "object",
    "default": {},
    "properties": {
      "box": {"$ref": "#/properties/box"},
      "size": {"type": "number", "default": 1},
    },
  }
  tool = Tool("f", "", {"properties": {"box": box}})
  keys = {
    canonical_key([Call("f", arguments)], [tool])
    for arguments in ({}, {"box": {}}, {"box": {"size": 1.0}})
  }
  assert len(keys) == 1


def test_defaults_that_double_at_each_level_end():
  definitions = {
    f"d{level}": {
      "type": "object",
      "default": {},
      "properties": {
        "a": {"$ref": f"#/$defs/d{level + 1}"},
        "b": {"$ref": f"#/$defs/d{level + 1}"},
      },
    }
    for level in range(60)
  }
  schema = {"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": definitions}
  tool = Tool("f", "", schema)
  assert len(canonical_key([Call("f")], [tool])) < 10_000
