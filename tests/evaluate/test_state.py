"""Scoring the states of a run by their answers alone."""

import json

import pytest

from tests.evaluate.worlds import make_example, one_of_each
from tooldev_jax.config import EvaluateConfig
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate import bfcl_checker, state, tables, terminal
from tooldev_jax.evaluate.outputs import OutputRecord, RecordedOutputs
from tooldev_jax.evaluate.state import (
  EvaluationSets,
  ModelState,
  Official,
  evaluate_states,
)
from tooldev_jax.evaluate.summary import RunSummary
from tooldev_jax.toolcall.formats import get_format
from tooldev_jax.toolcall.vocabulary import Call, Example

EXAMPLES = one_of_each()  # four with gold calls, one that no tool fits


def _answers(right):
  """Right calls for the first `right` examples, none for the others."""
  render = get_format("pythonic").render
  return RecordedOutputs(
    OutputRecord(e.id, render(e.calls) if i < right and e.calls else "None.")
    for i, e in enumerate(EXAMPLES)
  )


def _state(name, right, started_from="", accepted=True):
  return ModelState(name, lambda _: _answers(right), started_from, accepted)


def _sets(**changes):
  fields = {
    "test": EXAMPLES,
    "official": Official(),
    "tool_making": 0,
    "call_format": "pythonic",
  }
  return EvaluationSets(**{**fields, **changes})


@pytest.mark.parametrize(
  ("started_from", "before", "told"),
  [("decompose", 0.5, False), ("base", 0.0, True)],
  ids=["last", "base"],
)
def test_change_is_against_the_state_that_a_round_started_from(
  started_from, before, told
):
  found = evaluate_states(
    [
      _state("base", 0),
      _state("decompose", 2, "base"),
      _state("round_1", 3, started_from),
    ],
    _sets(),
  )
  base, decompose, last = found.stages
  assert base.change is None and base.started_from == ""
  assert (decompose.change.before, decompose.change.after) == (0.0, 0.5)
  assert last.started_from == started_from
  assert (last.change.before, last.change.after) == (before, 0.75)
  assert last.change.delta.value == 0.75 - before
  summary = RunSummary("t", {}, found.stages)
  scores = tables.scores(summary)
  changes = [row.cells[scores.columns.index("change")] for row in scores.rows]
  assert changes[0] == "–" and "against" not in changes[1]
  assert changes[2].startswith(f"+{100 * (0.75 - before):.1f} (")
  assert changes[2].endswith(", against base") == told
  assert "training started from: the last accepted one, unless" in scores.note
  assert ("against base" in terminal.summary_text(summary, 300)) == told


def test_a_round_after_one_that_was_rolled_back_goes_on_before_it():
  found = evaluate_states(
    [
      _state("base", 0),
      _state("round_1", 1, "base", accepted=False),
      _state("round_2", 4, "base"),
    ],
    _sets(),
  )
  assert [s.accepted for s in found.stages] == [True, False, True]
  assert found.stages[2].change.before == 0.0
  scores = tables.scores(RunSummary("t", {}, found.stages))
  assert not any("against" in cell for row in scores.rows for cell in row.cells)
  assert {sample.stage for sample in found.samples} == {"round 2"}


def test_development_is_exact_calls_and_over_calls():
  found = state.score_development(_answers(3), EXAMPLES, "pythonic")
  assert found == (0.75, 0.0)
  (idle,) = EXAMPLES[4:]
  eager = RecordedOutputs([OutputRecord(idle.id, "[get_weather(city='Oslo')]")])
  assert state.score_development(eager, [idle], "pythonic") == (0.0, 1.0)
  assert state.score_development(_answers(4), EXAMPLES[:4], "pythonic") == (
    1.0,
    None,
  )


def test_garbage_and_samples_stand_beside_the_scores():
  found = evaluate_states([_state("base", 2)], _sets())
  assert found.garbage.overall.exact.value == 0.0
  assert found.garbage.irrelevance.exact.value == 1.0
  assert found.garbage_bfcl is None
  outcomes = [sample.outcome for sample in found.samples]
  assert outcomes == ["exact", "exact", "abstained", "no call", "no call"]
  assert found.samples[0].gold == '[get_weather(city="Oslo")]'
  assert found.samples[2].gold == "(no tool fits)"


def test_a_run_without_a_test_has_no_scores():
  found = evaluate_states([_state("base", 0)], _sets(test=()))
  assert found.stages[0].calls is None and found.garbage is None
  assert found.samples == ()


@pytest.fixture
def bfcl_folder(tmp_path):
  function = {
    "name": "area",
    "description": "The area.",
    "parameters": {
      "type": "dict",
      "properties": {"base": {"type": "integer", "description": "It."}},
      "required": ["base"],
    },
  }
  (tmp_path / "possible_answer").mkdir()
  for folder, row in (
    (tmp_path, lambda i: {"question": [[_asked(i)]], "function": [function]}),
    (
      tmp_path / "possible_answer",
      lambda i: {"ground_truth": [{"area": {"base": [3]}}]},
    ),
  ):
    rows = [{"id": f"simple_python_{i}", **row(i)} for i in range(9)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "BFCL_v4_simple_python.json").write_text(text)
  return tmp_path


def _asked(i):
  return {"role": "user", "content": f"Area {i}?"}


def test_bfcl_is_read_once_for_all_its_uses(bfcl_folder):
  config = EvaluateConfig(bfcl=str(bfcl_folder), bfcl_slice=2, bfcl_cases=5)
  found = state.read_official(config, 0)
  assert (len(found.every), len(found.slice), len(found.final)) == (9, 2, 5)
  assert all(case in found.final for case in found.slice)
  assert [e.id for e in found.examples] == [c.id for c in found.every]
  assert [(n.count, n.of, n.why) for n in found.notices] == [
    (7, 9, "evaluate.bfcl_slice"),
    (4, 9, "evaluate.bfcl_cases"),
  ]
  assert state.read_official(EvaluateConfig(), 0) == Official()
  with pytest.raises(UserError, match="does not exist"):
    state.read_official(EvaluateConfig(bfcl="/nowhere"), 0)


def test_bfcl_without_its_checker_is_said_to_be_skipped(
  bfcl_folder, monkeypatch
):
  def missing():
    raise bfcl_checker.CheckerMissingError("not installed")

  monkeypatch.setattr(bfcl_checker, "Checker", missing)
  config = EvaluateConfig(bfcl=str(bfcl_folder), bfcl_slice=2)
  official = state.read_official(config, 0)
  found = evaluate_states(
    [_state("base", 0), _state("adapt", 1, "base")], _sets(official=official)
  )
  summary = RunSummary("t", {}, found.stages, garbage_bfcl=found.garbage_bfcl)
  assert tables.bfcl(summary) is None and tables.bfcl_slice(summary) is None
  rows = [row.cells for row in tables.notices(summary).rows]
  assert rows == [
    ("BFCL", "all", "official BFCL scores were skipped: not installed")
  ]


def test_a_round_is_summed_up_with_the_precision_of_its_labels():
  gold = make_example("q", [Call("get_weather", {"city": "Oslo"})])
  kept = Example(
    "q",
    gold.messages,
    gold.tools,
    (Call("weather", {"place": "oslo"}),),
    provenance={"vote_share": 0.75},
  )
  counts = {
    "statuses": {"kept": 1, "no_majority": 3},
    "samples_dropped": {"no_call": 2},
    "vote_shares": [0.75, 0.25],
    "diversity": {"distinct tools": 1.0},
  }
  found = state.summarise_round("round_1", [kept], counts, [gold])
  assert (found.name, found.kept, found.queries) == ("round 1", 1, 4)
  assert found.labels.values_exact.value == 1.0
  assert found.labels.by_vote_share[0].high == 0.75
  assert state.summarise_round("r", [kept], counts, []).labels is None
  assert state.summarise_round("r", [], counts, [gold]).labels is None
