import dataclasses

import pytest

from tests.data.test_encoding import _TALK
from tooldev_jax import errors
from tooldev_jax.data import augment
from tooldev_jax.tools import checks
from tooldev_jax.tools.vocabulary import Call, Tool

_EXAMPLE = dataclasses.replace(
  _TALK,
  tools=(
    *_TALK.tools,
    Tool(
      "trip",
      "Plans.",
      {
        "type": "object",
        "properties": {
          "start": {"type": "string", "description": "From.", "default": "x"},
          "end": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
          },
          "days": {"type": "integer", "minimum": 1},
        },
        "required": ["end", "start"],
      },
    ),
  ),
  calls=(Call("trip", {"start": "Oslo", "end": {"city": "Rome"}}),),
  provenance={"raw": "[trip()]", "line": 3},
)


def test_masked_calls_still_fit_their_tools():
  masked = augment.mask_names(_EXAMPLE, 0)
  for message in (*masked.messages, masked):
    for call in message.calls:
      assert checks.check_call(call, masked.tools) == ()
  assert masked.provenance == {"line": 3, "masked": True}
  assert [m.content for m in masked.messages] == [
    m.content for m in _EXAMPLE.messages
  ]


def test_masking_hides_every_name():
  masked = augment.mask_names(_EXAMPLE, 0)
  old = {tool.name for tool in _EXAMPLE.tools} | {"start", "end", "days"}
  new = {tool.name for tool in masked.tools}
  new |= {p for tool in masked.tools for p in tool.parameters["properties"]}
  new |= {call.name for call in masked.calls}
  new |= {key for call in masked.calls for key in call.arguments}
  new |= {m.name for m in masked.messages if m.name}
  assert not old & new
  assert len({tool.name for tool in masked.tools}) == len(masked.tools)
  assert [t.description for t in masked.tools] == [
    t.description for t in _EXAMPLE.tools
  ]


def test_masking_keeps_who_answers_whom():
  masked = augment.mask_names(_EXAMPLE, 0)
  assert masked.messages[1].calls[0].name == masked.messages[2].name


def test_schemas_that_name_parameters_elsewhere_keep_them():
  parameters = {
    "type": "object",
    "properties": {"a": {}, "b": {}},
    "dependentRequired": {"a": ["b"]},
  }
  example = dataclasses.replace(
    _EXAMPLE, tools=(Tool("f", "", parameters),), calls=(Call("f", {"a": 1}),)
  )
  masked = augment.mask_names(example, 0)
  assert masked.tools[0].parameters == parameters
  assert masked.calls[0].arguments == {"a": 1}


def test_shuffled_definitions_say_the_same():
  orders = set()
  for seed in range(20):
    shuffled = augment.shuffle_definitions(_EXAMPLE, seed)
    before, after = _EXAMPLE.tools[-1], shuffled.tools[-1]
    assert sorted(after.parameters["required"]) == ["end", "start"]
    assert after.parameters["properties"] == before.parameters["properties"]
    orders.add(after.dumps())
    assert shuffled.calls == _EXAMPLE.calls
  assert len(orders) > 5


def test_shares_choose_examples_by_seed():
  def changed(config, seed):
    count = 0
    for i in range(200):
      example = dataclasses.replace(_EXAMPLE, id=f"e{i}")
      made = augment.augment(example, config, seed)
      assert made == augment.augment(example, config, seed)
      count += made != example
    return count

  assert changed(augment.AugmentConfig(), 0) == 0
  assert changed(augment.AugmentConfig(mask=1.0), 0) == 200
  assert 60 < changed(augment.AugmentConfig(mask=0.5), 0) < 140


@pytest.mark.parametrize("field", ["mask", "shuffle"])
def test_wrong_shares_are_named(field):
  with pytest.raises(errors.UserError, match=f"augment.{field}"):
    augment.AugmentConfig(**{field: 1.5})
