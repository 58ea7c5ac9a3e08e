"""Self-made labels against gold whose names they cannot know."""

import pytest

from tests.evaluate.worlds import BOOK, WEATHER, make_example, make_tool
from tooldev_jax import errors
from tooldev_jax.evaluate import labels
from tooldev_jax.toolcall.vocabulary import Call, Example

FORECAST = make_tool("forecast", ["place"], place="string", horizon="string")


def judge(made, gold, tools=(FORECAST,), gold_tools=(WEATHER, BOOK)):
  kept = make_example("x", made, tools)
  return labels.judge(kept, make_example("x", gold, gold_tools))


def kept(id, made, share):
  provenance = {"vote_share": share}
  return Example(id, (), (FORECAST,), tuple(made), provenance=provenance)


def weather(**arguments):
  return Call("get_weather", arguments)


def forecast(**arguments):
  return Call("forecast", arguments)


@pytest.mark.parametrize(
  "made,gold,exact",
  [
    ([forecast(place="Oslo")], [weather(city="Oslo")], True),
    ([forecast(place=" OSLO ")], [weather(city="Oslo")], True),
    ([forecast(place="Bergen")], [weather(city="Oslo")], False),
    # The made tool may type a value otherwise.
    (
      [forecast(place="Oslo", horizon="3")],
      [weather(city="Oslo", days=3)],
      True,
    ),
    (
      [forecast(place="Oslo", horizon=3.0)],
      [weather(city="Oslo", days=3)],
      True,
    ),
    # A code is not a quantity.
    ([forecast(place="007")], [weather(city="7")], False),
    # Nested values are opened.
    (
      [forecast(place={"name": ["Oslo"], "days": 3})],
      [weather(city="Oslo", days=3)],
      True,
    ),
    # Defaults of gold may be stated or not.
    ([forecast(place="Oslo")], [weather(city="Oslo", days=1)], True),
    ([forecast(place="Oslo", horizon="metric")], [weather(city="Oslo")], True),
    ([forecast(place="Oslo", horizon=2)], [weather(city="Oslo")], False),
    # A value that gold states once is needed once.
    ([forecast(place="Oslo", horizon="Oslo")], [weather(city="Oslo")], False),
    ([], [weather(city="Oslo")], False),
    ([], [], True),
    ([forecast(place="Oslo")], [], False),
    # Calls are paired, in any order.
    (
      [forecast(place="Rome"), forecast(place="Oslo")],
      [weather(city="Oslo"), weather(city="Rome")],
      True,
    ),
    (
      [forecast(place="Rome", horizon="Oslo")],
      [weather(city="Oslo"), weather(city="Rome")],
      False,
    ),
  ],
)
def test_values_exact(made, gold, exact):
  assert judge(made, gold).values_exact == exact


def test_defaults_of_the_made_tool_need_not_be_stated():
  tool = make_tool(
    "forecast", [], place="string", unit={"type": "string", "default": "C"}
  )
  gold_tool = make_tool("w", [], city="string", unit="string")
  gold = [Call("w", {"city": "Oslo", "unit": "C"})]
  made = [forecast(place="Oslo")]
  assert judge(made, gold, [tool], [gold_tool]).values_exact
  assert not judge(made, gold, [FORECAST], [gold_tool]).values_exact


def test_shares_ignore_call_borders():
  judged = judge(
    [forecast(place="Rome", horizon="Oslo")],
    [weather(city="Oslo"), weather(city="Rome"), weather(city="Bergen")],
  )
  assert judged.value_precision == 1.0
  assert judged.value_recall == pytest.approx(2 / 3)
  assert not judged.calls_right and not judged.names


def test_names_ignore_case_and_punctuation():
  assert judge([Call("getWeather", {})], [weather()]).names
  assert not judge([forecast()], [weather()]).names


def test_score_by_round():
  gold = [make_example(str(i), [weather(city="Oslo")]) for i in range(4)]
  made = [
    kept(str(i), [forecast(place=city)], share)
    for i, (city, share) in enumerate(
      [("Oslo", 1.0), ("Oslo", 0.75), ("Rome", 0.625), ("Oslo", 0.5)]
    )
  ]
  stray = kept("unknown", [], 1.0)
  judged = labels.judge_all([*made, stray], gold)
  assert [j.known for j in judged] == [True] * 4 + [False]
  scores = labels.score(judged)
  assert (scores.n, scores.without_gold) == (4, 1)
  assert scores.values_exact.value == 0.75
  assert [(b.high, b.values_exact.value) for b in scores.by_vote_share] == [
    (0.5, 1.0),
    (0.625, 0.0),
    (0.75, 1.0),
    (1.0, 1.0),
  ]
  assert sum(b.values_exact.n for b in scores.by_vote_share) == scores.n
  assert labels.score(judged[4:]) is None
  assert labels.score([]) is None


def test_gold_with_an_id_twice_is_refused():
  gold = [make_example("a", []), make_example("a", [])]
  with pytest.raises(errors.UserError, match="'a' twice"):
    labels.judge_all([], gold)
