"""What a folder refuses, allows and makes again, field by field."""

import dataclasses

import pytest
from etils import epath

from tests import pipeline_run
from tooldev_jax import config as configs
from tooldev_jax import io
from tooldev_jax.errors import UserError
from tooldev_jax.workdir import Workdir, deciding, score_identity

# Every field of a run once, by the earliest part whose files it decides.
_TABLE = {
  "adapt": """
    base.path base.dtype seed toy.seed
    data.documents.path data.documents.kind data.documents.limit
    data.decontaminate.reasons data.decontaminate.near
    data.decontaminate.min_words data.decontaminate.offered_tools
    data.row_length
    view.shuffle_definitions encode.prompt_style encode.max_length
    lora.rank lora.alpha lora.targets lora.rank_stabilised
    train.learning_rate train.schedule train.warmup_ratio train.decay_ratio
    train.final_ratio train.optimizer train.muon_learning_rate
    train.weight_decay train.beta1 train.beta2 train.epsilon train.clip_norm
    train.compute_dtype
    adapt.epochs adapt.learning_rate adapt.batch_examples adapt.max_targets
  """,
  "decompose": """
    toy.examples toy.max_tools toy.max_calls
    data.examples.path data.examples.kind data.examples.limit
    view.call_format view.max_distractors view.keep_given view.shuffle_tools
    view.keep_text view.mask_names view.split_turns
    encode.turns encode.strip_thoughts
    decompose.epochs decompose.learning_rate decompose.batch_examples
    decompose.max_targets
  """,
  "rounds": """
    toy.queries data.queries.path data.queries.kind data.queries.limit
    round.epochs round.learning_rate round.batch_examples round.max_targets
    evolve.queries_per_round evolve.tool_sets evolve.samples
    evolve.temperature evolve.top_k evolve.tool_temperature
    evolve.max_tool_tokens evolve.max_call_tokens evolve.min_vote_share
    evolve.max_vote_share evolve.grounded evolve.train_generation
    evolve.weight_by_share evolve.replay evolve.restart_from evolve.max_drop
    evolve.max_over_call_rise
  """,
  "evaluate": """
    toy.development toy.test
    data.queries_gold.path data.queries_gold.kind data.queries_gold.limit
    data.development.path data.development.kind data.development.limit
    data.test.path data.test.kind data.test.limit
    sampler.prompt_buckets
    evaluate.max_call_tokens evaluate.max_tool_tokens evaluate.tool_making
    evaluate.bfcl evaluate.bfcl_slice evaluate.bfcl_cases
  """,
  "nothing": """
    budget_minutes hardware data.max_bad_share
    mesh.data mesh.fsdp mesh.tensor
    train.remat train.attention train.loss_chunk train.checkpoint_every
    train.keep train.log_every train.profile_steps
    adapt.micro_batches decompose.micro_batches round.micro_batches
    sampler.tail_buckets sampler.rows sampler.max_lanes
    sampler.prefill_tokens sampler.max_stop_ids sampler.unroll sampler.chunk
    sampler.ahead
    evolve.rounds
  """,
}
_PART = {path: part for part, paths in _TABLE.items() for path in paths.split()}
_STAGES = ("adapt", "decompose", "round_1")
_STAGE_OF = dict(zip(("adapt", "decompose", "rounds"), _STAGES, strict=True))
# Where half of a value, twice it or the other of two would be refused.
_OTHER = {
  "data.decontaminate.reasons": ["tool name"],
  "encode.max_length": 400,
  "encode.turns": "all",
  "evolve.max_vote_share": 0.75,
  "evolve.min_vote_share": 0.25,
  "lora.targets": ["q_proj"],
  "sampler.prompt_buckets": [256],
  "sampler.tail_buckets": [32, 64],
  "sampler.unroll": True,
  "sampler.ahead": 1,
  "mesh.fsdp": 1,
  "mesh.data": 2,
  "train.profile_steps": "10:15",
  "train.beta1": 0.5,
}


def _changed(config, path):
  """The same config with another valid value of one field, and that value."""
  (field,) = (f for f in configs.fields_of(configs.RunConfig) if f.path == path)
  *above, name = path.split(".")
  groups = [config]
  for part in above:
    groups.append(getattr(groups[-1], part))
  old = getattr(groups[-1], name)
  if path in _OTHER:
    new = _OTHER[path]
    new = tuple(new) if isinstance(new, list) else new
  elif field.setting.one_of:
    new = next(x for x in field.setting.one_of if x != old)
  elif isinstance(old, bool):
    new = not old
  elif isinstance(old, str):
    new = f"{old}other"
  elif isinstance(old, int):
    new = old + 1
  else:
    new = old / 2 or 0.5
  found = new
  for part, group in zip((*above, name)[::-1], groups[::-1], strict=True):
    found = dataclasses.replace(group, **{part: found})
  return found, old, new


@pytest.fixture(scope="module")
def config():
  return pipeline_run.small_config(
    **{"evolve.rounds": 2, "data.row_length": 640}
  )


_FACTS = {
  "base": "weights",
  "inputs": {"documents": "d", "examples": "e", "queries": "q"},
  "code": "c0de",
}


def _made(folder, config, stages=_STAGES):
  """A folder in which these stages are complete."""
  workdir = Workdir(epath.Path(folder))
  for stage in stages:
    workdir.begin(stage, config, **_FACTS)
    io.write_json(workdir.path / stage / "state.json", {})
  return workdir


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
  workdir = _made(tmp_path_factory.mktemp("finished"), config)
  for stage in configs.STAGES:
    workdir.mark_done(stage, config)
  return workdir


def test_every_field_of_a_run_is_in_the_table_once():
  named = [path for paths in _TABLE.values() for path in paths.split()]
  assert sorted(named) == sorted(
    field.path for field in configs.fields_of(configs.RunConfig)
  )


def test_the_same_config_goes_on_without_a_word(config, finished):
  assert finished.check(config) == []
  assert all(finished.is_done(stage, config) for stage in configs.STAGES)


@pytest.mark.parametrize("path", _PART)
def test_a_changed_field_does_what_the_table_says(path, config, finished):
  other, old, new = _changed(config, path)
  assert old != new
  old, new = configs.settings.records.to_json([old, new])
  part = _PART[path]
  done = {s for s in configs.STAGES if finished.is_done(s, other)}
  if part in _STAGE_OF:
    with pytest.raises(UserError) as refused:
      finished.check(other)
    assert (
      f"config.{path}: was {old!r}, is now {new!r}; {_STAGE_OF[part]} was"
      " made with it"
    ) in str(refused.value)
  elif part == "evaluate":
    (line,) = finished.check(other)
    assert f"{path} {old!r} -> {new!r}" in line
    assert line.endswith("(scores and report are made again)")
    assert done == {"adapt", "decompose", "evolve", "export"}
    assert score_identity(other) != score_identity(config)
  else:
    (line,) = finished.check(other)
    assert f"{path} {old!r} -> {new!r}" in line
    assert line.endswith("(no file that was made depends on it)")
    # More rounds are not made yet, and then all states are scored again.
    more = {"evolve", "evaluate", "export"} if path == "evolve.rounds" else ()
    assert done == set(configs.STAGES) - set(more)
    assert score_identity(other) == score_identity(config)


@pytest.mark.parametrize("path", _PART)
def test_a_folder_in_which_nothing_was_made_takes_any_config(
  path, config, tmp_path
):
  workdir = Workdir(tmp_path)
  workdir.claim(config)
  (tmp_path / "adapt").mkdir()
  (tmp_path / "adapt" / "metrics.jsonl").touch()
  other, _, _ = _changed(config, path)
  (line,) = workdir.check(other)
  assert line.startswith(f"changed: {path} ")
  assert "made again" not in line


@pytest.mark.parametrize(
  "path", [path for path, part in _PART.items() if part in _STAGE_OF]
)
def test_stages_that_have_not_begun_may_be_changed(path, config, tmp_path):
  """What decides a stage is frozen when that stage has begun, not before."""
  stages = list(_STAGE_OF.values())
  before = stages[: stages.index(_STAGE_OF[_PART[path]])]
  workdir = _made(tmp_path, config, before)
  workdir.claim(config)
  (line,) = workdir.check(_changed(config, path)[0])
  assert line.endswith("(nothing was made with it yet)")


@pytest.mark.parametrize(
  "artefact",
  [
    "state.json",
    "result/manifest.json",
    "checkpoints/5/state",
    "tools.jsonl",
    "calls.jsonl.log",
    "calls.jsonl.0of2.log",
  ],
)
def test_a_stage_has_begun_with_its_first_artefact(artefact, config, tmp_path):
  workdir = Workdir(tmp_path)
  workdir.begin("adapt", config, **_FACTS)
  other, _, _ = _changed(config, "lora.rank")
  workdir.check(other)
  file = tmp_path / "adapt" / artefact
  file.parent.mkdir(parents=True, exist_ok=True)
  file.touch()
  with pytest.raises(UserError, match="adapt was made with it"):
    workdir.check(other)


def test_all_refused_fields_are_told_with_the_first_stage_that_has_them(
  config, finished
):
  other = config
  for path in ("evolve.samples", "seed", "decompose.epochs", "train.log_every"):
    other, _, _ = _changed(other, path)
  with pytest.raises(UserError) as refused:
    finished.check(other)
  assert [line.strip() for line in str(refused.value).splitlines()[1:]] == [
    "config.seed: was 0, is now 1; adapt was made with it",
    "config.decompose.epochs: was 1, is now 2; decompose was made with it",
    "config.evolve.samples: was 2, is now 3; round_1 was made with it",
  ]


def test_rounds_that_were_made_cannot_be_taken_back(config, tmp_path):
  stages = ("adapt", "decompose", "round_1", "round_2", "round_10")
  workdir = _made(tmp_path, config, stages)
  assert workdir.begun() == list(stages)
  with pytest.raises(UserError, match="is now 2, and round_10 was made"):
    workdir.check(config)


def test_looking_at_a_folder_writes_nothing(config, tmp_path):
  folder = tmp_path / "run"
  assert Workdir(folder).check(config) == []
  assert not folder.exists()


def test_a_claim_replaces_the_config_of_the_last_start(config, tmp_path):
  workdir = Workdir(tmp_path)
  workdir.claim(config)
  other, _, new = _changed(config, "evaluate.max_call_tokens")
  workdir.claim(other)
  written = io.read_json(tmp_path / "config.json")
  assert written["evaluate"]["max_call_tokens"] == new
  assert workdir.check(other) == []


def test_a_stage_tells_what_its_files_follow_from(config, finished):
  found = finished.identity("round_1")
  assert found.stage == "round_1"
  assert set(found.config) == set(deciding("rounds"))
  assert found.config["seed"] == 0
  assert found.inputs == {"examples": "e", "queries": "q"}
  assert (found.base, found.code) == ("weights", "c0de")
  assert finished.identity("adapt").inputs == {"documents": "d"}


def test_other_weights_and_other_rows_are_noticed(config, finished):
  inputs = _FACTS["inputs"]
  assert finished.changed("weights", inputs) == []
  lines = finished.changed("others", {**inputs, "examples": "more"})
  assert [line.split(":")[0] for line in lines] == [
    "base.path",
    "data.examples",
  ]
  with pytest.raises(UserError, match=r"cannot go on\nbase\.path: "):
    finished.begin("round_2", config, "others", inputs, "c0de")
  assert not (finished.path / "round_2").exists()


def test_going_on_keeps_the_identity_that_a_stage_began_with(config, tmp_path):
  workdir = _made(tmp_path, config, ["adapt"])
  workdir.begin("adapt", config, **{**_FACTS, "code": "later"})
  assert workdir.identity("adapt").code == "c0de"


def test_a_field_that_came_later_had_its_default(config, tmp_path):
  """A folder of an older version goes on where the new default is used."""
  workdir = _made(tmp_path, config, ["adapt"])
  file = tmp_path / "adapt" / "identity.json"
  record = io.read_json(file)
  del record["config"]["train.beta1"]
  io.write_json(file, record)
  assert workdir.check(config) == []
  with pytest.raises(UserError, match=r"train\.beta1: was 0\.9, is now 0\.5"):
    workdir.check(_changed(config, "train.beta1")[0])


def test_files_of_unknown_origin_are_taken_as_they_are_and_told(
  config, tmp_path
):
  """As when a round's examples were copied from another folder."""
  io.write_jsonl(tmp_path / "round_1" / "kept.jsonl", [])
  workdir = Workdir(tmp_path)
  (line,) = workdir.check(config)
  assert line.startswith("round_1: has files, and nothing says what they were")
  workdir.begin("round_1", config, **_FACTS)
  assert workdir.check(config) == []
  with pytest.raises(UserError, match="round_1 was made with it"):
    workdir.check(_changed(config, "evolve.samples")[0])
