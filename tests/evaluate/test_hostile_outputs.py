"""Whatever a model writes, judging it ends, and its figures make sense."""

import dataclasses
import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluate.worlds import one_of_each
from tooldev_jax.evaluate import labels, metrics, tool_making
from tooldev_jax.evaluate.outputs import OutputRecord
from tooldev_jax.toolcall import formats
from tooldev_jax.toolcall.vocabulary import Call, Tool

EXAMPLES = one_of_each()
PIECES = st.sampled_from(
  [
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "get_weather",
    "book_table",
    "city",
    "=",
    ":",
    ",",
    '"Oslo"',
    "'",
    "3",
    "1e999",
    "null",
    '"name"',
    '"arguments"',
    "<tool_call>",
    "</tool_call>",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "\\u",
    "\x00",
    "é",
  ]
)
TEXTS = st.one_of(
  st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)
)

JSON = st.recursive(
  st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(string.ascii_letters + " é", max_size=6),
  ),
  lambda inner: st.one_of(
    st.lists(inner, max_size=3),
    st.dictionaries(st.sampled_from(["a", "type", "items"]), inner, max_size=3),
  ),
  max_leaves=8,
)
# Schemas that look right and are not.
SCHEMAS = st.dictionaries(
  st.sampled_from(
    [
      "type",
      "properties",
      "required",
      "default",
      "enum",
      "items",
      "$ref",
      "anyOf",
      "description",
      "pattern",
      "minimum",
    ]
  ),
  st.one_of(
    JSON,
    st.sampled_from(["string", "integer", "object", "#", "#/properties/city"]),
    st.dictionaries(st.sampled_from(["city", "a"]), JSON, max_size=2),
  ),
  max_size=5,
)
PROPERTIES = st.dictionaries(
  st.sampled_from(["city", "days", "place", "x"]),
  st.one_of(SCHEMAS, JSON),
  max_size=4,
)
PARAMETERS = st.one_of(
  SCHEMAS,
  st.fixed_dictionaries({"type": st.just("object"), "properties": PROPERTIES}),
  st.fixed_dictionaries(
    {
      "type": st.just("object"),
      "properties": PROPERTIES,
      "required": st.one_of(JSON, st.just(["city"])),
    }
  ),
)
TOOLS = st.builds(
  Tool,
  st.sampled_from(["get_weather", "getWeather", "other"]),
  st.just("Does it."),
  PARAMETERS,
)
CALLS = st.builds(
  Call,
  st.sampled_from(["get_weather", "book_table", "other"]),
  st.dictionaries(
    st.sampled_from(["city", "days", "guests"]), JSON, max_size=3
  ),
)


@pytest.mark.parametrize("call_format", formats.CALL_FORMATS)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS, which=st.integers(0, len(EXAMPLES) - 1))
def test_any_text_is_judged(call_format, text, which):
  example = EXAMPLES[which]
  judged = metrics.judge(example, OutputRecord(example.id, text), call_format)
  assert judged.outcome in metrics.OUTCOMES
  least = min(judged.arguments_made, judged.arguments_gold)
  assert 0 <= judged.arguments_right <= least
  for figure in (judged.precision, judged.recall, judged.f1):
    assert 0 <= figure <= 1
  if not judged.parsed:
    assert judged.made_calls == 0 and judged.parse_reason
  scores = metrics.score([judged])
  assert (scores.overall is None) == (scores.irrelevance is not None)


@settings(max_examples=150, deadline=None)
@given(
  calls=st.lists(CALLS, max_size=4),
  gold=st.lists(CALLS, max_size=3),
  text=st.sampled_from(sorted(formats.CALL_FORMATS)),
)
def test_exact_means_every_figure_is_full(calls, gold, text):
  example = dataclasses.replace(EXAMPLES[1], calls=tuple(gold))
  for made in (calls, gold, list(reversed(gold))):
    answer = formats.get_format(text).render(made)
    judged = metrics.judge(example, OutputRecord("m", answer), text)
    if judged.exact:
      assert judged.names
      assert judged.precision == judged.recall == judged.f1 == 1.0
    if made is not calls:
      assert judged.exact


@settings(max_examples=250, deadline=None)
@given(tools=st.lists(TOOLS, max_size=2), which=st.integers(0, 3))
def test_any_tools_are_judged(tools, which):
  example = EXAMPLES[which]
  text = json.dumps([tool.to_json() for tool in tools])
  judged = tool_making.judge(example, OutputRecord(example.id, text))
  assert judged.usable_by_name <= judged.usable <= judged.valid <= judged.parsed
  assert judged.named <= judged.gold_tools
  assert judged.parameters_typed <= judged.parameters_named <= judged.parameters
  scores = tool_making.score([judged])
  assert 0 <= scores.typed.value <= scores.parameters.value <= 1


@settings(max_examples=150, deadline=None)
@given(calls=st.lists(CALLS, max_size=3), tools=st.lists(TOOLS, max_size=2))
def test_any_labels_are_judged(calls, tools):
  example = EXAMPLES[1]
  made = dataclasses.replace(example, calls=tuple(calls), tools=tuple(tools))
  judged = labels.judge(made, example)
  assert 0 <= judged.value_precision <= 1
  assert 0 <= judged.value_recall <= 1
  same = dataclasses.replace(made, tools=())
  gold = dataclasses.replace(example, calls=tuple(calls))
  assert labels.judge(same, gold).values_exact
