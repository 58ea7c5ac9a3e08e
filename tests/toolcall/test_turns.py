"""What of a turn is thought, text and call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolcall.test_formats import CALLS, FORMATS, STEADY
from tooldev_jax.toolcall.formats import (
  ParseError,
  ParseReason,
  RenderError,
  Turn,
  get_format,
)
from tooldev_jax.toolcall.vocabulary import Call

ROME = Call("weather", {"city": "Rome"})
OSLO = Call("weather", {"city": "Oslo"})


@pytest.mark.parametrize("name", FORMATS)
def test_what_comes_before_an_end_of_thought_is_thought(name):
  form = get_format(name)
  rome, oslo = form.render([ROME]), form.render([OSLO])
  for thought in (
    f"I could send {rome}, but no.\n</think>",
    f"{rome}\n</think>",
    f"{rome}\nor\n{oslo}\n</think>",
    f"{rome[:-4]} hm </think>",  # A draft that breaks off.
    f"First </think> then\n{rome}\n</think>",
    f"<think>{rome}</think> no, {rome}</think>",
    "</think>",
  ):
    turn = form.parse(f"{thought}\n\n{oslo}")
    assert turn == Turn(thought, (OSLO,)), thought
    assert form.parse(f"{thought} No tool fits.").calls == ()


@pytest.mark.parametrize("name", FORMATS)
def test_each_of_several_thoughts_is_text(name):
  form = get_format(name)
  rome, oslo = form.render([ROME]), form.render([OSLO])
  written = f"<think>a</think>\n{oslo}\n<think>{rome}</think>\n{rome}"
  text = f"<think>a</think>\n<think>{rome}</think>"
  assert form.parse(written) == Turn(text, (OSLO, ROME))
  cut = f"{oslo}\n<think>or {rome}"
  assert form.parse(cut) == Turn(f"<think>or {rome}", (OSLO,))
  nested = f"<think>{rome} <think>{rome}</think> {rome}</think>"
  assert form.parse(f"{nested}\n{oslo}") == Turn(nested, (OSLO,))


@pytest.mark.parametrize("name", FORMATS)
def test_text_may_speak_of_the_tag_of_thoughts(name):
  form = get_format(name)
  text = "I do not use <think> here."
  written = f"{text}\n{form.render([OSLO])}"
  assert form.parse(written) == Turn(text, (OSLO,))
  assert form.render([OSLO], text) == written


@pytest.mark.parametrize("name", FORMATS)
def test_the_tags_of_thoughts_may_be_values(name):
  form = get_format(name)
  for value in ("</think>", "<think>", "a</think>\n<think>b"):
    calls = (Call("say", {"text": value}), OSLO)
    assert form.parse(form.render(calls, "Now:")) == Turn("Now:", calls)
  thought = Call("say", {"text": "</think>"})
  written = form.render([thought], f"Maybe {form.render([ROME])}\n</think>")
  assert form.parse(written).calls == (thought,)


def test_a_broken_call_with_a_tag_in_it_is_no_refusal():
  with pytest.raises(ParseError) as error:
    get_format("pythonic").parse('[say(text="</think>", loud=very)]')
  assert error.value.reason == ParseReason.BAD_VALUE


@pytest.mark.parametrize("empty", ['""', '" \\n"', '"{}"', '"null"', "null"])
@pytest.mark.parametrize(
  ("name", "written"),
  [
    ("hermes", '<tool_call>{"name": "f", "arguments": %s}</tool_call>'),
    ("hermes", '{"name": "f", "arguments": %s}'),
    ("hermes", '<tool_call>{"name": "f", "arguments": %s}'),
    ("llama", '{"name": "f", "parameters": %s}'),
    ("llama", '{"parameters": %s, "name": "f"}'),
    ("mistral", '[TOOL_CALLS][{"name": "f", "arguments": %s}]'),
    ("mistral", "[TOOL_CALLS]f[ARGS]%s"),
    ("llama", '{"function": {"name": "f", "arguments": %s}}'),
  ],
)
def test_empty_arguments_are_none(name, written, empty):
  assert get_format(name).parse(written % empty) == Turn("", (Call("f"),))


@pytest.mark.parametrize("text", ['"x"', '"{} x"', '"nullx"', '"[]"', "[]"])
def test_other_texts_are_no_arguments(text):
  with pytest.raises(ParseError):
    get_format("hermes").parse(
      f'<tool_call>{{"name": "f", "arguments": {text}}}</tool_call>'
    )


FILE = Call("make_file", {"path": "/w/a.txt", "content": "hi {you}"})
LIST = Call("list")


@pytest.mark.parametrize(
  ("written", "text", "calls"),
  [
    (
      '[TOOL_CALLS]make_file{"path": "/w/a.txt", "content": "hi {you}"}',
      "",
      (FILE,),
    ),
    ("[TOOL_CALLS]list{}", "", (LIST,)),
    ("[TOOL_CALLS] list {}", "", (LIST,)),
    ("[TOOL_CALLS]list{}[TOOL_CALLS]list{}", "", (LIST, LIST)),
    (
      '[TOOL_CALLS]list{}\n[TOOL_CALLS]f{"a": 1}',
      "",
      (LIST, Call("f", {"a": 1})),
    ),
    ('[TOOL_CALLS]list{}f{"a": 1}', "", (LIST, Call("f", {"a": 1}))),
    ('[TOOL_CALLS]list{}, f{"a": 1}', "", (LIST, Call("f", {"a": 1}))),
    ("[TOOL_CALLS]list[ARGS]{}f[ARGS]{}", "", (LIST, Call("f"))),
    ("[TOOL_CALLS]list[CALL_ID]a1b2{}", "", (LIST,)),
    ("[TOOL_CALLS]my list{}", "", (Call("my list"),)),
    ("So: [TOOL_CALLS]list{} Done {x}.", "So:\nDone {x}.", (LIST,)),
  ],
)
def test_mistrals_names_before_json_are_calls(written, text, calls):
  assert get_format("mistral").parse(written) == Turn(text, calls)


NAMES = ("weather", "say")
SAMPLES = {
  "pythonic": ("[P(A=1)]", "[make_user(id=7)]", "[f(a=x)]"),
  "hermes": (
    '{"name": "make_user", "arguments": {"id": 7}}',
    '{"name": "make_user", "arguments": {"id": <id>}}',
    '[{"name": "make_user", "parameters": {}}]',
    '{"type": "function", "function": {"name": "f", "arguments": {}}}',
  ),
}
SAMPLES["llama"] = SAMPLES["mistral"] = SAMPLES["hermes"]
_SAMPLES = [(name, s) for name in FORMATS for s in SAMPLES[name]]


@pytest.mark.parametrize(("name", "sample"), _SAMPLES)
def test_samples_of_calls_to_no_offered_tool_are_text(name, sample):
  form = get_format(name)
  for prose in (
    f"Here is a body you could post:\n\n```json\n{sample}\n```\n\nAdjust it.",
    f"Write\n{sample}\nor `{sample}`.",
  ):
    assert form.parse(prose, NAMES) == Turn(prose, ())
    assert form.parse(prose, ()) == Turn(prose, ())
    assert form.render((), prose, NAMES) == prose
    oslo = form.render([OSLO])
    assert form.parse(f"{prose}\n{oslo}", NAMES) == Turn(prose, (OSLO,))
    assert form.parse(f"{oslo}\n{prose}", NAMES) == Turn(prose, (OSLO,))


@pytest.mark.parametrize("name", FORMATS)
def test_a_turn_that_is_all_call_is_one_whatever_it_calls(name):
  form = get_format(name)
  for calls in ((Call("nope", {"a": 1}),), (OSLO, Call("nope"))):
    written = form.render(calls)
    assert form.parse(written, NAMES) == Turn("", calls)
    fenced = f"```\n{written}\n```"
    assert form.parse(fenced, NAMES) == Turn("", calls)
    thought = f"<think>[a(b=1)]</think>\n{written}"
    assert form.parse(thought, NAMES).calls == calls


def test_a_tag_makes_a_call_whatever_it_calls():
  for name, written in (
    ("hermes", 'So: <tool_call>{"name": "nope"}</tool_call>'),
    ("mistral", 'So: [TOOL_CALLS][{"name": "nope", "arguments": {}}]'),
    ("mistral", "So: [TOOL_CALLS]nope{}"),
    ("llama", 'So: <|python_tag|>{"name": "nope", "parameters": {}}'),
  ):
    assert get_format(name).parse(written, NAMES) == Turn(
      "So:", (Call("nope"),)
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_broken_call_of_an_offered_tool_is_never_text(name):
  form = get_format(name)
  broken = form.render([OSLO]).partition("Oslo")[0]
  for written in (broken, f"I call\n{broken}"):
    with pytest.raises(ParseError):
      form.parse(written, NAMES)


def test_a_broken_list_that_opens_the_turn_is_never_text():
  with pytest.raises(ParseError):
    get_format("pythonic").parse("[nope(a=b)]", NAMES)


ODD_NAMES = (
  "Chassis Number (CHN) Lookup",
  "User Wall (Clip Posts) V2",
  "Search, Filter & Sort",
  "Today's News",
  "Get [beta] Quote",
  'The "Best" Films',
  "a=b",
  "f(x)",
  "{id}/users",
  "back\\slash",
  "(nameless)",
  "Über Größe (EU)",
)


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_offered_names_are_read_as_they_are(odd):
  form = get_format("pythonic")
  call = Call(odd, {"plate": "AB12", "n": [1]})
  names = ("weather", odd)
  raw = f'{odd}(plate="AB12", n=[1])'
  for written, text, calls in (
    (f"[{raw}]", "", (call,)),
    (f"[ {raw}, {odd}() ]", "", (call, Call(odd))),
    (f'[weather(city="Oslo"), {raw}]', "", (OSLO, call)),
    (f"Sure:\n[{raw}]\nDone.", "Sure:\nDone.", (call,)),
    (f"```python\n[{raw}]\n```", "", (call,)),
    (f"<think>hm</think>{raw}", "<think>hm</think>", (call,)),
    (raw, "", (call,)),
  ):
    assert form.parse(written, names) == Turn(text, calls)
  assert get_format("mistral").parse(
    f'[TOOL_CALLS]{odd}{{"plate": "AB12", "n": [1]}}', names
  ) == Turn("", (call,))


def test_of_two_offered_names_the_longer_counts():
  names = ("Look up", "Look up (VIN)", "Look up (VIN) (EU)")
  for odd in names:
    turn = get_format("pythonic").parse(f"[{odd}(a=1)]", names)
    assert turn.calls == (Call(odd, {"a": 1}),)


@pytest.mark.parametrize("odd", ODD_NAMES)
@pytest.mark.parametrize("name", FORMATS)
def test_odd_names_are_written_and_read_back_known_or_not(name, odd):
  form = get_format(name)
  calls = (Call(odd, {odd: 1}), OSLO)
  written = form.render(calls)
  for names in (None, (odd, "weather"), (*ODD_NAMES, "weather")):
    assert form.parse(written, names) == Turn("", calls)


@pytest.mark.parametrize(
  "odd", [odd for odd in ODD_NAMES if odd[0] not in "({" and "]" not in odd]
)
def test_an_odd_name_that_is_not_known_is_no_refusal(odd):
  with pytest.raises(ParseError):
    get_format("pythonic").parse(f'[{odd}(plate="AB12")]')


@pytest.mark.parametrize("name", FORMATS)
@given(calls=CALLS, others=st.lists(st.text(max_size=6), max_size=3))
@STEADY
def test_calls_of_offered_tools_are_read_back_or_refused(name, calls, others):
  names = (*others, *(call.name for call in calls))
  try:
    rendered = get_format(name).render(calls, names=names)
  except RenderError:
    return
  assert get_format(name).parse(rendered, names) == Turn("", calls)
