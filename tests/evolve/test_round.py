"""A round with a model that answers from a script: every status, and why."""

import dataclasses
import json

import pytest
from etils import epath

from tooldev_jax.config import EvolveConfig
from tooldev_jax.evolve import diversity
from tooldev_jax.evolve.judge import Status
from tooldev_jax.evolve.round import (
  Answers,
  make_round,
  read_round,
  write_round,
)
from tooldev_jax.toolcall.formats import get_format
from tooldev_jax.toolcall.vocabulary import Call, Example, Message

QUERY = "What is the weather in Oslo on Friday?"
GOOD = '[weather(city="Oslo")]'


def _tool(name="weather", **fields):
  parameters = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where."}},
    "required": ["city"],
  }
  return json.dumps(
    [
      {
        "name": name,
        "description": "Tells.",
        "parameters": parameters,
        **fields,
      }
    ]
  )


class Script:
  """Answers by the query's id; what is not in it does not fit the cache."""

  def __init__(self, tools, calls):
    self._by_kind = {"generation": tools, "invocation": calls}
    self.asked = []

  def __call__(self, asked, samples, temperature, longest, file):
    self.asked.append([view.example_id for view in asked])
    return [self._answer(view, samples) for view in asked]

  def _answer(self, view, samples):
    texts = self._by_kind[view.kind].get(view.example_id)
    if texts is None:
      return Answers((), (), fits=False)
    assert len(texts) == samples
    return Answers(
      tuple(text.removesuffix("…") for text in texts),
      tuple(not text.endswith("…") for text in texts),
    )


ASKED = (Message("user", QUERY),)


def _round(tools, calls, messages=ASKED, **changes):
  queries = [Example(id, messages) for id in tools]
  config = dataclasses.replace(EvolveConfig(samples=4), **changes)
  script = Script({k: v for k, v in tools.items() if v}, calls)
  folder = epath.Path("/nowhere")
  call_format = get_format("pythonic")
  return make_round(queries, script, call_format, config, 0, folder), script


def test_every_query_ends_with_a_status():
  tools = {
    "kept": [_tool()],
    "split": [_tool()],
    "nothing": [_tool()],
    "long calls": [_tool()],
    "long": None,
    "prose": ["I would make a weather tool."],
    "cut": [_tool() + "…"],
    "unsound": [_tool(parameters={"type": "nonsense"})],
  }
  calls = {
    # Three ways to write one call, and a wrong tool.
    "kept": [GOOD, "[weather( city='Oslo' )]", GOOD, "[rain()]"],
    "split": [GOOD, '[weather(city="Friday")]', "[rain()]", "no"],
    "nothing": ["no", "[", "[weather()]", '[weather(city="Rome")]'],
  }
  made, script = _round(tools, calls)
  statuses = {row["id"]: Status(row["status"]) for row in made.ledger}
  assert statuses == {
    "kept": Status.KEPT,
    "split": Status.NO_MAJORITY,
    "nothing": Status.NO_VALID_CALL,
    "long calls": Status.PROMPT_TOO_LONG,
    "long": Status.PROMPT_TOO_LONG,
    "prose": Status.TOOLS_UNREADABLE,
    "cut": Status.TOOLS_UNREADABLE,
    "unsound": Status.TOOLS_UNSOUND,
  }
  # Calls are asked for only where there are sound tools.
  assert script.asked[1] == ["kept", "split", "nothing", "long calls"]
  reasons = made.counts["samples_dropped"]
  assert reasons["misfit:unknown_tool"] == 2
  assert reasons["misfit:missing_argument"] == 1
  assert any(reason.startswith("ungrounded:") for reason in reasons)
  assert sum(made.counts["statuses"].values()) == len(tools)
  details = {row["id"]: row["detail"] for row in made.ledger}
  assert details["cut"] == "unfinished"


def test_what_is_kept_is_the_most_frequent_text_of_the_winner():
  made, _ = _round(
    {"q": [_tool()]},
    {"q": ["[weather( city='Oslo' )]", GOOD, "[rain()]", GOOD]},
  )
  (example,) = made.kept
  assert example.provenance["raw"] == GOOD
  assert example.provenance["vote_share"] == 0.75
  assert example.provenance["weight"] == 0.75
  assert example.calls == (Call("weather", {"city": "Oslo"}),)
  assert [tool.name for tool in example.tools] == ["weather"]


@pytest.mark.parametrize(
  ("changes", "status"),
  [
    ({"min_vote_share": 0.75}, Status.KEPT),
    ({"min_vote_share": 0.8}, Status.NO_MAJORITY),
    ({"max_vote_share": 0.7}, Status.TOO_EASY),
    ({"weight_by_share": False}, Status.KEPT),
  ],
)
def test_the_band_of_vote_shares_decides(changes, status):
  made, _ = _round({"q": [_tool()]}, {"q": [GOOD, GOOD, GOOD, "no"]}, **changes)
  assert made.ledger[0]["status"] == status
  if changes.get("weight_by_share") is False:
    assert made.kept[0].provenance["weight"] == 1.0


def test_ungrounded_values_vote_where_the_config_lets_them():
  rome = ['[weather(city="Rome")]'] * 4
  strict, _ = _round({"q": [_tool()]}, {"q": rome})
  lenient, _ = _round({"q": [_tool()]}, {"q": rome}, grounded=False)
  assert (len(strict.kept), len(lenient.kept)) == (0, 1)


def test_sample_code_in_prose_takes_no_part_in_a_vote():
  prose = f"As in [P(A=1)].\n{GOOD}"
  made, _ = _round({"q": [_tool()]}, {"q": [prose, GOOD, "no", "no"]})
  assert made.counts["samples_dropped"] == {"no_call": 2}


NEXT = Message("user", "And what about tomorrow?")
DIALOGUES = {
  "an earlier turn": (
    Message("user", QUERY),
    Message("assistant", "It will be sunny."),
    NEXT,
  ),
  "a tool's result": (
    Message("user", "Where do I live?"),
    Message("assistant", calls=(Call("home", {}),)),
    Message("tool", '{"city": "Oslo"}', name="home"),
    NEXT,
  ),
  "the system text": (Message("system", "The user lives in Oslo."), NEXT),
  "an offer that is accepted": (
    Message("user", "What is the weather?"),
    Message("assistant", "Shall I look it up for Oslo?"),
    Message("user", "Yes, please."),
  ),
}


@pytest.mark.parametrize("messages", DIALOGUES.values(), ids=DIALOGUES)
def test_a_value_may_come_from_any_message_of_a_dialogue(messages):
  made, _ = _round({"q": [_tool()]}, {"q": [GOOD] * 8}, messages, samples=8)
  (example,) = made.kept
  assert example.messages == messages
  assert example.calls == (Call("weather", {"city": "Oslo"}),)
  assert example.provenance["vote_share"] == 1.0


def test_a_value_that_no_message_of_a_dialogue_holds_is_ungrounded():
  rome = ['[weather(city="Rome")]'] * 4
  messages = DIALOGUES["an earlier turn"]
  made, _ = _round({"q": [_tool()]}, {"q": rome}, messages)
  assert made.kept == ()
  assert made.counts["samples_dropped"] == {"ungrounded:ungrounded": 4}


@pytest.mark.parametrize(
  "city",
  [
    {"type": "string"},
    {"type": "string", "description": "Where.", "pattern": "^(?!Rome).*"},
    {"description": "Where."},
  ],
  ids=["no description", "look-ahead", "no type"],
)
def test_made_tools_are_not_dropped_for_matters_of_taste(city):
  parameters = {"type": "object", "properties": {"city": city}}
  tool = _tool(parameters=parameters, description="")
  made, _ = _round({"q": [tool]}, {"q": [GOOD] * 4})
  assert [example.tools[0].name for example in made.kept] == ["weather"]


def test_of_several_tool_sets_the_one_that_got_furthest_counts():
  made, _ = _round({"q": ["prose", _tool()]}, {"q": [GOOD] * 4}, tool_sets=2)
  (row,) = made.ledger
  assert (row["status"], row["tool_set"], row["tool_sets"]) == ("kept", 1, 2)


def test_a_round_is_read_as_it_was_written(tmp_path):
  made, _ = _round({"q": [_tool()], "p": ["prose"]}, {"q": [GOOD] * 4})
  folder = epath.Path(tmp_path)
  write_round(folder, made)
  assert read_round(folder) == made


def test_diversity_falls_when_all_calls_are_alike():
  raw = lambda name, text: Example(
    name, (), (), (Call(name),), provenance={"raw": text}
  )
  alike = diversity.measure([raw("a", "a(x=1)"), raw("a", "a(x=1)")])
  varied = diversity.measure([raw("a", "a(x=1)"), raw("b", "b(y=2)")])
  assert alike == {"distinct tools": 1.0, "call bigram entropy": 1.0}
  assert varied == {"distinct tools": 2.0, "call bigram entropy": 2.0}
  assert diversity.measure([])["call bigram entropy"] == 0.0
