"""Judging calls: each figure on answers whose score is known by hand."""

import pytest

from tests.evaluate.worlds import BOOK, WEATHER, make_example, one_of_each
from tooldev_jax import errors
from tooldev_jax.evaluate import metrics
from tooldev_jax.evaluate.outputs import OutputRecord, RecordedOutputs
from tooldev_jax.toolcall import formats
from tooldev_jax.toolcall.vocabulary import Call

OSLO = Call("get_weather", {"city": "Oslo"})
ROME = Call("get_weather", {"city": "Rome", "days": 3})
TABLE = Call("book_table", {"place": "Noma", "guests": 4})


def judge(gold, text, tools=(WEATHER, BOOK), call_format="pythonic", **output):
  example = make_example("x", gold, tools)
  return metrics.judge(example, OutputRecord("x", text, **output), call_format)


def gold_outputs(examples, call_format):
  render = formats.get_format(call_format).render
  return [
    OutputRecord(e.id, render(e.calls, "" if e.calls else "None of them fits."))
    for e in examples
  ]


@pytest.mark.parametrize("call_format", formats.CALL_FORMATS)
def test_gold_scores_full_marks(call_format):
  examples = one_of_each()
  answers = gold_outputs(examples, call_format)
  scores = metrics.score(metrics.judge_all(examples, answers, call_format))
  overall = scores.overall
  assert overall.n == 4
  for figure in ("exact", "names", "precision", "recall", "f1", "parsed"):
    assert getattr(overall, figure).value == 1.0, figure
  assert overall.under_call.value == 0.0
  assert overall.over_call is None
  assert scores.irrelevance.n == 1
  assert scores.irrelevance.exact.value == 1.0
  assert scores.irrelevance.over_call.value == 0.0
  assert scores.irrelevance.names is None
  assert [c.category for c in scores.categories] == list(metrics.CATEGORIES)


def test_garbage_passes_irrelevance_and_nothing_else():
  examples = one_of_each()
  garbage = metrics.garbage_outputs(examples)
  for call_format in formats.CALL_FORMATS:
    scores = metrics.score(metrics.judge_all(examples, garbage, call_format))
    assert scores.overall.exact.value == 0.0
    assert scores.overall.f1.value == 0.0
    assert scores.overall.under_call.value == 1.0
    assert scores.irrelevance.exact.value == 1.0


@pytest.mark.parametrize(
  "gold,text,outcome",
  [
    ([OSLO], "[get_weather(city='Oslo')]", "exact"),
    # A stated default is the same call, and so is another order.
    ([OSLO], "[get_weather(days=1, city='Oslo')]", "exact"),
    (
      [OSLO, TABLE],
      "[book_table(guests=4, place='Noma'), get_weather(city='Oslo')]",
      "exact",
    ),
    ([OSLO], "[get_weather(city='Bergen')]", "wrong value"),
    ([OSLO], "[get_weather(city='Oslo', days=2)]", "wrong value"),
    ([TABLE], "[book_table(place='Noma')]", "missing argument"),
    ([TABLE], "[book_table(place='Noma', guests=4, x=1)]", "extra argument"),
    ([TABLE], "[book_table(place='Noma', people=4)]", "missing argument"),
    ([OSLO], "[book_table(place='Noma', guests=4)]", "wrong tool"),
    ([OSLO, ROME], "[get_weather(city='Oslo')]", "wrong number of calls"),
    ([OSLO], "I cannot help with that.", "no call"),
    ([OSLO], "[get_weather(city='Oslo'", "unparsed"),
    ([], "None of them fits.", "abstained"),
    ([], "[get_weather(city='Oslo')]", "call where none fits"),
    ([], "[get_weather(city='Oslo'", "unparsed"),
  ],
)
def test_outcome(gold, text, outcome):
  judged = judge(gold, text)
  assert judged.outcome == outcome
  assert judged.outcome in metrics.OUTCOMES
  assert judged.exact == (outcome in ("exact", "abstained"))
  assert judged.parsed == (outcome != "unparsed")
  assert bool(judged.parse_reason) == (outcome == "unparsed")


@pytest.mark.parametrize(
  "gold,text,right,made,of_gold",
  [
    ([TABLE], "[book_table(place='Noma', guests=5)]", 1, 2, 2),
    ([TABLE], "[book_table(place='Noma')]", 1, 1, 2),
    ([TABLE], "[book_table(place='Noma', guests=4, x=1)]", 2, 3, 2),
    # Arguments of calls with no partner count on their own side.
    ([OSLO], "[book_table(place='Noma', guests=4)]", 0, 2, 1),
    # A default that one side states counts on both; one that neither states
    # does not count.
    ([OSLO], "[get_weather(city='Oslo', days=1)]", 2, 2, 2),
    ([OSLO], "[get_weather(city='Oslo')]", 1, 1, 1),
    # Parallel calls are paired for the best agreement, not by position.
    (
      [OSLO, ROME],
      "[get_weather(city='Rome', days=3), get_weather(city='Oslo')]",
      3,
      3,
      3,
    ),
    ([OSLO, ROME], "[get_weather(city='Rome', days=3)]", 2, 2, 3),
    ([OSLO], "[get_weather(city='Oslo'), get_weather(city='Rome')]", 1, 2, 1),
    # The text "4" is not the number 4.
    ([TABLE], "[book_table(place='Noma', guests='4')]", 1, 2, 2),
  ],
)
def test_arguments(gold, text, right, made, of_gold):
  judged = judge(gold, text)
  found = (judged.arguments_right, judged.arguments_made, judged.arguments_gold)
  assert found == (right, made, of_gold)
  assert judged.precision == pytest.approx(right / made)
  assert judged.recall == pytest.approx(right / of_gold)
  assert judged.f1 == pytest.approx(2 * right / (made + of_gold))


def test_calls_without_arguments_score_by_name():
  ping = Call("ping", {})
  assert judge([ping], "[ping()]").f1 == 1.0
  assert judge([ping], "[pong()]").f1 == 0.0
  assert judge([ping], "sorry").recall == 0.0


def test_sample_json_in_prose_is_a_refusal_and_an_offered_tool_a_call():
  sample = 'Post this:\n{"name": "%s", "arguments": {"city": "Oslo"}}\nThere.'
  for call_format in ("hermes", "llama", "mistral"):
    refused = judge([], sample % "make_user", call_format=call_format)
    assert (refused.exact, refused.made_calls) == (True, 0)
    called = judge([OSLO], sample % "get_weather", call_format=call_format)
    assert (called.exact, called.made_calls) == (True, 1)


def test_exact_implies_all_other_figures():
  for example in one_of_each()[:4]:
    text = formats.get_format("hermes").render(example.calls)
    judged = metrics.judge(example, OutputRecord(example.id, text), "hermes")
    assert judged.exact and judged.names
    assert judged.precision == judged.recall == judged.f1 == 1.0


def test_skipped_and_cut_stay_in_the_denominator():
  examples = [make_example(str(i), [OSLO]) for i in range(4)]
  answers = [
    OutputRecord("0", "[get_weather(city='Oslo')]"),
    OutputRecord("1", "[get_weather(city='Oslo')]"),
    OutputRecord("2", "[get_weather(city=", "length"),
    OutputRecord("3", "", "skipped"),
  ]
  overall = metrics.score(
    metrics.judge_all(examples, answers, "pythonic")
  ).overall
  assert (overall.n, overall.cut, overall.skipped) == (4, 1, 1)
  assert overall.exact.value == 0.5
  assert overall.parsed.value == 0.5
  assert overall.outcomes == {"exact": 2, "unparsed": 1, "skipped": 1}


def test_a_skipped_irrelevance_case_is_not_right():
  judged = judge([], "", finish_reason="skipped")
  assert (judged.exact, judged.outcome) == (False, "skipped")


@pytest.mark.parametrize(
  "calls,tools,named,category",
  [
    ([OSLO], [WEATHER], None, "simple"),
    ([OSLO], [WEATHER, BOOK], None, "multiple"),
    ([OSLO, ROME], [WEATHER], None, "parallel"),
    ([OSLO, TABLE], [WEATHER, BOOK], None, "parallel_multiple"),
    ([], [WEATHER], None, "irrelevance"),
    ([OSLO], [WEATHER], "live_simple", "live_simple"),
    ([], [WEATHER], "live_irrelevance", "live_irrelevance"),
    # What has no gold calls is irrelevance, whatever it is called.
    ([], [WEATHER], "simple", "irrelevance"),
    ([OSLO], [WEATHER], "irrelevance", "simple"),
  ],
)
def test_category(calls, tools, named, category):
  example = make_example("x", calls, tools, category=named)
  assert metrics.category_of(example) == category


def test_compare_counts_items_with_gold_only():
  examples = one_of_each()
  good = metrics.judge_all(examples, gold_outputs(examples, "hermes"), "hermes")
  bad = metrics.judge_all(examples, metrics.garbage_outputs(examples), "hermes")
  found = metrics.compare(bad, list(reversed(good)))
  assert (found.n, found.gained, found.lost) == (4, 4, 0)
  assert found.delta.value == 1.0
  assert metrics.compare(bad[4:], good[4:]) is None
  with pytest.raises(errors.UserError, match="'i' is in only one set"):
    metrics.compare(bad, good[:4])


def test_recorded_outputs_are_a_generator():
  examples = one_of_each()
  recorded = RecordedOutputs(gold_outputs(examples, "llama"))
  judgements, scores = metrics.evaluate_calls(recorded, examples, "llama")
  assert [j.example_id for j in judgements] == [e.id for e in examples]
  assert scores.overall.exact.value == 1.0


def test_scores_are_a_function_of_their_inputs():
  examples = one_of_each()
  judged = metrics.judge_all(
    examples, gold_outputs(examples, "hermes"), "hermes"
  )
  assert metrics.score(judged, seed=5) == metrics.score(judged, seed=5)
