"""Judging made tools on answers whose worth is known by hand."""

import itertools
import json

import numpy as np
import pytest

from tests.evaluate.worlds import (
  BOOK,
  WEATHER,
  make_example,
  make_tool,
  one_of_each,
)
from tooldev_jax.evaluate import matching, tool_making
from tooldev_jax.evaluate.outputs import OutputRecord, RecordedOutputs
from tooldev_jax.toolcall import formats
from tooldev_jax.toolcall.vocabulary import Call

OSLO = Call("get_weather", {"city": "Oslo"})
TABLE = Call("book_table", {"place": "Noma", "guests": 4})


def judge(gold, tools, text=None, **output):
  example = make_example("x", gold)
  if text is None:
    text = json.dumps([tool.to_json() for tool in tools])
  return tool_making.judge(example, OutputRecord("x", text, **output))


def test_gold_tools_score_full_marks():
  examples = one_of_each()
  answers = [
    OutputRecord(e.id, json.dumps([t.to_json() for t in e.called_tools]))
    for e in examples
  ]
  solutions = [
    OutputRecord(e.id, formats.get_format("hermes").render(e.calls))
    for e in examples
    if e.calls
  ]
  judgements, scores = tool_making.evaluate_tools(
    RecordedOutputs(answers), RecordedOutputs(solutions), examples, "hermes"
  )
  # Where no tool fits there is no gold to cover.
  assert [j.example_id for j in judgements] == ["s", "m", "p", "pm"]
  for figure in (
    "parsed",
    "valid",
    "named",
    "parameters",
    "typed",
    "usable",
    "usable_by_name",
    "solved",
  ):
    assert getattr(scores, figure).value == 1.0, figure
  assert scores.made_tools == 1.25


@pytest.mark.parametrize("text", ["", "no idea", "[{]", '{"name": 3}'])
def test_what_is_no_tool_is_not_parsed(text):
  judged = judge([OSLO], [], text)
  assert not judged.parsed and not judged.valid and not judged.usable
  assert judged.parse_reason


def test_an_empty_list_parses_but_is_not_valid():
  judged = judge([OSLO], [], "[]")
  assert judged.parsed and not judged.valid and not judged.usable


def test_a_skipped_query_is_not_parsed():
  judged = judge([OSLO], [], "", finish_reason="skipped")
  assert not judged.parsed and judged.parse_reason == ""


def test_an_unsound_tool_is_not_valid_and_says_why():
  unsound = make_tool("get_weather", ["city"], city="tensor")
  judged = judge([OSLO], [unsound])
  assert judged.parsed and not judged.valid and not judged.usable
  assert judged.findings == ("unknown_type",)


@pytest.mark.parametrize(
  "city",
  [
    {"type": "string", "description": ""},
    {"type": "string", "pattern": "^x**"},
    {"description": "Where.", "type": "string", "default": 3},
  ],
)
def test_a_matter_of_taste_is_told_and_costs_nothing(city):
  tool = make_tool("get_weather", city=city)
  judged = judge([OSLO], [tool])
  assert judged.valid and judged.usable and judged.usable_by_name
  assert judged.findings


def test_what_is_required_needs_a_value_even_if_nothing_describes_it():
  tool = make_tool("get_weather", ["town"], city="string")
  judged = judge([OSLO], [tool])
  assert judged.valid and judged.findings == ("unknown_required",)
  # The city may stand under "town", but not under both names.
  assert judged.usable and not judged.usable_by_name
  judged = judge([Call("get_weather", {})], [tool])
  assert not judged.usable
  # It still covers gold by name.
  assert judged.named == 1


@pytest.mark.parametrize(
  "made,named,shared,typed",
  [
    (make_tool("getWeather", City="string"), 1, 1, 1),
    (make_tool("forecast", city="integer", units="string"), 0, 2, 1),
    (make_tool("forecast", place="string"), 0, 0, 0),
  ],
)
def test_coverage(made, named, shared, typed):
  judged = judge([OSLO], [made])
  assert (judged.gold_tools, judged.parameters) == (1, 3)
  found = (judged.named, judged.parameters_named, judged.parameters_typed)
  assert found == (named, shared, typed)


def test_coverage_prefers_the_name_to_shared_parameters():
  decoy = make_tool("other", city="string", days="integer", units="string")
  judged = judge([OSLO], [decoy, make_tool("get_weather", town="string")])
  assert (judged.named, judged.parameters_named) == (1, 0)


@pytest.mark.parametrize(
  "tool,by_type,by_name",
  [
    (BOOK, True, True),
    # Other names: the values still find a place by their type.
    (make_tool("r", ["where", "n"], where="string", n="integer"), True, False),
    # Number admits an integer.
    (make_tool("r", [], place="string", guests="number"), True, True),
    # Nowhere to put 4.
    (make_tool("r", [], place="string", where="string"), False, False),
    # One place for two values.
    (make_tool("r", [], either="string"), False, False),
    # A required parameter would stay empty.
    (
      make_tool(
        "r", ["day", "place"], place="string", n="integer", day="string"
      ),
      False,
      False,
    ),
    # … unless it has a default.
    (
      make_tool(
        "r",
        ["day", "place"],
        place="string",
        guests="integer",
        day={"type": "string", "default": "today"},
      ),
      True,
      True,
    ),
    # The enumeration does not know Noma.
    (
      make_tool(
        "r", [], place={"type": "string", "enum": ["Alinea"]}, guests="integer"
      ),
      False,
      False,
    ),
    (
      make_tool(
        "r", [], place="string", guests={"type": "integer", "maximum": 3}
      ),
      False,
      False,
    ),
    (make_tool("r"), False, False),
  ],
)
def test_carries(tool, by_type, by_name):
  assert tool_making.carries(tool, TABLE) == by_type
  assert tool_making.carries(tool, TABLE, by_name=True) == by_name


def test_required_and_optional_values_share_out():
  # "Noma" must leave the free parameter to reach the required one.
  tool = make_tool(
    "r", ["b"], a="string", b={"type": "string", "enum": ["Noma", "Oslo"]}
  )
  assert tool_making.carries(tool, Call("c", {"x": "Noma", "y": "Friday"}))
  assert not tool_making.carries(tool, Call("c", {"x": "Bergen"}))


def test_a_call_without_arguments_needs_a_tool_without_duties():
  ping = Call("ping", {})
  assert tool_making.carries(make_tool("r"), ping)
  assert tool_making.carries(make_tool("r", a="string"), ping)
  assert not tool_making.carries(make_tool("r", ["a"], a="string"), ping)


def test_usable_needs_every_call_carried():
  assert judge([OSLO, TABLE], [BOOK]).usable is False
  assert judge([OSLO, TABLE], [BOOK, WEATHER]).usable is True


def test_covers_equals_search_over_all_pairings():
  rng = np.random.default_rng(0)
  for _ in range(300):
    rows, columns = rng.integers(0, 5, 2).tolist()
    edges = rng.random((rows, columns)) < 0.4
    expected = any(
      all(edges[i, j] for i, j in enumerate(chosen))
      for chosen in itertools.permutations(range(columns), rows)
    )
    assert matching.covers(edges) == expected


def test_solving_is_judged_by_the_values_filled_in():
  examples = one_of_each()
  forecast = make_tool("forecast", ["place"], place="string", days="integer")
  made = {
    "s": [forecast],
    "m": [BOOK],
    "p": [forecast],
    "pm": [make_tool("broken", place="tensor")],
  }
  answers = [
    OutputRecord(id, json.dumps([t.to_json() for t in tools]))
    for id, tools in made.items()
  ]

  class Solver:
    def generate(self, asked, kind):
      assert kind == "invocation"
      # Only valid tools are asked about, and gold does not leak.
      assert [e.id for e in asked] == ["s", "m", "p"]
      assert [e.tools for e in asked] == [(forecast,), (BOOK,), (forecast,)]
      assert all(e.calls == () for e in asked)
      return [
        OutputRecord("s", "[forecast(place='Oslo')]"),
        OutputRecord("m", "[book_table(place='Noma', guests=5)]"),
        OutputRecord(
          "p", "[forecast(place='Rome', days=3), forecast(place='Oslo')]"
        ),
      ]

  made_by = RecordedOutputs(answers)
  _, scores = tool_making.evaluate_tools(
    made_by, Solver(), examples, "pythonic"
  )
  assert (scores.solved.value, scores.solved.n) == (0.5, 4)
  assert tool_making.evaluate_tools(
    made_by, Solver(), examples[4:], "llama"
  ) == ([], None)


def test_nothing_valid_asks_nothing():
  example = make_example("x", [OSLO])
  _, scores = tool_making.evaluate_tools(
    RecordedOutputs([OutputRecord("x", "no idea")]),
    RecordedOutputs([]),
    [example],
    "pythonic",
  )
  assert scores.solved.value == 0.0


def test_scores_count_reasons():
  judged = [
    judge([OSLO], [], "no idea"),
    judge([OSLO], [make_tool("get_weather", city="tensor")]),
    judge([OSLO], [WEATHER]),
  ]
  scores = tool_making.score(judged)
  assert scores.n == 3
  assert sum(scores.parse_reasons.values()) == 1
  assert scores.findings == {"unknown_type": 1}
  assert scores.usable.value == pytest.approx(1 / 3)
  assert tool_making.score([]) is None
