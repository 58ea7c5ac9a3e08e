"""What stages learn from, and that the viewer shows just that."""

import dataclasses

import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict

from launch import show
from tests import pipeline_run
from tooldev_jax import context, io, pipeline, records, states
from tooldev_jax.data import encoding, stages, tokenizer
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate import state as evaluate
from tooldev_jax.evolve import round as evolved
from tooldev_jax.model import Model
from tooldev_jax.workdir import Workdir


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  return epath.Path(tmp_path_factory.mktemp("run"))


class _Data:
  """What each stage of a run with these changes learns."""

  def __init__(self, workdir, **changes):
    self.config = pipeline_run.small_config(**changes)
    self.workdir = workdir
    chat = tokenizer.ChatTokenizer.load(self.config.base.path)
    self.encoder = encoding.Encoder(
      chat, self.config.view.call_format, self.config.encode
    )
    self.inputs, _ = context.read_inputs(self.config, workdir)

  def sequences(self, name):
    return pipeline.stage_sequences(
      self.config, self.workdir, self.inputs, self.encoder, name
    )


def _make_round(workdir, read):
  """A round whose kept examples are two of stage 2's, renamed."""
  kept = [dataclasses.replace(e, id=f"kept-{e.id}") for e in read.examples[:2]]
  made = evolved.RoundData(tuple(kept), ({"id": "x"},), {"kept": 2})
  evolved.write_round(workdir / "round_1", made)


def _same(one, other):
  for a, b in zip(one, other, strict=True):
    assert (a.example_id, a.kind) == (b.example_id, b.kind)
    np.testing.assert_array_equal(a.tokens, b.tokens)
    np.testing.assert_array_equal(a.trained, b.trained)


def test_each_stage_has_its_views(workdir):
  data = _Data(workdir)
  kinds = {
    name: {sequence.kind for sequence in data.sequences(name).encoded}
    for name in ("adapt", "decompose")
  }
  assert kinds == {
    "adapt": {"adaption"},
    "decompose": {"generation", "invocation"},
  }


@pytest.mark.parametrize("generation", [True, False])
@pytest.mark.parametrize("replay", [0.0, 0.5, 1.0])
def test_a_round_adds_a_share_of_stage_2(workdir, generation, replay):
  changes = {"evolve.replay": replay, "evolve.train_generation": generation}
  data = _Data(workdir, **changes)
  _make_round(workdir, data.inputs)
  found = data.sequences("round_1").encoded
  fresh = [s for s in found if s.example_id.startswith("kept-")]
  kinds = {sequence.kind for sequence in fresh}
  assert ("generation" in kinds) is generation
  old = [s for s in found if not s.example_id.startswith("kept-")]
  whole = data.sequences("decompose").encoded
  assert len(old) <= len(whole)
  assert (len(old) == 0, len(old) == len(whole)) == (replay == 0, replay == 1)


def test_what_there_is_not_is_refused(workdir):
  data = _Data(workdir)
  for name in ("evolve", "round_x", "round"):
    with pytest.raises(UserError, match="allowed: adapt, decompose"):
      data.sequences(name)
  with pytest.raises(UserError, match="the round is not made"):
    data.sequences("round_7")


def test_a_stage_without_data_is_refused_before_the_first_is_trained(
  workdir, tmp_path, monkeypatch
):
  # The embedded documents fit into 100 tokens, or into none; queries do not.
  short = {"encode.max_length": 40, "sampler.prompt_buckets": [40]}
  data = _Data(workdir, **short)
  for name in ("adapt", "decompose"):
    with pytest.raises(UserError, match=r"nothing to learn.* × longer than"):
      data.sequences(name)
  empty = dataclasses.replace(_Data(workdir).inputs, examples=())
  monkeypatch.setattr(
    context, "read_inputs", lambda *_: (empty, evaluate.Official())
  )
  with pytest.raises(UserError, match="decompose: nothing to learn"):
    pipeline_run.run(pipeline_run.small_config(), tmp_path, ["adapt"])


def test_a_sequence_that_fits_no_row_is_counted(workdir):
  every = _Data(workdir).sequences("decompose")
  longest = max(sequence.num_trained for sequence in every.encoded)
  most = {"decompose.max_targets": longest - 1}
  found = _Data(workdir, **most).sequences("decompose")
  left = len(every.encoded) - len(found.encoded)
  assert found.dropped == {stages.TOO_MANY_TARGETS: left}
  assert left > 0
  exact = {"decompose.max_targets": longest}
  assert not _Data(workdir, **exact).sequences("decompose").dropped


@pytest.mark.parametrize("stage", ["adapt", "decompose", "round_1"])
def test_the_viewer_shows_what_the_stage_trains_on(workdir, stage):
  config = pipeline_run.small_config()
  data = _Data(workdir)
  _make_round(workdir, data.inputs)
  shown, chat = show.of_stage(config, workdir, stage)
  _same(shown._sequences, data.sequences(stage).encoded)
  trained = stages.plan(
    data.sequences(stage),
    stages.settings_of(config, stage),
    config,
    chat.pad_id,
    row_multiple=4,
  )
  one, four = shown.batch(0)["tokens"], trained.batch(0)["tokens"]
  np.testing.assert_array_equal(one[0], four[0, : one.shape[1]])


def test_a_round_with_nothing_to_learn_ends_as_it_began(tmp_path, monkeypatch):
  config = pipeline_run.small_config(
    **{"round.max_targets": 2, "adapt.epochs": 0, "decompose.epochs": 0}
  )
  data = _Data(epath.Path(tmp_path), **{"round.max_targets": 2})
  _make_round(data.workdir, data.inputs)
  Workdir(data.workdir).claim(config)
  scores = evaluate.Development(0.25, None)
  monkeypatch.setattr(evaluate, "score_development", lambda *_: scores)
  monkeypatch.setattr(Model, "train", None)  # Nothing is trained.
  pipeline_run.run(config, tmp_path, ["adapt", "decompose", "evolve"])
  (state,) = states.read_states(config, data.workdir)
  assert (state.adapter_from, state.accepted, state.exact) == (
    "base",
    False,
    0.25,
  )
  assert state.verdict.startswith("nothing to learn: 4 × more trained tokens")
  assert [notice.count for notice in state.notices] == [4]


def test_the_viewer_takes_the_config_of_a_run(tmp_path):
  config = pipeline_run.small_config()
  with pytest.raises(UserError, match="give --config, or --workdir"):
    show.config_of(None, None)
  with pytest.raises(UserError, match="no run is in this folder"):
    show.config_of(None, str(tmp_path))
  io.write_json(tmp_path / "config.json", records.to_json(config))
  assert show.config_of(None, str(tmp_path)) == config
  fields = ConfigDict(records.to_json(dataclasses.replace(config, seed=7)))
  assert show.config_of(fields, str(tmp_path)).seed == 7


def test_a_round_that_was_not_written_to_its_end_is_not_made(workdir):
  data = _Data(workdir)
  _make_round(workdir, data.inputs)
  (workdir / "round_1" / "counts.json").unlink()
  with pytest.raises(UserError, match="the round is not made"):
    data.sequences("round_1")


@pytest.mark.parametrize("replay", [0.0, 1.0])
def test_a_round_none_of_whose_examples_fit_has_no_sequences(workdir, replay):
  short = {"round.max_targets": 2, "evolve.replay": replay}
  data = _Data(workdir, **short)
  _make_round(workdir, data.inputs)
  found = data.sequences("round_1")
  assert found.encoded == ()
  assert found.dropped.keys() == {stages.TOO_MANY_TARGETS}
  with pytest.raises(UserError, match="round_1: nothing to learn from: "):
    config = pipeline_run.small_config(**short)
    show.of_stage(config, workdir, "round_1")
