import contextlib
import dataclasses
import json

import hypothesis
import hypothesis.strategies as st
import pytest

from tooldev_jax import errors
from tooldev_jax.config import ViewConfig
from tooldev_jax.data import instructions, toolparse, views
from tooldev_jax.toolcall import formats
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool


def _tool(name, **properties):
  return Tool(
    name, f"Does {name}.", {"type": "object", "properties": properties}
  )


_TOOLS = tuple(_tool(f"t{i}", x={"type": "integer"}) for i in range(4))
_POOL = tuple(_tool(f"p{i}") for i in range(50)) + _TOOLS
_EXAMPLE = Example(
  "e1",
  (Message("user", "Do {query} two."),),
  _TOOLS,
  (Call("t2", {"x": 1}), Call("t0", {"x": 2})),
  answer="On it.",
)


def test_adaption_goes_from_plain_words_to_the_definition():
  view = views.make_view(_EXAMPLE, "adaption", 0)
  tool = Tool.loads(view.target)
  assert tool in _TOOLS
  assert views.describe_tool(tool) in view.messages[0].content
  assert view.tools == ()


def test_generation_goes_from_the_query_to_the_called_tools():
  view = views.make_view(_EXAMPLE, "generation", 0)
  assert _EXAMPLE.query in view.messages[0].content
  assert toolparse.parse_tools(view.target) == (_TOOLS[0], _TOOLS[2])


def test_invocation_offers_the_called_tools_and_distractors():
  call_format = formats.get_format("pythonic")
  for seed in range(20):
    view = views.make_view(_EXAMPLE, "invocation", seed, pool=_POOL)
    turn = call_format.parse(view.target)
    assert (turn.calls, turn.text) == (_EXAMPLE.calls, "On it.")
    names = [tool.name for tool in view.tools]
    assert len(set(names)) == len(names)
    assert set(view.needed) == {"t0", "t2"} <= set(names)
    assert {"t1", "t3"} <= set(names)
    assert len(names) <= 2 + 5


def test_masking_leaves_no_old_name_in_an_invocation():
  options = ViewConfig(mask_names=1.0)
  for seed in range(20):
    view = views.make_view(_EXAMPLE, "invocation", seed, options, _POOL)
    names = {tool.name for tool in view.tools}
    assert all(name.startswith("tool_") for name in names)
    calls = formats.get_format("pythonic").parse(view.target).calls
    assert {call.name for call in calls} == set(view.needed) <= names
    assert not any("x" in call.arguments for call in calls)
  for kind in ("adaption", "generation"):
    plain = views.make_view(_EXAMPLE, kind, 0)
    assert views.make_view(_EXAMPLE, kind, 0, options) == plain


def test_shuffling_changes_the_order_of_parameters_in_every_view():
  tool = _tool("f", **{f"p{i}": {"type": "integer"} for i in range(9)})
  example = Example("e", (Message("user", "Go."),), (tool,), (Call("f"),))
  options = ViewConfig(shuffle_definitions=1.0)

  def order(kind, chosen):
    view = views.make_view(example, kind, 0, chosen)
    shown = view.tools or toolparse.parse_tools(view.target)
    return list(shown[0].parameters["properties"])

  for kind in views.KINDS:
    plain, shuffled = order(kind, ViewConfig()), order(kind, options)
    assert plain != shuffled
    assert sorted(plain) == sorted(shuffled)


@pytest.mark.parametrize("field", ["mask_names", "shuffle_definitions"])
def test_wrong_shares_are_named(field):
  with pytest.raises(errors.UserError, match=f"view.{field}"):
    ViewConfig(**{field: 1.5})


def test_number_of_distractors_is_uniform_up_to_the_limit():
  options = ViewConfig(max_distractors=3, keep_given=False)
  counts = [0] * 4
  for seed in range(400):
    view = views.make_view(_EXAMPLE, "invocation", seed, options, _POOL)
    counts[len(view.tools) - 2] += 1
  assert min(counts) > 70  # 100 each expected, standard deviation 8.7


def test_called_tools_stand_anywhere():
  firsts = {
    views.make_view(_EXAMPLE, "invocation", seed).tools[0].name
    for seed in range(60)
  }
  assert firsts == {"t0", "t1", "t2", "t3"}
  fixed = ViewConfig(shuffle_tools=False)
  view = views.make_view(_EXAMPLE, "invocation", 5, fixed)
  assert [tool.name for tool in view.tools[:2]] == ["t0", "t2"]


def test_irrelevance_gets_a_plain_refusal_that_reads_as_no_call():
  example = dataclasses.replace(_EXAMPLE, calls=(), answer="")
  seen = {
    views.make_view(example, "invocation", seed).target for seed in range(60)
  }
  assert seen == set(instructions.REFUSALS)
  for text in seen:
    for call_format in formats.CALL_FORMATS.values():
      assert call_format.parse(text).calls == ()


def test_an_answer_of_the_data_replaces_the_refusal():
  example = dataclasses.replace(_EXAMPLE, calls=(), answer="Which city?")
  assert views.make_view(example, "invocation", 0).target == "Which city?"


def test_raw_text_is_the_target_as_it_stands():
  raw = "[t2( x = 1 ),t0(x=2)]"
  example = dataclasses.replace(_EXAMPLE, provenance={"raw": raw})
  assert views.make_view(example, "invocation", 0).target == raw


def test_what_a_format_cannot_write_is_an_error():
  text = "[t0(x=1)]"  # would be read as a call
  example = dataclasses.replace(_EXAMPLE, answer=text)
  with pytest.raises(views.ViewError, match="e1"):
    views.make_view(example, "invocation", 0)


def test_tools_of_earlier_turns_are_needed():
  messages = (
    Message("user", "First."),
    Message("assistant", "", (Call("t3", {}),)),
    Message("tool", "done", name="t3"),
    Message("user", "Then."),
  )
  example = dataclasses.replace(_EXAMPLE, messages=messages)
  view = views.make_view(example, "invocation", 0)
  assert set(view.needed) == {"t0", "t2", "t3"}


def test_views_that_would_teach_nothing_are_none():
  nothing = Example("e", (Message("user", "Hi."),))
  assert views.make_view(nothing, "adaption", 0) is None
  assert views.make_view(nothing, "generation", 0) is None
  assert views.make_view(Example("e", ()), "invocation", 0) is None


def test_views_depend_on_seed_and_example_alone():
  def view(seed):
    return views.make_view(_EXAMPLE, "invocation", seed, pool=_POOL)

  assert view(3) == view(3)
  assert len({str(view(seed).tools) for seed in range(20)}) > 10


@pytest.mark.parametrize("kind", ["adaption", "generation"])
def test_every_wording_is_used(kind):
  table = {
    "adaption": instructions.ADAPTION,
    "generation": instructions.GENERATION,
  }[kind]
  example = dataclasses.replace(_EXAMPLE, tools=_TOOLS[:1] + _TOOLS[2:3])
  texts = {
    views.make_view(example, kind, seed).messages[0].content
    for seed in range(80)
  }
  per_wording = 2 if kind == "adaption" else 1
  assert len(texts) == len(table) * per_wording


def test_description_says_what_the_schema_holds():
  tool = Tool(
    "book",
    "Books a table.",
    {
      "type": "object",
      "properties": {
        "people": {"type": "integer", "description": "How many.",
                   "minimum": 1, "default": 2},
        "place": {"type": "object", "properties": {
          "city": {"type": "string", "enum": ["Rome", "Oslo"]}}},
        "tags": {"type": "array", "items": {"type": "string"}},
      },
      "required": ["people"],
    },
  )  # fmt: skip
  assert views.describe_tool(tool) == (
    "book: Books a table.\n"
    "- people (integer, required, minimum 1, default 2): How many.\n"
    "- place (object, optional)\n"
    '  - city (string, optional, one of "Rome", "Oslo")\n'
    "- tags (array, optional, items: string)"
  )
  assert views.describe_tool(Tool("ping")) == (
    "ping: no description given.\nIt takes no parameters."
  )


def test_wrong_settings_are_named():
  with pytest.raises(errors.UserError, match="call_format"):
    ViewConfig(call_format="xml")
  with pytest.raises(errors.UserError, match="max_distractors"):
    ViewConfig(max_distractors=-1)
  with pytest.raises(errors.UserError, match="invocation"):
    views.make_view(_EXAMPLE, "guess", 0)


_ONE, _TWO = _TOOLS[0].dumps(), _TOOLS[1].dumps()


@pytest.mark.parametrize(
  "text",
  [
    f"[{_ONE},{_TWO}]",
    f"{_ONE}\n{_TWO}",
    f"Sure:\n```json\n[{_ONE},{_TWO}]\n```\nDone.",
    f"```json\n{_ONE}\n```\n```json\n{_TWO}\n```",
    f"1. {_ONE}; 2. {_TWO}",
    f'[{{"type":"function","function":{_ONE}}}] and [{_TWO}]',
  ],
)
def test_parse_tools_reads_what_models_write(text):
  assert toolparse.parse_tools(text) == _TOOLS[:2]


def test_parse_tools_reads_no_tools():
  assert toolparse.parse_tools("[]") == ()


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("", "EMPTY"),
    ("I cannot.", "EMPTY"),
    ("[" + _ONE, "BAD_JSON"),
    (_ONE[:-3], "BAD_JSON"),
    ('{"name": "f", "parameters": {"default": NaN}}', "BAD_JSON"),
    ('{"name": "f", "parameters": {"default": 1e999}}', "BAD_JSON"),
    ('{"name": "f", "parameters": {"default": ' + "9" * 5000 + "}}",
     "BAD_JSON"),
    ('{"name": "f", "name": "g"}', "BAD_JSON"),
    ("[1]", "NOT_A_TOOL"),
    ('{"description": "no name"}', "NOT_A_TOOL"),
    ('{"name": "f", "parameters": []}', "NOT_A_TOOL"),
    (f"[{_ONE},{_ONE}]", "REPEATED"),
    ("[" * 40 + "]" * 40, "TOO_DEEP"),
    ("[" * 60000, "TOO_DEEP"),
    (" " * 70000, "TOO_LONG"),
    ("[" + ",".join(f'{{"name":"f{i}"}}' for i in range(99)) + "]",
     "TOO_MANY"),
  ],
)  # fmt: skip
def test_parse_tools_names_what_is_wrong(text, reason):
  with pytest.raises(toolparse.ToolParseError) as caught:
    toolparse.parse_tools(text)
  assert caught.value.reason is toolparse.ToolParseReason[reason]
  assert 0 <= caught.value.position <= len(text)


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
  st.text(st.sampled_from('[]{}":,\\ax1- \n'), max_size=80)
  | st.text(max_size=40)
)
def test_parse_tools_raises_nothing_else(text):
  with contextlib.suppress(toolparse.ToolParseError):
    toolparse.parse_tools(text)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(cut=st.integers(0, 400), junk=st.text(max_size=4))
def test_parse_tools_survives_damage(cut, junk):
  text = json.dumps([tool.to_json() for tool in _TOOLS])
  with contextlib.suppress(toolparse.ToolParseError):
    toolparse.parse_tools(text[:cut] + junk + text[cut:])
