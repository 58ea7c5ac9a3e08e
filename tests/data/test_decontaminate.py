import dataclasses
import random

import pytest

from tests.data import real
from tooldev_jax import errors
from tooldev_jax.data import decontaminate as dc
from tooldev_jax.data import sources
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool


def _example(name, text, tool="some_tool", call=True, turns=()):
  messages = (*(Message("user", t) for t in turns), Message("user", text))
  calls = (Call(tool),) if call else ()
  return Example(name, messages, (Tool(tool),), calls)


_EVALUATION = (
  _example("ev0", "Please book a quiet table for two people tonight.",
           "Restaurants_1.BookTable"),
  _example("ev1", "Show me all cheap flights from Oslo to Rome next week.",
           "find_flights"),
)  # fmt: skip


def _clean(examples, evaluation, config=None):
  return dc.decontaminate({"x": examples}, evaluation, config)["x"]


_STRICT = dc.DecontaminateConfig(reasons=dc.REASONS)


def _reasons(result):
  return [(hit.example_id, hit.reason, hit.evaluation_id)
          for hit in result.hits]  # fmt: skip


def test_names_meet_whatever_their_spelling():
  names = ("restaurants1_book_table", "Restaurants-1 Book Table",
           "restaurants_1.bookTable")  # fmt: skip
  normal = {dc.normal_name(name) for name in (*names[1:],
            "Restaurants_1.BookTable")}  # fmt: skip
  assert normal == {"restaurants 1 book table"}
  for name in (*names, "restaurants1booktable"):
    example = _example("a", "x", name)
    result = _clean([example], _EVALUATION, _STRICT)
    assert _reasons(result) == [("a", dc.TOOL_NAME, "ev0")]
    assert result.kept == ()


def test_queries_meet_whatever_their_punctuation():
  text = "please book a QUIET table, for two people - tonight"
  result = _clean([_example("a", "And then?", turns=(text,))], _EVALUATION)
  assert _reasons(result) == [("a", dc.EXACT_QUERY, "ev0")]


def test_queries_meet_in_scripts_without_spaces():
  evaluation = [_example("ev", "请帮我查一下北京明天的天气怎么样")]
  same, near, other = (
    _example(name, text, "other")
    for name, text in (
      ("same", "请帮我查一下,北京明天的天气怎么样?"),
      ("near", "请帮我查一下北京明天的天气怎样"),
      ("other", "我想订一张去上海的火车票"),
    )
  )
  result = _clean([same, near, other], evaluation)
  assert _reasons(result) == [
    ("same", dc.EXACT_QUERY, "ev"),
    ("near", dc.NEAR_QUERY, "ev"),
  ]


def test_near_queries_are_found_and_verified():
  near = "Show me all cheap flights from Oslo to Rome next month."
  far = "Show me all cheap hotels in Oslo or in Rome next week."
  result = _clean([_example("near", near), _example("far", far)], _EVALUATION)
  assert _reasons(result) == [("near", dc.NEAR_QUERY, "ev1")]
  assert [example.id for example in result.kept] == ["far"]


def test_short_queries_are_no_evidence():
  evaluation = [_example("ev", "Yes please.")]
  result = _clean([_example("a", "Yes please.", "other")], evaluation)
  assert result.hits == ()
  every = dc.DecontaminateConfig(min_words=1)
  assert _clean([_example("a", "yes, please", "other")], evaluation, every).hits


def test_names_are_reported_and_not_a_reason_to_remove_unless_asked_for():
  example = _example("a", "x", "find_flights")
  result = _clean([example], _EVALUATION)
  assert result.kept == (example,)
  assert _reasons(result) == [("a", dc.TOOL_NAME, "ev1")]


def test_uncalled_tools_count_when_asked_for():
  example = _example("a", "x", "find_flights", call=False)
  assert _clean([example], _EVALUATION, _STRICT).hits == ()
  strict = dataclasses.replace(_STRICT, offered_tools=True)
  assert _clean([example], _EVALUATION, strict).kept == ()


def test_documents_are_judged_by_their_tool():
  document = Example("doc", (), (Tool("find_flights"),))
  assert _clean([document], _EVALUATION, _STRICT).kept == ()


def test_report_counts_both_sides():
  training = [
    _example("a", "x", "find_flights"),
    _example("b", "y", "FindFlights"),
    _example("c", "z"),
  ]
  report = _clean(training, _EVALUATION, _STRICT).report()
  assert report == {
    "kept": 1,
    "removed": 2,
    "examples_hit": {"tool name": 2, "exact query": 0, "near query": 0},
    "evaluation_entries": 2,
    "evaluation_entries_hit": {
      "tool name": 1, "exact query": 0, "near query": 0,
    },
    "shared_names": {"find flights": 2},
  }  # fmt: skip


def test_near_queries_are_those_of_a_plain_comparison():
  rng = random.Random(0)
  words = [f"w{i}" for i in range(9)]
  texts = [" ".join(rng.choices(words, k=rng.randint(4, 9))) for _ in range(80)]
  evaluation = [_example(f"ev{i}", text) for i, text in enumerate(texts[:40])]
  for near in (0.1, 0.34, 1.0):
    config = dc.DecontaminateConfig(near=near)
    for text in texts[40:]:
      found = _clean([_example("a", text, "other")], evaluation, config)
      a = dc._grams(text)
      expected = text in texts[:40] or any(
        len(a & dc._grams(b)) >= near * len(a | dc._grams(b))
        for b in texts[:40]
      )
      assert (found.kept == ()) == expected


def test_wrong_settings_are_named():
  with pytest.raises(errors.UserError, match="allowed: one of tool name"):
    dc.DecontaminateConfig(reasons=("name",))
  with pytest.raises(errors.UserError, match=r"decontaminate\.near"):
    dc.DecontaminateConfig(near=0)


@real.needs_data
def test_sgd_dev_against_bfcl_live():
  # The whole of SGD is in tests/benchmarks/data_decontamination.py.
  evaluation = [
    example
    for path in sorted(real.DATA.glob("bfcl/BFCL_v4_live_*.json"))
    for example in sources.read_examples(path, "bfcl").examples
  ]
  training = sources.read_examples(
    real.DATA / "calls/sgd_dev.jsonl.gz", "sgd"
  ).examples
  result = _clean(training[:300], evaluation, _STRICT)
  assert result.evaluation_size == 2251
  names = {dc.normal_name(tool.name) for e in evaluation for tool in e.tools}
  for hit in result.hits:
    if hit.reason == dc.TOOL_NAME:
      assert hit.detail in names
  clean = _clean(result.kept, evaluation, _STRICT)
  assert clean.hits == ()
