"""Questions of what fits that are refused before anything is compiled."""

import dataclasses
import json

import pytest

from tests import pipeline_run
from tests.sample import hashing
from tooldev_jax.errors import UserError
from tooldev_jax.fit import report

QUESTION = report.Question(
  config=pipeline_run.small_config(),
  model_config="",
  topology="v5e:4x4",
  stage="decompose",
  remat=(),
  examples=100,
  queries=10,
  example_tokens=700,
  trained_share=0.3,
  efficiency=0.6,
)


def test_a_program_that_there_is_not_is_named():
  with pytest.raises(UserError, match="--what: 'sampel' is not one of train"):
    report.fits(QUESTION, ["train", "sampel"])


def test_a_policy_that_there_is_not_is_named():
  question = dataclasses.replace(QUESTION, remat=("full", "nothing"))
  with pytest.raises(UserError, match="--remat: 'nothing' is not one of auto"):
    report.fits(question, ["train"])


def test_an_attention_that_cannot_be_counted_is_refused():
  config = pipeline_run.small_config(**{"train.attention": "blocked"})
  question = dataclasses.replace(QUESTION, config=config)
  with pytest.raises(UserError, match=r"train\.attention: what 'blocked'"):
    report.fits(question, ["train"])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"model_type": "x"}'])
def test_a_model_config_that_cannot_be_read_is_named(tmp_path, content):
  path = tmp_path / "config.json"
  if content is not None:
    path.write_text(content)
  with pytest.raises(UserError, match=r"config\.json"):
    report.read_model(str(path), "")


def test_a_model_config_stands_in_for_the_base(tmp_path):
  path = tmp_path / "config.json"
  model = hashing.config()
  path.write_text(json.dumps(model.to_hf()))
  question = dataclasses.replace(QUESTION, model_config=str(path))
  assert question.model == model
