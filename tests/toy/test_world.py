"""The toy world: disjoint splits, right gold, same records as real data."""

import dataclasses
import random

import pytest

from tooldev_jax.data.sources import read_examples
from tooldev_jax.toolcall import checks
from tooldev_jax.toy import domains, lexicon, records, wording, world
from tooldev_jax.toy.parameters import KINDS, LABELLED, SPLITS

_CONFIG = records.ToyConfig(
  seed=3, examples=120, queries=60, development=40, test=40
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = records.epath.Path(tmp_path_factory.mktemp("toy"))
  records.write_world(_CONFIG, path)
  return path


def _read(folder, name):
  read = read_examples(folder / f"{name}.jsonl", "records")
  assert not read.rejected
  return read.examples


def test_no_wording_is_in_two_splits():
  tables = [wording.FRAMES, wording.JOINERS, wording.ASIDES, wording.AGAIN]
  tables += [LABELLED, *(kind.phrases for kind in KINDS.values())]
  tables += [p.phrases for p in domains.PARAMETERS.values()]
  for table in tables:
    for one in SPLITS:
      for other in SPLITS:
        if one < other:
          assert not set(table[one]) & set(table[other]), (one, other)


def test_splits_share_no_tool():
  worlds = world.split_tools(0, records.SPLIT_SHARES)
  names = [t.tool.name for w in worlds.values() for t in w.tools]
  assert len(names) == len(set(names)) > 400


def test_the_base_world_shares_no_domain_and_no_tool_with_the_quickstart():
  assert not {d.name for d in domains.BASE} & {
    d.name for d in domains.QUICKSTART
  }
  taken = {
    (verb, thing)
    for domain in domains.QUICKSTART
    for verb in domain.verbs
    for thing in domain.objects
  }
  endless = world.EndlessWorld(invented=0.5)
  rng = random.Random(0)
  for _ in range(500):
    for toy in endless.draw_tools(3, rng):
      assert (toy.verb, toy.thing) not in taken


def test_every_word_of_a_domain_is_known():
  for domain in domains.ALL:
    assert set(domain.verbs) <= set(lexicon.VERBS), domain.name
    assert set(domain.parameters) <= set(domains.PARAMETERS), domain.name


def test_gold_calls_fit_their_tools_and_stand_in_the_query(folder):
  for name in ("examples", "queries_gold", "development", "test"):
    for example in _read(folder, name):
      assert not checks.check_tools(example.tools)
      for call in example.calls:
        assert not checks.check_call(call, example.tools), example
        tool = next(t for t in example.tools if t.name == call.name)
        found = checks.check_grounded(call, tool, example.query)
        assert not found, (example.query, call, found)


def test_categories_have_the_shape_they_are_named_after(folder):
  seen = set()
  for example in _read(folder, "examples"):
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
  assert seen == set(world.CATEGORIES)


def test_queries_hold_no_answer_and_gold_has_the_same_ids(folder):
  queries, gold = _read(folder, "queries"), _read(folder, "queries_gold")
  assert [q.id for q in queries] == [g.id for g in gold]
  for query, answer in zip(queries, gold, strict=True):
    assert query.query == answer.query
    assert not query.tools and not query.calls
    assert "category" not in query.provenance
    assert answer.calls


def test_the_same_seed_writes_the_same_bytes(folder, tmp_path):
  records.write_world(_CONFIG, records.epath.Path(tmp_path))
  for file in sorted(folder.iterdir()):
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_files_are_written_again_for_another_config_only(tmp_path):
  folder = records.epath.Path(tmp_path)
  small = dataclasses.replace(_CONFIG, examples=4, queries=2)
  records.write_world(small, folder)
  (folder / "examples.jsonl").write_text("mine")
  records.write_world(small, folder)
  assert (folder / "examples.jsonl").read_text() == "mine"
  records.write_world(dataclasses.replace(small, examples=3), folder)
  assert len(_read(folder, "examples")) == 3


def test_every_turn_of_a_conversation_is_answered_with_the_same_tools():
  mix = world.Mix(max_turns=3)
  earlier = 0
  for example in world.examples(world.EndlessWorld(), "base", 100, 3, mix):
    query = ""
    for message in example.messages:
      query = message.content if message.role == "user" else query
      earlier += bool(message.calls)
      for call in message.calls:
        assert not checks.check_call(call, example.tools), example
        tool = next(t for t in example.tools if t.name == call.name)
        assert not checks.check_grounded(call, tool, query), (query, call)
  assert earlier > 50
