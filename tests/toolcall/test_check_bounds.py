"""Definitions and values that would take for ever to check."""

import time

import pytest

from tests.toolcall.test_checks import tool, where
from tooldev_jax.toolcall.checks import Reason, check_call, check_tool
from tooldev_jax.toolcall.vocabulary import Call


def doubling(levels):
  """Each definition asks twice for the next one."""
  definitions = {
    f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
    for level in range(levels)
  }
  definitions[f"d{levels}"] = {"type": "string"}
  return tool({"a": {"$ref": "#/$defs/d0"}}, **{"$defs": definitions})


def recursive():
  """Both branches ask for the same again, one level further down."""
  again = {"properties": {"a": {"$ref": "#/$defs/n"}}}
  branches = [{**again, "required": [name]} for name in ("y", "z")]
  node = {"anyOf": branches}
  return tool({"a": {"$ref": "#/$defs/n"}}, **{"$defs": {"n": node}})


def nested(levels):
  value = {}
  for _ in range(levels):
    value = {"a": value}
  return value


def chain(links):
  """Each definition is the next one."""
  definitions = {
    f"d{link}": {"$ref": f"#/$defs/d{link + 1}"} for link in range(links)
  }
  definitions[f"d{links}"] = {"type": "string"}
  return tool({"a": {"$ref": "#/$defs/d0"}}, **{"$defs": definitions})


COSTLY = "(?=(x{50}){50}y)z"


@pytest.mark.parametrize(
  ("definition", "value"),
  [
    (doubling(40), "x"),
    (recursive(), nested(60)),
    (chain(4000), "x"),
    (tool({"a": {"type": "string", "pattern": COSTLY}}), "x" * 50_000),
    (tool({"a": {"allOf": [{"pattern": "a"}] * 50}}), "x" * 50_000),
  ],
)
def test_checks_that_would_take_too_long_are_given_up(definition, value):
  start = time.process_time()
  findings = check_call(Call("f", {"a": value}), [definition])
  assert where(findings) == {(Reason.TOO_COSTLY, "/arguments")}
  assert time.process_time() - start < 5


def test_short_recursions_and_chains_are_checked():
  for definition in (doubling(8), chain(200)):
    assert check_call(Call("f", {"a": "x"}), [definition]) == ()
    assert where(check_call(Call("f", {"a": 1}), [definition])) == {
      (Reason.WRONG_TYPE, "/arguments/a")
    }
  assert where(check_call(Call("f", {"a": nested(5)}), [recursive()])) == {
    (Reason.NO_ALTERNATIVE, "/arguments/a")
  }


def test_catastrophic_patterns_are_harmless():
  definition = tool({"a": {"type": "string", "pattern": "^(a+)+$"}})
  call = Call("f", {"a": "a" * 2000 + "b"})
  assert where(check_call(call, [definition])) == {
    (Reason.BAD_PATTERN, "/arguments/a")
  }


def test_defaults_are_checked_on_one_budget():
  definitions = dict(doubling(40).parameters["$defs"])
  costly = {"description": "x", "default": "x", "$ref": "#/$defs/d0"}
  definition = tool(
    {f"a{index}": costly for index in range(1000)}, **{"$defs": definitions}
  )
  findings = [
    one for one in check_tool(definition) if one.reason is Reason.TOO_COSTLY
  ]
  assert [one.where for one in findings] == ["/parameters/properties/a0"]


@pytest.mark.parametrize("depth", [140, 300, 2000])
def test_values_nested_too_deeply_are_not_checked(depth):
  value = 1
  for _ in range(depth):
    value = [value]
  for schema in ({"default": value}, {"properties": {"b": value}}):
    definition = tool({"a": {"description": "x", "type": "object"} | schema})
    assert (Reason.TOO_LARGE, "/parameters") in where(check_tool(definition))
  findings = check_call(Call("f", {"a": value}), [tool({"a": {}})])
  assert where(findings) == {(Reason.TOO_COSTLY, "/arguments")}
