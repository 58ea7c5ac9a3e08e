"""Worlds of tools: what is split, what is told apart, what is known."""

import itertools
import random

import pytest

from tooldev_jax.toolcall import checks
from tooldev_jax.toy import (
  domains,
  lexicon,
  parameters,
  records,
  tables,
  wording,
  world,
)


def _pairs(of):
  return {
    (verb, thing)
    for domain in of
    for verb in domain.verbs
    for thing in domain.things
  }


def test_splits_share_no_tool():
  worlds = world.split_tools(0, records.SPLIT_SHARES)
  names = [t.tool.name for w in worlds.values() for t in w.tools]
  assert len(names) == len(set(names)) > 300


def test_the_base_world_shares_no_domain_and_no_tool_with_the_quickstart():
  base, quickstart = domains.BASE, domains.QUICKSTART
  assert not {d.name for d in base} & {d.name for d in quickstart}
  assert not _pairs(base) & _pairs(quickstart)
  endless = world.EndlessWorld(invented=0.5)
  rng = random.Random(0)
  for _ in range(500):
    for toy in endless.draw_tools(3, rng):
      assert (toy.verb, toy.thing) not in _pairs(quickstart)


def test_some_parameters_are_the_quickstarts_alone_even_in_invented_tools():
  known = {p for d in domains.BASE for p in d.parameters}
  new = {p for d in domains.QUICKSTART for p in d.parameters} - known
  assert {"nights", "genre", "cabin"} <= new
  endless = world.EndlessWorld(invented=1.0)
  rng = random.Random(0)
  for _ in range(300):
    for toy in endless.draw_tools(2, rng):
      assert not {p.name for p in toy.parameters} & new


def test_every_word_of_a_domain_is_known():
  for domain in domains.ALL:
    assert set(domain.verbs) <= set(lexicon.VERBS), domain.name
    assert set(domain.parameters) <= set(parameters.PARAMETERS), domain.name


def test_no_wording_is_in_two_splits():
  for name, table in wording.TABLES.items():
    assert set(table) == {*wording.SPLITS, wording.PLAIN}, name
    for one, other in itertools.combinations(wording.SPLITS, 2):
      assert not set(table[one]) & set(table[other]), (name, one, other)


def test_two_parameters_of_a_tool_are_told_apart_by_their_values():
  endless = world.EndlessWorld(invented=0.0)
  rng = random.Random(1)
  for _ in range(500):
    for toy in endless.draw_tools(3, rng):
      families = [p.family for p in toy.parameters]
      assert len(families) == len(set(families)), toy.tool.name


@pytest.mark.parametrize(
  ("one", "other", "apart"),
  [
    (("book", "table"), ("cancel", "table"), True),
    (("book", "table"), ("book", "lamp"), True),
    # Either could be meant by "what is the forecast?" and by "I need a room".
    (("get", "forecast"), ("check", "forecast"), False),
    (("book", "room"), ("find", "room"), False),
    # A cinema ticket is a ticket.
    (("book", "ticket"), ("book", "cinema ticket"), False),
    (("book", "ticket"), ("cancel", "cinema ticket"), True),
  ],
)
def test_tools_that_one_request_could_mean_are_not_offered_together(
  one, other, apart
):
  assert world.told_apart(*one, *other) is apart
  assert world.told_apart(*other, *one) is apart


@pytest.mark.parametrize("invented", [0.0, 1.0])
def test_offered_tools_are_sound_and_told_apart(invented):
  endless = world.EndlessWorld(invented=invented)
  fixed = world.split_tools(0, records.SPLIT_SHARES)["train"]
  rng = random.Random(2)
  related = 0
  for _ in range(200):
    for toys in (endless.draw_tools(4, rng), fixed.draw_tools(4, rng)):
      assert not checks.check_tools([toy.tool for toy in toys])
      for one, other in itertools.combinations(toys, 2):
        assert world.told_apart(one.verb, one.thing, other.verb, other.thing)
        related += one.domain == other.domain or one.thing == other.thing
  assert related > 200


def test_a_table_has_rows_of_cells(tmp_path, monkeypatch):
  (tmp_path / "some.txt").write_text("# a | b\n\nx | y | z\n one\n")
  monkeypatch.setattr(tables, "_FOLDER", tmp_path)
  assert tables.rows("some", 2) == [["x", "y | z"], ["one", ""]]
  assert tables.parts("a;  ; b c;", ";") == ("a", "b c")
