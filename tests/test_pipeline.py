"""A whole run on the shipped base: what it leaves, and when it refuses."""

import dataclasses
import json
import re
import shutil

import pytest
from etils import epath

from tests import pipeline_run
from tooldev_jax import context, io, pipeline, records, states
from tooldev_jax.errors import UserError
from tooldev_jax.evolve import prompts
from tooldev_jax.toolcall.vocabulary import Example
from tooldev_jax.workdir import Workdir, score_identity


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """A whole run: its folder, and what it said."""
  workdir = epath.Path(tmp_path_factory.mktemp("run"))
  return workdir, pipeline_run.run(pipeline_run.small_config(), workdir)


@pytest.fixture
def workdir(finished):
  return finished[0]


def test_every_stage_leaves_its_files(workdir):
  made = states.read_states(pipeline_run.small_config(), workdir)
  names = [state.name for state in made]
  assert names == ["adapt", "decompose", "round_1"]
  for name in ("report.html", "report.md", "summary.json"):
    assert (workdir / name).exists(), name
  exported = {f.name for f in (workdir / "export" / "adapter").iterdir()}
  assert {"adapter_config.json", "adapter_model.safetensors"} <= exported
  assert not list(workdir.glob("*/*.log")), "a log was left behind"


def test_a_run_says_its_time_its_speed_and_what_it_trains(finished):
  _, said = finished
  times = [line for line in said if line.startswith("time: ")]
  assert len(times) == 5, "one line for each part"
  for line in times:
    assert re.fullmatch(
      r"time: \d+\.\d min so far, expected 10 min in all on 2 quiet .*", line
    )
  for what in (
    "adapt/development_invocation",
    "round_1/calls",
    "base/test_generation",
  ):
    line = next(x for x in said if x.startswith(f"[{what}"))
    assert re.search(r"\] (\d+)/\1  [\d,]+ samples  .*tok/s  ETA 0:00:00", line)
  shown = [line for line in said if "trained control token" in line]
  assert len(shown) == 3, "one example for each training"


def test_the_ledger_has_one_row_a_query_with_its_status(workdir):
  folder = workdir / "round_1"
  ledger = io.read_jsonl(folder / "ledger.jsonl")
  queries = io.read_jsonl(workdir / "data" / "queries.jsonl")
  assert [row["id"] for row in ledger] == [row["id"] for row in queries]
  counts = io.read_json(folder / "counts.json")
  assert sum(counts["statuses"].values()) == len(ledger)
  kept = [Example.from_json(r) for r in io.read_jsonl(folder / "kept.jsonl")]
  assert [e.id for e in kept] == [
    r["id"] for r in ledger if r["status"] == "kept"
  ]
  for example in kept:
    assert example.provenance["raw"]
    assert example.tools and example.calls


@pytest.fixture
def nothing_can_be_read(monkeypatch):
  """Neither inputs nor model: whoever wants them fails."""

  def refuse(*_, **__):
    raise AssertionError("something was read, loaded or encoded")

  monkeypatch.setattr(context, "read_inputs", refuse)
  monkeypatch.setattr(context, "Model", refuse)


def test_a_finished_run_does_nothing(workdir, nothing_can_be_read):
  before = pipeline_run.digests(workdir)
  (line,) = pipeline_run.run(pipeline_run.small_config(), workdir)
  assert line.startswith("Nothing to do: adapt, decompose, evolve, evaluate,")
  assert pipeline_run.digests(workdir) == before
  (line,) = pipeline_run.run(pipeline_run.small_config(), workdir, ["evolve"])
  assert line.startswith("Nothing to do: evolve of")


def test_stages_that_are_complete_but_not_marked_are_not_done_again(
  workdir, nothing_can_be_read
):
  """As after a kill between a stage's last file and its mark."""
  before = pipeline_run.digests(workdir)
  marks = workdir / "done"
  stages = ["adapt", "decompose", "evolve"]
  for stage in stages:
    (marks / f"{stage}.json").unlink()
  pipeline_run.run(pipeline_run.small_config(), workdir, stages)
  assert all((marks / f"{stage}.json").exists() for stage in stages)
  assert pipeline_run.digests(workdir) == before


def test_the_report_says_what_each_part_took_and_how_tools_were_used(workdir):
  summary = json.loads((workdir / "summary.json").read_text())
  parts = {"adapt", "decompose", "round 1", "evaluate"}
  assert summary["clock"]["seconds"].keys() == parts
  for stage in summary["stages"]:
    assert stage["tools"]["solved"]["n"] == stage["tools"]["n"] > 0
  (first,) = summary["rounds"]
  assert first["diversity"].keys() == {"distinct tools", "call bigram entropy"}


def test_another_config_in_the_folder_is_refused_with_the_difference(workdir):
  other = dataclasses.replace(pipeline_run.small_config(), seed=7)
  with pytest.raises(UserError, match=r"config\.seed: was 0, is now 7"):
    pipeline_run.run(other, workdir)


@pytest.fixture
def copy(workdir, tmp_path):
  """A copy of the finished run, to go on with."""
  folder = epath.Path(tmp_path) / "copy"
  shutil.copytree(workdir, folder)
  return folder


def test_changed_evaluation_is_made_again_and_training_is_not(copy):
  before = pipeline_run.digests(copy)
  changes = {
    "evaluate.max_call_tokens": 8,
    "evaluate.tool_making": 0,
    "train.log_every": 7,
    "sampler.rows": 4,
  }
  config = pipeline_run.small_config(**changes)
  said = pipeline_run.run(config, copy)
  assert said[:2] == [
    "changed: evaluate.max_call_tokens 64 -> 8, evaluate.tool_making 2 -> 0"
    " (scores and report are made again)",
    "changed: train.log_every 1 -> 7, sampler.rows 8 -> 4"
    " (no file that was made depends on it)",
  ]
  assert "adapt/development_invocation.jsonl: made again" in "\n".join(said)
  assert not [line for line in said if "trained control token" in line]
  after = pipeline_run.digests(copy)
  assert before.keys() == after.keys()
  kept = ("adapt/result", "decompose/result", "round_1/calls", "export/")
  for name in (x for x in before if x.startswith(kept)):
    assert before[name] == after[name], name
  answers = "decompose/test_invocation.jsonl"
  assert before[answers] != after[answers]
  summary = json.loads((copy / "summary.json").read_text())
  assert all(stage["tools"] is None for stage in summary["stages"])
  for state in states.read_states(config, copy):
    assert state.scored_by == score_identity(config)
  assert io.read_json(copy / "config.json") == records.to_json(config)
  (line,) = pipeline_run.run(config, copy)
  assert line.startswith("Nothing to do")


def test_a_round_may_be_added_to_a_finished_run(copy):
  before = pipeline_run.digests(copy)
  config = pipeline_run.small_config(**{"evolve.rounds": 2})
  said = pipeline_run.run(config, copy)
  assert "round_2: asks queries again, all were taken" in said
  names = [state.name for state in states.read_states(config, copy)]
  assert names == ["adapt", "decompose", "round_1", "round_2"]
  ledger = io.read_jsonl(copy / "round_2" / "ledger.jsonl")
  first = io.read_jsonl(copy / "round_1" / "ledger.jsonl")
  assert [row["id"] for row in ledger] == [row["id"] for row in first[:3]]
  summary = json.loads((copy / "summary.json").read_text())
  assert [r["name"] for r in summary["rounds"]] == ["round 1", "round 2"]
  after = pipeline_run.digests(copy)
  for name in (x for x in before if x.startswith(("adapt", "round_1"))):
    assert before[name] == after[name], name


def test_a_start_that_was_refused_does_not_bind_the_folder(tmp_path):
  """Neither a mesh that does not fit nor the toy world's files do."""
  refused = pipeline_run.small_config(**{"mesh.tensor": 3, "toy.examples": 30})
  with pytest.raises(UserError, match="does not divide"):
    pipeline_run.run(refused, tmp_path, ["adapt"])
  assert not (tmp_path / "config.json").exists()
  mended = pipeline_run.small_config(**{"lora.rank": 4})
  pipeline_run.run(mended, tmp_path, ["adapt"])
  assert len(io.read_jsonl(tmp_path / "data" / "examples.jsonl")) == 24
  found = Workdir(tmp_path).identity("adapt")
  assert found.config["lora.rank"] == 4
  assert len(found.base) == len(found.inputs["documents"]) == 64


def test_rows_that_changed_under_a_trained_stage_are_refused(copy):
  file = copy / "data" / "examples.jsonl"
  file.write_text("".join(file.read_text().splitlines(True)[1:]))
  config = pipeline_run.small_config(**{"evolve.rounds": 2})
  with pytest.raises(UserError, match=r"data\.examples: other rows than those"):
    pipeline_run.run(config, copy)


def test_what_decompose_would_refuse_is_refused_before_adapt(
  tmp_path, monkeypatch
):
  config = pipeline_run.small_config(**{"decompose.batch_examples": 7})

  def plan(model, sequences, stage):
    if stage.batch_examples == 7:
      raise UserError("the mesh does not fit")
    raise AssertionError("adapt was planned first")

  monkeypatch.setattr(context.Model, "plan", plan)
  with pytest.raises(UserError, match="the mesh does not fit"):
    pipeline_run.run(config, tmp_path, ["adapt"])
  assert not (tmp_path / "adapt").exists()


def test_prompts_that_are_too_long_are_known_before_training(tmp_path):
  said = []
  config = pipeline_run.small_config(**{"sampler.prompt_buckets": [8]})
  shared = context.Context(config, epath.Path(tmp_path), said.append)
  with pytest.raises(UserError, match=r"data\.development: no prompt fits"):
    shared.begin("adapt")
  lengths = sorted(
    len(shared.model.encoder.prompt_ids(prompts.for_calls(x, x.tools)))
    for x in shared.inputs.development
  )
  fields = {"sampler.prompt_buckets": [lengths[0]]}
  shared = context.Context(
    pipeline_run.small_config(**fields), epath.Path(tmp_path), said.append
  )
  shared.begin("adapt")
  longer = sum(x > lengths[0] for x in lengths)
  assert 0 < longer < len(lengths)
  assert any(
    line.startswith(
      f"development: {longer} of {len(lengths)} prompts are skipped"
    )
    for line in said
  )


def test_a_stage_that_lacks_the_one_before_is_refused(tmp_path):
  config = pipeline_run.small_config()
  with pytest.raises(UserError, match="adapt has to be run before evolve"):
    pipeline_run.run(config, tmp_path, ["evolve"])
  with pytest.raises(UserError, match="'evolv' is not one of"):
    pipeline_run.run(config, tmp_path, ["evolv"])


def test_rounds_without_epochs_are_skipped(tmp_path, nothing_can_be_read):
  config = pipeline_run.small_config(
    **{"adapt.epochs": 0, "decompose.epochs": 0, "round.epochs": 0}
  )
  said = pipeline_run.run(config, tmp_path, ["adapt", "decompose", "evolve"])
  assert said == [
    "adapt: no documents or no epochs; skipped.",
    "decompose: no examples or no epochs; skipped.",
    "evolve: no rounds or no epochs; skipped.",
  ]


def test_all_processes_choose_their_stages_before_one_is_marked(
  tmp_path, monkeypatch
):
  barriers = []
  config = pipeline_run.small_config(**{"adapt.epochs": 0})

  def barrier(name):
    """Behind it another process has been quicker."""
    barriers.append(name)
    if name == "stages chosen":
      Workdir(tmp_path).mark_done("adapt", config)

  monkeypatch.setattr(pipeline.processes, "barrier", barrier)
  pipeline_run.run(config, tmp_path, ["adapt"])
  assert barriers[0] == "stages chosen"
  assert barriers[-1] == "adapt done"


def test_the_gold_of_the_queries_is_opened_by_evaluation_only(tmp_path):
  """Without the file everything up to evaluate runs; with it, it is read."""
  config = pipeline_run.small_config()
  pipeline_run.run(config, tmp_path, ["adapt"])
  gold = tmp_path / "data" / "queries_gold.jsonl"
  text = gold.read_text()
  gold.write_text("not JSON at all\n")
  pipeline_run.run(config, tmp_path, ["decompose", "evolve"])
  with pytest.raises(UserError, match="queries_gold"):
    pipeline_run.run(config, tmp_path, ["evaluate"])
  gold.write_text(text)
  pipeline_run.run(config, tmp_path)
  summary = json.loads((tmp_path / "summary.json").read_text())
  assert [r["name"] for r in summary["rounds"]] == ["round 1"]
