import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tooldev_jax.errors import UserError
from tooldev_jax.toolcall.formats import (
  CALL_FORMATS,
  ParseError,
  ParseReason,
  RenderError,
  Turn,
  get_format,
)
from tooldev_jax.toolcall.formats.turn import (
  MAX_CALLS,
  MAX_CHARS,
  MAX_DEPTH,
  MAX_DIGITS,
  MAX_VALUES,
)
from tooldev_jax.toolcall.jsontext import dump
from tooldev_jax.toolcall.vocabulary import Call

# On a busy machine neither a slow example nor a slow draw is a failure.
STEADY = settings(
  max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

FORMATS = sorted(CALL_FORMATS)

# Letters that mean something to a parser, and any other, lone surrogates too.
CHARACTERS = st.one_of(
  st.sampled_from("[](){}=,:;'\"\\`/<>|#*_ \n\r\t\0aN1-."),
  st.characters(),
  st.characters(categories=["Cs"]),
)
STRINGS = st.one_of(
  st.text(CHARACTERS, max_size=12),
  st.sampled_from(
    ("</tool_call>", "<tool_call>", "[TOOL_CALLS]", "<|python_tag|>")
  ),
  st.sampled_from(("<think>", "[f(a=1)]", '{"name":"f","arguments":{}}')),
).filter(
  # Two halves of one character are not a Unicode string.
  lambda text: (
    text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    == text
  )
)
JSON = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.integers(2**53 - 2, 2**70)
  | st.floats(allow_nan=False, allow_infinity=False)
  | STRINGS,
  lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4)
  ),
  max_leaves=12,
)
CALLS = st.lists(
  st.builds(
    Call, STRINGS.filter(bool), st.dictionaries(STRINGS, JSON, max_size=4)
  ),
  min_size=1,
  max_size=3,
).map(tuple)


def strict(turn):
  """Turns compared as text: 1, 1.0, -0.0 and True differ."""
  return turn.text, dump([call.to_json() for call in turn.calls])


@pytest.mark.parametrize("name", FORMATS)
@given(calls=CALLS)
@STEADY
def test_calls_are_read_back(name, calls):
  rendered = get_format(name).render(calls)
  assert strict(get_format(name).parse(rendered)) == strict(Turn("", calls))


@pytest.mark.parametrize("name", FORMATS)
@given(calls=st.just(()) | CALLS, text=STRINGS | st.text(max_size=40))
@STEADY
def test_text_and_calls_are_read_back_or_refused(name, calls, text):
  try:
    rendered = get_format(name).render(calls, text)
  except RenderError:
    return
  turn = get_format(name).parse(rendered)
  assert strict(turn) == strict(Turn(text.strip(), calls))


@pytest.mark.parametrize("name", FORMATS)
def test_plain_text_beside_calls_is_never_refused(name):
  calls = (Call("f", {"a": 1}), Call("g"))
  for text in ("I call two tools.", "See [1] (p. 4) and {x}.", "f(x) = 1"):
    turn = get_format(name).parse(get_format(name).render(calls, text))
    assert turn == Turn(text, calls)


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("pythonic", "As in [f(a=1)]."),
    ("pythonic", "As in [f(a=x)]."),
    ("hermes", "As in <tool_call>."),
    ("hermes", '{"name": "f", "arguments": {}}'),
    ("llama", '{"name": "f", "parameters": {}}'),
    ("mistral", "As in [TOOL_CALLS]."),
  ],
)
def test_text_that_reads_as_an_attempt_is_not_written(name, text):
  with pytest.raises(RenderError):
    get_format(name).render((), text)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
  "value",
  [
    float("nan"),
    float("inf"),
    {1: 2},
    (1, 2),
    {3},
    b"x",
    "\ud83d\ude00",
    10**MAX_DIGITS,
    list(range(MAX_VALUES + 1)),
  ],
)
def test_values_that_cannot_come_back_are_not_written(name, value):
  with pytest.raises(RenderError):
    get_format(name).render([Call("f", {"a": value})])


@pytest.mark.parametrize("name", FORMATS)
def test_depth_is_bounded_alike_in_writing_and_reading(name):
  def nested(depth):
    value = 0
    for _ in range(depth):
      value = [value]
    return Call("f", {"a": value})

  # The arguments themselves are the first level.
  get_format(name).render([nested(MAX_DEPTH - 1)])
  for depth in (MAX_DEPTH, 5000):
    with pytest.raises(RenderError):
      get_format(name).render([nested(depth)])


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_name_is_not_written(name):
  with pytest.raises(RenderError):
    get_format(name).render([Call("")])


def test_rendered_calls_can_be_stored():
  for name in FORMATS:
    get_format(name).render([Call("f", {"a": "\ud800"})]).encode()


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    (
      "pythonic",
      '[f(a=1, class="é\\n</tool_call>", b c=[None, True]), "g[]"("a=b"=0.5)]',
    ),
    (
      "hermes",
      '<tool_call>\n{"name": "f", "arguments": {"a": 1, "class":'
      ' "é\\n\\u003c/tool_call>", "b c": [null, true]}}\n</tool_call>\n'
      '<tool_call>\n{"name": "g[]", "arguments": {"a=b": 0.5}}\n</tool_call>',
    ),
    (
      "llama",
      '{"name": "f", "parameters": {"a": 1, "class": "é\\n</tool_call>",'
      ' "b c": [null, true]}}; {"name": "g[]", "parameters": {"a=b": 0.5}}',
    ),
    (
      "mistral",
      '[TOOL_CALLS][{"name": "f", "arguments": {"a": 1, "class":'
      ' "é\\n</tool_call>", "b c": [null, true]}},'
      ' {"name": "g[]", "arguments": {"a=b": 0.5}}]',
    ),
  ],
)
def test_how_calls_are_written(name, expected):
  calls = (
    Call("f", {"a": 1, "class": "é\n</tool_call>", "b c": [None, True]}),
    Call("g[]", {"a=b": 0.5}),
  )
  assert get_format(name).render(calls) == expected
  assert get_format(name).render(calls, " Done. ") == f"Done.\n{expected}"
  assert get_format(name).render((), " No tool. ") == "No tool."


F1 = Call("f", {"a": 1})
G = Call("g")


@pytest.mark.parametrize(
  ("name", "written", "text", "calls"),
  [
    # What models write in place of `[f(a=1), g()]`.
    ("pythonic", "[f(a=1), g()]", "", (F1, G)),
    ("pythonic", "[f( a = 1 , ) , g( ) , ]", "", (F1, G)),
    ("pythonic", "f(a=1), g()", "", (F1, G)),
    ("pythonic", "f(a=1)\ng()", "", (F1, G)),
    ("pythonic", "f(a=1); g();", "", (F1, G)),
    ("pythonic", "f(a=1), g()]", "", (F1, G)),
    ("pythonic", "[f(a=1), g()", "", (F1, G)),
    ("pythonic", "```python\n[f(a=1),\n g()]\n```", "", (F1, G)),
    ("pythonic", "```\n[f(a=1)]", "", (F1,)),
    ("pythonic", "`f(a=1)`", "", (F1,)),
    ("pythonic", "[f(a=1)]\n[g()]", "", (F1, G)),
    ("pythonic", "I call [f(a=1)] now.", "I call\nnow.", (F1,)),
    ("pythonic", "f(a=1)\nThat was f.", "That was f.", (F1,)),
    ("pythonic", "<think>[g()]</think>f(a=1)", "<think>[g()]</think>", (F1,)),
    ("pythonic", "<think>[g()]", "<think>[g()]", ()),
    # Text.
    ("pythonic", "", "", ()),
    ("pythonic", " No tool fits. ", "No tool fits.", ()),
    ("pythonic", "[]", "[]", ()),
    ("pythonic", "See [1] (a=b), [a link](https://x.org).", None, ()),
    ("pythonic", "[link(s)](https://x.org/?a=b)", None, ()),
    ("pythonic", "Say [f (a=1)] or [f].", None, ()),
    ("pythonic", "main() is where it starts.", None, ()),
    ("pythonic", "You can use f(a=1).", None, ()),
    ("pythonic", "[x for x in f(y) if x == g(z)]", None, ()),
    ("pythonic", '{"name": "f", "arguments": {}}', None, ()),
    (
      "hermes",
      "<tool_call>{'name':'f','arguments':{'a':1,},}</tool_call>",
      "",
      (F1,),
    ),
    ("hermes", '<tool_call>{"name":"f","arguments":{"a":1}}', "", (F1,)),
    (
      "hermes",
      '<tool_call>{"name":"f","arguments":{"a":1}</tool_call>',
      "",
      (F1,),
    ),
    (
      "hermes",
      '<tool_call>\n{"name":"f","parameters":{"a":1}}\n'
      '{"name":"g","arguments":null}\n</tool_call>',
      "",
      (F1, G),
    ),
    (
      "hermes",
      '<tool_call>[{"name":"f","arguments":{"a":1}},{"name":"g"}]</tool_call>',
      "",
      (F1, G),
    ),
    ("hermes", 'Yes.<tool_call>{"name":"g"}</tool_call>No.', "Yes.\nNo.", (G,)),
    ("hermes", '{"name": "f", "arguments": {"a": 1}}', "", (F1,)),
    ("hermes", '```json\n{"name":"f","arguments":{"a":1}}\n```', "", (F1,)),
    ("hermes", '{"name": "f", "arguments": "{\\"a\\": 1}"}', "", (F1,)),
    (
      "hermes",
      '<think><tool_call></think>{"name":"g","arguments":{}}',
      "<think><tool_call></think>",
      (G,),
    ),
    *(
      ("hermes", written, "", (F1, G))
      for written in (
        # Nested tags, and one that is opened but not closed before the next.
        '<tool_call>\n<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>\n'
        '</tool_call><tool_call>{"name":"g"}</tool_call>',
        '<tool_call>{"name":"f","arguments":{"a":1}}\n'
        '<tool_call>{"name":"g"}</tool_call>',
        '<tool_call>{"name":"f","arguments":{"a":1}},{"name":"g"}',
        '<tool_call>{"name":"f","arguments":{"a":1}}{"name":"g"}</tool_call>',
        # The end of generation came first.
        '<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>\n'
        '<tool_call>\n{"name":"g"}\n</tool_',
        '<tool_call>[{"name":"f","arguments":{"a":1}},{"name":"g"}]\n<',
        '<tool_call>\n```json\n{"name":"f","arguments":{"a":1}}\n{"name":"g"}\n'
        "```\n</tool_call>",
      )
    ),
    (
      "hermes",
      'So: <tool_call>{"name":"f","arguments":{"a":"</tool_call><tool_call>"}}'
      "</tool_call></tool_call>",
      "So:",
      (Call("f", {"a": "</tool_call><tool_call>"}),),
    ),
    ("hermes", '{"name": "Bob", "age": 3}', None, ()),
    ("hermes", '{"name":"f","description":"","parameters":{}}', None, ()),
    ("llama", '<|python_tag|>{"name":"f","parameters":{"a":1}}', "", (F1,)),
    (
      "llama",
      '{"type":"function","name":"f","parameters":{"a":1}};'
      ' {"name":"g","parameters":{}};',
      "",
      (F1, G),
    ),
    (
      "llama",
      '{"type":"function","function":{"name":"f","parameters":{"a":1}}}',
      "",
      (F1,),
    ),
    (
      "llama",
      'Sure: {"name":"f","parameters":{"a":1}}\nand `{"name": "g", '
      '"parameters": {}}`. Done: {"a": 1}',
      'Sure:\nand\n. Done: {"a": 1}',
      (F1, G),
    ),
    ("llama", '{"parameters":{"a":1},"name":"f"}', "", (F1,)),
    ("llama", '[{"name":"f","parameters":{"a":1}}]', "", (F1,)),
    (
      "mistral",
      '[TOOL_CALLS] [{"name":"f","arguments":{"a":1},"id":"x"}]',
      "",
      (F1,),
    ),
    (
      "mistral",
      '[TOOL_CALLS]f[ARGS]{"a":1}[TOOL_CALLS]g[CALL_ID]9[ARGS]{}',
      "",
      (F1, G),
    ),
    (
      "mistral",
      '[{"name":"f","arguments":{"a":1}},{"name":"g","arguments":{}}]',
      "",
      (F1, G),
    ),
    ("mistral", '[TOOL_CALLS][{"name":"f","arguments":{"a":1}}', "", (F1,)),
  ],
)
def test_what_models_write_is_read(name, written, text, calls):
  expected = written if text is None else text
  assert get_format(name).parse(written) == Turn(expected, calls)


@pytest.mark.parametrize(
  ("name", "written", "reason", "position"),
  [
    ("pythonic", '[f("x")]', ParseReason.POSITIONAL_ARGUMENT, 3),
    ("pythonic", "[f(a=1, 2)]", ParseReason.POSITIONAL_ARGUMENT, 8),
    ("pythonic", "[f(Nice)]", ParseReason.BAD_VALUE, 3),
    ("pythonic", "[f(a=Nice)]", ParseReason.BAD_VALUE, 5),
    ("pythonic", "[f(a=g())]", ParseReason.NESTED_CALL, 5),
    ("pythonic", "[f(a=1, a=2)]", ParseReason.DUPLICATE_NAME, 8),
    ("pythonic", "[f(a={'b':1,'b':2})]", ParseReason.DUPLICATE_NAME, 12),
    ("pythonic", "[f(a=NaN)]", ParseReason.NOT_FINITE, 5),
    ("pythonic", "[f(a=-1e999)]", ParseReason.NOT_FINITE, 5),
    ("pythonic", "[f(a=007)]", ParseReason.BAD_NUMBER, 5),
    ("pythonic", "[f(a=1.2.3)]", ParseReason.BAD_NUMBER, 5),
    ("pythonic", "[f(a=1__0)]", ParseReason.BAD_NUMBER, 5),
    ("pythonic", "[f(a=2j)]", ParseReason.BAD_NUMBER, 5),
    ("pythonic", "[f(a='it's')]", ParseReason.EXPECTED_SEPARATOR, 9),
    ("pythonic", '[f(a="\\u12")]', ParseReason.BAD_ESCAPE, 6),
    ("pythonic", "[f(a={1: 2})]", ParseReason.EXPECTED_NAME, 6),
    ("pythonic", '[f(a="', ParseReason.UNTERMINATED, 5),
    ("pythonic", "[f(a=", ParseReason.UNTERMINATED, 5),
    ("pythonic", "[f(a=1", ParseReason.UNTERMINATED, 6),
    ("pythonic", "[f(a=1), text]", ParseReason.EXPECTED_CALL, 9),
    ("pythonic", "[f(a=1) for x]", ParseReason.EXPECTED_SEPARATOR, 8),
    ("pythonic", '[""(a=1)]', ParseReason.MISSING_NAME, 4),
    ("pythonic", f"[f(a={'[' * 99}", ParseReason.TOO_DEEP, 4 + MAX_DEPTH),
    ("pythonic", f"[f(a={'9' * 1001})]", ParseReason.BAD_NUMBER, 5),
    ("pythonic", "[f()]" * (MAX_CALLS + 1), ParseReason.TOO_MANY_CALLS, 1281),
    ("pythonic", "x" * (MAX_CHARS + 1), ParseReason.TOO_LONG, MAX_CHARS),
    ("hermes", "<tool_call></tool_call>", ParseReason.EXPECTED_CALL, 11),
    ("hermes", "<tool_call>f()</tool_call>", ParseReason.EXPECTED_CALL, 11),
    ("hermes", "<tool_call>", ParseReason.UNTERMINATED, 11),
    ("hermes", "<tool_call><tool_call>", ParseReason.UNTERMINATED, 22),
    ("hermes", '<tool_call>{"name":"g"}x', ParseReason.EXPECTED_CALL, 23),
    ("hermes", '<tool_call>{"name":"g"}</tool!', ParseReason.EXPECTED_CALL, 23),
    ("hermes", '<tool_call>{"arguments":{}}', ParseReason.MISSING_NAME, 11),
    ("hermes", '{"name":"f","arguments":[1]}', ParseReason.BAD_ARGUMENTS, 24),
    ("hermes", '{"name":"f","arguments":"x"}', ParseReason.BAD_ARGUMENTS, 24),
    (
      "hermes",
      '{"name":"f","arguments":"{\\"a\\": }"}',
      ParseReason.BAD_VALUE,
      24,
    ),
    (
      "hermes",
      '<tool_call>{"name":"f","city":"Nice"}',
      ParseReason.UNKNOWN_KEY,
      23,
    ),
    (
      "llama",
      '{"name":"f","parameters":{},"arguments":{}}',
      ParseReason.DUPLICATE_NAME,
      28,
    ),
    (
      "llama",
      '{"function":{"function":{"name":"f"}}}',
      ParseReason.UNKNOWN_KEY,
      13,
    ),
    ("llama", '{"name":"f","parameters":{"a":1', ParseReason.UNTERMINATED, 31),
    ("llama", "<|python_tag|>f(a=1)", ParseReason.EXPECTED_CALL, 14),
    ("mistral", "[TOOL_CALLS][]", ParseReason.EXPECTED_CALL, 13),
    ("mistral", "[TOOL_CALLS]f[ARGS]1", ParseReason.BAD_ARGUMENTS, 19),
  ],
)
def test_what_cannot_be_read_has_a_reason_and_a_place(
  name, written, reason, position
):
  with pytest.raises(ParseError) as error:
    get_format(name).parse(written)
  assert (error.value.reason, error.value.position) == (reason, position)


def test_an_unknown_format_names_those_there_are():
  with pytest.raises(UserError, match="pythonic, hermes, llama, mistral"):
    get_format("xml")
