import dataclasses

from tests.data.test_encoding import _TALK
from tooldev_jax.data import augment, instructions
from tooldev_jax.toolcall import checks
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool

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
          "end": {"type": "object", "properties": {"city": {"type": "string"}}},
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
  assert not any(
    name in tool.description for tool in masked.tools for name in old
  )


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


def test_text_that_speaks_of_a_name_says_the_new_one():
  tools = (
    Tool(
      "get_weather",
      "Unlike book, get_weather takes `day_of_trip`.",
      {
        "type": "object",
        "properties": {
          "day_of_trip": {"type": "string"},
          "city": {"type": "string", "description": 'Before "day_of_trip".'},
        },
      },
    ),
    Tool("book", "Books."),
  )
  example = Example(
    "e",
    (
      Message("user", "Use get_weather? My column is day_of_trip."),
      Message("assistant", "I call get_weather.", (Call("get_weather"),)),
      Message("tool", '{"tool": "get_weather", "x": 1}', name="get_weather"),
      Message("user", "And a book?"),
    ),
    tools,
    answer="Only book(...) and get_weathers can: `book` a book in the city.",
  )
  spoken = augment.mask_names(example, 0)
  weather, book = (tool.name for tool in spoken.tools)
  # The user says both identifiers: they may be values, and stay.
  assert spoken.messages[0] == example.messages[0]
  assert spoken.messages[1].content == "I call get_weather."
  assert spoken.answer == (
    f"Only {book}(...) and get_weathers can: `{book}` a book in the city."
  )

  silent = dataclasses.replace(
    example, messages=(Message("user", "Go."), *example.messages[1:])
  )
  masked = augment.mask_names(silent, 0)
  day, _ = masked.tools[0].parameters["properties"]
  assert masked.messages[1].content == f"I call {weather}."
  assert masked.messages[2].content == f'{{"tool": "{weather}", "x": 1}}'
  assert masked.tools[0].description == f"Unlike book, {weather} takes `{day}`."
  _, city = masked.tools[0].parameters["properties"].values()
  assert city["description"] == f'Before "{day}".'


def test_a_name_that_an_argument_holds_is_a_value():
  tool = Tool("run_sql", "", {"type": "object", "properties": {"user_id": {}}})
  call = Call("run_sql", {"user_id": "select user_id"})
  result = Message("tool", "user_id: 7, from run_sql", name="run_sql")
  example = Example("e", (Message("user", "Go."), result), (tool,), (call,))
  masked = augment.mask_names(example, 0)
  new = masked.tools[0].name
  assert masked.messages[1].content == f"user_id: 7, from {new}"
  assert list(masked.calls[0].arguments.values()) == ["select user_id"]


def test_a_parameter_that_several_tools_have_is_each_ones_own():
  def tool(name):
    fields = {"city": {"type": "string", "description": "See `city`."}}
    return Tool(name, "", {"type": "object", "properties": fields})

  result = Message("tool", '{"city": 1}', name="b")
  messages = (Message("user", "Go."), result)
  example = Example("e", messages, (tool("a"), tool("b")))
  masked = augment.mask_names(example, 0)
  names = []
  for shown in masked.tools:
    ((name, schema),) = shown.parameters["properties"].items()
    assert schema["description"] == f"See `{name}`."
    names.append(name)
  assert masked.messages[1].content == f'{{"{names[1]}": 1}}'


def test_a_blank_name_is_in_no_text():
  fields = {"": {"type": "string"}, " ": {"description": "A b."}}
  tool = Tool("f", "Does f.", {"type": "object", "properties": fields})
  example = Example("e", (Message("user", "Go."),), (tool,))
  (masked,) = augment.mask_names(example, 0).tools
  assert masked.description == "Does f."
  _, blank = masked.parameters["properties"].values()
  assert blank["description"] == "A b."


def test_two_tools_of_one_name_are_told_apart():
  first = Tool("f", "", {"type": "object", "properties": {"a": {}}})
  second = Tool("f", "", {"type": "object", "properties": {"b": {}}})
  example = dataclasses.replace(
    _EXAMPLE, tools=(first, second), calls=(Call("f", {"a": 1}),)
  )
  masked = augment.mask_names(example, 0)
  assert checks.check_call(masked.calls[0], masked.tools[:1]) == ()
  assert masked.tools[0].name != masked.tools[1].name


def test_shares_choose_examples_by_seed():
  def changed(share, seed):
    return {
      i for i in range(200) if instructions.drawn(share, seed, f"e{i}", "mask")
    }

  assert changed(0.0, 0) == set()
  assert len(changed(1.0, 0)) == 200
  half = changed(0.5, 0)
  assert 60 < len(half) < 140
  assert half == changed(0.5, 0) != changed(0.5, 1)
