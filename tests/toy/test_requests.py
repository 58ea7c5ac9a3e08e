"""Requests: right gold, the shape of their category, readable English."""

import random
import re

import pytest

from tooldev_jax.data import instructions
from tooldev_jax.toolcall import checks
from tooldev_jax.toy import records, requests, wording, world
from tooldev_jax.toy.parameters import PARAMETERS

_MIX = requests.Mix(max_calls=3)


def _draw(split, count, seed=0, mix=_MIX):
  if split in records.SPLIT_SHARES:
    source = world.split_tools(0, records.SPLIT_SHARES)[split]
  else:
    source = world.EndlessWorld(plain=split == wording.PLAIN)
  return list(requests.examples(source, split, count, seed, mix))


@pytest.mark.parametrize("split", [*wording.SPLITS, wording.PLAIN])
def test_gold_calls_fit_their_tools_and_stand_in_the_query(split):
  for example in _draw(split, 300):
    for call in example.calls:
      assert not checks.check_call(call, example.tools), example
      tool = next(t for t in example.tools if t.name == call.name)
      found = checks.check_grounded(call, tool, example.query)
      assert not found, (example.query, call, found)


def test_categories_have_the_shape_they_are_named_after():
  seen = set()
  for example in _draw("train", 300):
    category = example.provenance["category"]
    seen.add(category)
    names = {call.name for call in example.calls}
    calls, tools = len(example.calls), len(example.tools)
    assert (calls == 0) == (category == "irrelevance")
    if category == "simple":
      assert (calls, tools) == (1, 1)
    if category == "multiple":
      assert calls == 1 and tools > 1
    if category == "parallel":
      assert calls > 1 and len(names) == 1
    if category == "parallel_multiple":
      assert calls > 1 and len(names) == calls
  assert seen == set(requests.CATEGORIES)


@pytest.mark.parametrize("split", ["base", "test"])
def test_refusals_are_offered_one_to_all_tools_and_none_is_the_one_needed(
  split,
):
  mix = requests.Mix(weights=(0, 0, 0, 0, 1.0), max_tools=4)
  offered = set()
  near = 0
  for example in _draw(split, 300, mix=mix):
    offered.add(len(example.tools))
    words = set(re.findall(r"[a-z]+", example.query.lower()))
    for tool in example.tools:
      verb, *thing = tool.name.split(".")[-1].split("_")
      near += bool({verb, *thing} & words)
      assert not {verb, *thing} <= words, (example.query, tool.name)
  assert offered == {1, 2, 3, 4}
  assert near > 100


def test_queries_are_sentences_that_people_would_write():
  capitals = 0
  for example in _draw("base", 400):
    query = example.query
    assert not re.search(r"[{}^|]|  |\.\.|,,| [.,?]|\?\.", query), query
    assert not re.search(r"\ba [aeiou][a-z]", query), query
    capitals += query[0].isupper()
  assert 200 < capitals < 400


def test_a_value_is_said_in_every_way_its_parameter_has():
  rng = random.Random(0)
  said = set()
  for _ in range(400):
    mention = PARAMETERS["color"].mention("red", "base", rng, True)
    said.add((mention.place, mention.text))
  assert {
    ("before", "red"),
    ("after", "in red"),
    ("fact", "it should be red"),
    ("after", "with red as the color"),
  } <= said


def test_two_values_joined_by_and_are_two_calls():
  mix = requests.Mix(weights=(0, 0, 1.0, 0, 0))
  joined = 0
  for example in _draw("base", 200, mix=mix):
    (first, second) = (dict(call.arguments) for call in example.calls)
    differing = {k for k in first if first.get(k) != second.get(k)}
    if set(first) == set(second) and len(differing) == 1:
      (name,) = differing
      joined += f"{first[name]} and {second[name]}" in example.query
  assert joined > 40


def test_every_turn_of_a_conversation_is_answered_with_the_same_tools():
  earlier = refused = 0
  for example in _draw("base", 100, mix=requests.Mix(max_turns=3)):
    query = ""
    for message in example.messages:
      refused += message.content in instructions.REFUSALS
      query = message.content if message.role == "user" else query
      earlier += bool(message.calls)
      for call in message.calls:
        assert not checks.check_call(call, example.tools), example
        tool = next(t for t in example.tools if t.name == call.name)
        assert not checks.check_grounded(call, tool, query), (query, call)
  assert earlier > 50 and refused > 5


def test_an_example_depends_on_its_seed_split_and_number_alone():
  assert _draw("base", 20) == _draw("base", 40)[:20]
  assert _draw("base", 20, seed=1) != _draw("base", 20)
