"""Making a base: what is trained, and that the folder is a checkpoint."""

import dataclasses

import numpy as np
import pytest
from etils import epath

from configs import tiny_base
from tooldev_jax import config
from tooldev_jax.config import MeshConfig
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.errors import UserError
from tooldev_jax.models.checkpoint import load_model
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES
from tooldev_jax.toy import base
from tooldev_jax.toy import tokenizer as toy_tokenizer


@pytest.fixture(scope="module")
def small():
  """The shipped base's config, with little of everything."""
  full = config.from_config_dict(base.PretrainConfig, tiny_base.get_config())
  model = {
    **full.model,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
  }
  phases = tuple(
    dataclasses.replace(phase, examples=40, batch_examples=10)
    for phase in full.phases[:2]
  )
  return dataclasses.replace(
    full,
    tokenizer="",
    vocab_size=1024,
    model=model,
    phases=phases,
    dtype="float32",
  )


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
  workdir = epath.Path(tmp_path_factory.mktemp("base"))
  return base.make_base(small, workdir)


def test_the_folder_is_a_checkpoint(small, made):
  loaded = load_model(made, make_mesh(MeshConfig()), TRAIN_RULES, "float32")
  assert loaded.config.hidden_size == 16
  assert ChatTokenizer.load(made).vocab_size <= loaded.config.vocab_size


def test_a_finished_base_is_left_as_it_is(small, made):
  before = {file.name: file.stat().mtime for file in made.iterdir()}
  assert base.make_base(small, made.parent) == made
  assert {file.name: file.stat().mtime for file in made.iterdir()} == before


def test_a_tokenizer_that_is_there_is_taken(small, made, tmp_path):
  config = dataclasses.replace(
    small, tokenizer=str(made), phases=small.phases[:1]
  )
  again = base.make_base(config, epath.Path(tmp_path))
  for name in ("tokenizer.json", "tokenizer_config.json"):
    assert (again / name).read_bytes() == (made / name).read_bytes()


def test_a_tokenizer_that_is_not_there_is_named(small, tmp_path):
  config = dataclasses.replace(small, tokenizer=str(tmp_path / "none"))
  with pytest.raises(UserError, match=r"none.*no tokenizer\.json"):
    base.make_base(config, epath.Path(tmp_path))


def test_a_tokenizer_without_its_template_is_named_before_training(
  small, made, tmp_path
):
  folder = epath.Path(tmp_path) / "half"
  folder.mkdir()
  (made / "tokenizer.json").copy(folder / "tokenizer.json")
  (made / "tokenizer_config.json").copy(folder / "tokenizer_config.json")
  config = dataclasses.replace(small, tokenizer=str(folder))
  with pytest.raises(UserError, match=r"half.*no chat_template\.jinja"):
    base.make_base(config, epath.Path(tmp_path))


def test_prompts_are_trained_as_the_phase_says(small, made):
  chat = ChatTokenizer.load(made)
  phase = dataclasses.replace(
    small.phases[1], documents=0.0, queries=1.0, copying=0.0
  )
  batch = base.phase_data(small, phase, 0, chat).batch(0)
  tokens, segments = batch["tokens"][0], batch["segment_ids"][0]
  trained = np.zeros_like(tokens, bool)
  for row, weights in enumerate(batch["target_weights"][0]):
    positions = batch["target_positions"][0][row][weights > 0]
    trained[row, positions + 1] = True
  for row in range(len(tokens)):
    for segment in range(1, segments[row].max() + 1):
      inside = np.flatnonzero(segments[row] == segment)
      user = tokens[row, inside] == toy_tokenizer.USER_ID
      first = inside[np.argmax(user)]
      np.testing.assert_array_equal(trained[row, inside], inside >= first)
