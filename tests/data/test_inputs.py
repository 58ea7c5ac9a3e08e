"""What a run reads: all of it checked before any work, and told."""

import dataclasses
import json

import pytest
from etils import epath

from configs import default
from tooldev_jax import config as configs
from tooldev_jax import io
from tooldev_jax.data import inputs
from tooldev_jax.data.sources import records
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate import state as evaluate
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool

_TOOL = Tool("find_flights", "Finds.", {"type": "object", "properties": {}})
_TEXTS = (
  "Show me all cheap flights from Oslo to Rome next week.",
  "Which museums are open in Lisbon on a Monday morning?",
  "Please translate this letter into Finnish for my aunt.",
  "How much would a new roof for the barn cost me?",
  "Find the phone number of the nearest pharmacy that is open.",
  "Wake me up at seven unless it rains in the morning.",
)


def _rows(role, texts=_TEXTS[:3], tool=None, **provenance):
  """Rows whose words no other role has."""
  tool = tool or dataclasses.replace(_TOOL, name=f"tool_of_{role}")
  return [
    Example(
      f"{role}{i}",
      (Message("user", text.replace(" ", f"_{role} ")),),
      (tool,),
      (Call(tool.name),),
      provenance=provenance,
    )
    for i, text in enumerate(texts)
  ]


@pytest.fixture
def run(tmp_path):
  """`run(role=rows, …, **flat config)` reads inputs from files of rows."""

  def read(**changes):
    fields = default.get_config()
    fields.base.path = "base"
    fields.evolve.rounds = 1
    for number, role in enumerate((*inputs.TRAINING, *inputs.EVALUATION)):
      rows = changes.pop(role, _rows(role, _TEXTS[number : number + 1]))
      records.write(tmp_path / f"{role}.jsonl", rows)
      fields.data[role].path = str(tmp_path / f"{role}.jsonl")
    fields.update_from_flattened_dict(
      {key.replace("__", "."): value for key, value in changes.items()}
    )
    config = configs.from_config_dict(configs.RunConfig, fields)
    official = evaluate.read_official(config.evaluate, config.seed)
    return inputs.read_inputs(
      config, epath.Path(tmp_path / "run"), official.examples
    )

  return read


def _told(found):
  return [(n.what, n.count, n.of, n.why) for n in found.notices]


def test_queries_lose_their_labels_and_nothing_else_is_changed(run):
  found = run()
  assert found.counts() == dict.fromkeys(found.counts(), 1)
  (query,) = found.queries
  assert (query.tools, query.calls, query.answer) == ((), (), "")
  assert found.examples[0].calls
  assert found.notices == ()


def test_training_data_loses_what_evaluation_asks(run, tmp_path):
  asked = _TEXTS[0]
  near = asked.replace("week", "month")
  known = [
    dataclasses.replace(example, messages=(Message("user", text),))
    for example, text in zip(
      _rows("examples", _TEXTS[:4]), (asked.upper(), near, *_TEXTS[2:4]),
      strict=True,
    )
  ]  # fmt: skip
  finder = dataclasses.replace(_TOOL, name="FindFlights")
  known[2] = dataclasses.replace(
    known[2], tools=(finder,), calls=(Call("FindFlights"),)
  )
  test = dataclasses.replace(
    _rows("test", [asked], _TOOL)[0], messages=(Message("user", asked),)
  )
  found = run(examples=known, queries=known, test=[test])
  assert [e.id for e in found.examples] == ["examples2", "examples3"]
  assert [e.id for e in found.queries] == ["examples2", "examples3"]
  why = "1 by exact query, 1 by near query"
  assert _told(found) == [
    ("examples: left out, evaluation has them", 2, 4, why),
    (
      "examples: kept, though evaluation has their tools' names",
      1,
      4,
      "data.decontaminate.reasons",
    ),
    ("queries: left out, evaluation has them", 2, 4, why),
  ]
  report = io.read_json(tmp_path / "run" / inputs.DECONTAMINATION_FILE)
  assert report["evaluation"] == {"development": 1, "test": 1}
  assert report["examples"]["removed"] == 2
  assert report["queries"]["hits"][0] == {
    "example_id": "examples0",
    "reason": "exact query",
    "evaluation_id": "test: test0",
    "detail": "show me all cheap flights from oslo to rome next week",
  }


def test_tools_of_evaluation_are_left_out_where_the_config_says_so(run):
  tools = [_TOOL, dataclasses.replace(_TOOL, name="other")]
  rows = [Example(tool.name, (), (tool,)) for tool in tools]
  test = _rows("test", tool=_TOOL)
  assert len(run(documents=rows, test=test).documents) == 2
  reasons = {"data__decontaminate__reasons": ("tool name",)}
  found = run(documents=rows, test=test, **reasons)
  assert [e.id for e in found.documents] == ["other"]
  with pytest.raises(UserError, match=r"data\.documents: nothing is left"):
    run(documents=rows[:1], test=test, **reasons)


def test_bfcl_is_an_evaluation_set_too(run, tmp_path):
  folder = tmp_path / "bfcl"
  question = {
    "id": "simple_python_0",
    "question": [[{"role": "user", "content": _TEXTS[0]}]],
    "function": [_TOOL.to_json()],
  }
  answer = {"id": "simple_python_0", "ground_truth": [{_TOOL.name: {}}]}
  name = "BFCL_v4_simple_python.json"
  io.write_text(folder / name, json.dumps(question))
  io.write_text(folder / "possible_answer" / name, json.dumps(answer))
  taken = Example("taken", (Message("user", _TEXTS[0]),), (_TOOL,))
  rows = [*_rows("examples"), taken]
  assert len(run(examples=rows).examples) == 4
  found = run(examples=rows, evaluate__bfcl=str(folder))
  assert [e.id for e in found.examples] == [e.id for e in rows[:3]]
  with pytest.raises(UserError, match="BFCL folder"):
    run(evaluate__bfcl="/nowhere")


def test_rows_that_no_stage_can_use_are_left_out_and_told(run):
  unknown = _rows("none", labelled=False)
  silent = [Example("silent", (Message("system", "Hi."),), (_TOOL,))]
  found = run(
    documents=[*_rows("documents"), Example("bare", (Message("user", "x"),))],
    examples=[*_rows("examples"), *unknown, *silent],
    queries=[*_rows("queries"), *silent],
    development=[*_rows("development"), *unknown],
    test=[*unknown, *_rows("test"), *silent],
  )
  assert found.counts() == dict.fromkeys(found.counts(), 3)
  no_answer = "no known answer (labelled: false)"
  assert _told(found) == [
    ("documents: rows not used", 1, 4, "no tool"),
    ("examples: rows not used", 1, 7, "no query"),
    ("examples: rows not used", 3, 7, no_answer),
    ("queries: rows not used", 1, 4, "no query"),
    ("development: rows not used", 3, 6, no_answer),
    ("test: rows not used", 1, 7, "no query"),
    ("test: rows not used", 3, 7, no_answer),
  ]


def test_calls_of_tools_that_are_not_offered_are_not_learned(run):
  odd = dataclasses.replace(_rows("odd")[0], tools=(_TOOL,))
  found = run(examples=[odd, *_rows("examples")])
  assert [e.id for e in found.examples] == [
    "examples0",
    "examples1",
    "examples2",
  ]
  why = "calls a tool that it does not offer"
  assert _told(found) == [("examples: rows not used", 1, 4, why)]


def test_gold_that_no_answer_could_be_is_left_out(run):
  deep = 1
  for _ in range(70):
    deep = [deep]
  odd = _rows("odd", _TEXTS[:1])[0]
  odd = dataclasses.replace(odd, calls=(Call("tool_of_odd", {"a": deep}),))
  found = run(test=[odd, *_rows("test")])
  assert len(found.test) == 3
  (told,) = _told(found)
  assert told[1:] == (1, 4, "calls beyond the bounds of the format")


@pytest.mark.parametrize("role", ["examples", "development", "test"])
def test_a_file_without_one_known_answer_is_refused(run, role):
  with pytest.raises(UserError, match=rf"data\.{role}: .*no known answer"):
    run(**{role: _rows(role, labelled=False)})


def test_a_limit_counts_rows_that_can_be_used(run):
  rows = [*_rows("none", _TEXTS * 5, labelled=False), *_rows("test", _TEXTS)]
  found = run(test=rows, data__test__limit=5)
  assert len(found.test) == 5
  assert _told(found)[-1] == (
    "test: examples left out",
    1,
    6,
    "data.test.limit",
  )


def test_rows_that_repeat_an_id_are_bad_rows(run):
  rows = _rows("x", _TEXTS)
  twice = [*rows, rows[0]]
  for role in ("examples", "queries", "development", "test"):
    with pytest.raises(UserError, match=rf"data\.{role}: 1 of 7 rows are bad"):
      run(**{role: twice})
    found = run(**{role: twice, "data__max_bad_share": 0.2})
    assert len(getattr(found, role)) == 6
    told = (f"{role}: rows not read", 1, 7, "an id that came before")
    assert told in _told(found)


@pytest.mark.parametrize(
  ("rounds", "size", "fits"),
  [(3, 0, True), (4, 0, False), (3, 1, True), (2, 2, True), (3, 2, False)],
)
def test_rounds_without_queries_are_refused_before_any_work(
  run, rounds, size, fits
):
  changes = {
    "queries": _rows("queries"),
    "evolve__rounds": rounds,
    "evolve__queries_per_round": size,
  }
  if fits:
    run(**changes)
  else:
    with pytest.raises(UserError, match="has 3 queries, too few"):
      run(**changes)


def test_gold_answers_must_be_there_but_are_not_opened(run, tmp_path):
  gold = tmp_path / "gold.jsonl"
  with pytest.raises(UserError, match=r"data\.queries_gold"):
    run(data__queries_gold__path=str(gold))
  gold.write_text("not JSON at all")
  run(data__queries_gold__path=str(gold))


def test_details_that_tools_lack_are_told(run, tmp_path):
  path = tmp_path / "api.json"
  schema = {"type": "object", "properties": {"a": {"maxLength": "long"}}}
  path.write_text(json.dumps([{"name": "f", "parameters": schema}]))
  found = run(
    data__documents__kind="documents", data__documents__path=str(path)
  )
  (notice,) = [one for one in found.notices if "whole" in one.what]
  assert (notice.count, notice.of) == (1, 1)
  assert "api.json#/0: 'f': /properties/a/maxLength is 'long'" in notice.why
