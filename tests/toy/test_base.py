"""Making a base: what is trained, and that the folder is a checkpoint."""

import dataclasses
import random
import shutil

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
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool
from tooldev_jax.toy import base, check
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


def test_every_phase_leaves_a_base_and_the_last_one_is_the_result(small, made):
  first, last = (made.parent / f"phase_{k}" / "base" for k in range(2))
  weights = "model.safetensors"
  assert (last / weights).read_bytes() == (made / weights).read_bytes()
  assert (first / weights).read_bytes() != (made / weights).read_bytes()


def test_finished_phases_are_read_and_not_trained_again(
  small, made, tmp_path, monkeypatch
):
  workdir = epath.Path(tmp_path) / "copy"
  shutil.copytree(made.parent, workdir)
  shutil.rmtree(workdir / "base")
  monkeypatch.setattr(base, "phase_data", lambda *args: pytest.fail("built"))
  again = base.make_base(small, workdir)
  weights = "model.safetensors"
  assert (again / weights).read_bytes() == (made / weights).read_bytes()


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


@pytest.mark.parametrize("copying", [0.0, 1.0])
def test_queries_are_trained_as_the_phase_says_but_not_what_is_to_be_copied(
  small, made, copying
):
  chat = ChatTokenizer.load(made)
  phase = dataclasses.replace(
    small.phases[1],
    documents=0.0,
    queries=1.0,
    copying=copying,
    views=(0.0, 0.0, 1.0, 0.0),
  )
  batch = base.phase_data(small, phase, 0, chat).batch(0)
  tokens, segments = batch["tokens"][0], batch["segment_ids"][0]
  trained = np.zeros_like(tokens, bool)
  for row, weights in enumerate(batch["target_weights"][0]):
    positions = batch["target_positions"][0][row][weights > 0]
    trained[row, positions + 1] = True
  # The user's mark is expected too; the assistant's is not.
  mark, expected = toy_tokenizer.USER_ID, 0
  if copying:
    mark, expected = toy_tokenizer.USER_ID + 1, 1
  for row in range(len(tokens)):
    for segment in range(1, segments[row].max() + 1):
      inside = np.flatnonzero(segments[row] == segment)
      first = inside[np.argmax(tokens[row, inside] == mark)] + expected
      np.testing.assert_array_equal(trained[row, inside], inside >= first)


_BOOK = Tool(
  "book_table",
  "Book a table.",
  {"type": "object", "properties": {"city": {"type": "string"}}},
)
_PRINT = dataclasses.replace(_BOOK, name="print_menu")


def _example(*calls):
  messages = (Message("user", "Tables in Rome and Oslo, please."),)
  return Example("e", messages, (_PRINT, _BOOK), calls, "", {"category": "x"})


def test_request_writing_goes_from_a_call_to_what_was_said():
  view = base.request_view(_example(Call("book_table", {"city": "Rome"})))
  assert view.tools == (_BOOK,)
  assert view.messages[-1].content.endswith('[book_table(city="Rome")]')
  assert view.target == "Tables in Rome and Oslo, please."
  assert base.request_view(_example()) is None


def test_looked_up_words_follow_from_the_pairs():
  words = [f"w{k}" for k in range(40)]
  view = base._looking_up(words, "one", random.Random(0))
  told, asked = view.messages[0].content.split(": ")
  pairs = told.split(", ")
  assert view.target.split(", ") == [
    next(pair for pair in pairs if pair.split()[0] == key)
    for key in asked.split(", ")
  ]


@pytest.mark.parametrize(
  ("calls", "exact"),
  [
    ([Call("book_table", {"city": "Rome"})], False),
    (
      [
        Call("book_table", {"city": "Oslo"}),
        Call("book_table", {"city": "Rome"}),
      ],
      True,
    ),
    ([], False),
    (None, False),
  ],
)
def test_an_answer_is_exact_when_its_calls_are_the_gold_ones(calls, exact):
  gold = [Call("book_table", {"city": city}) for city in ("Rome", "Oslo")]
  calls = calls if calls is None else tuple(calls)
  assert check.Answer(_example(*gold), "", calls).exact is exact
  assert check.Answer(_example(), "", calls).exact is (calls == ())


def test_a_base_is_scored_on_fresh_tools_and_on_the_quickstarts(made):
  worlds = check.worlds(seed=1, count=12)
  assert set(worlds) == {"base", "quickstart"}
  answers = check.ask(made, worlds["base"])
  assert [a.example for a in answers] == worlds["base"]
  right, count = check.rates(answers)["all"]
  assert (right, count) == (sum(a.exact for a in answers), 12)
  told = check.report("base", answers, wrong=1).splitlines()
  assert told[0] == "base: exact answers"
  assert f"{right:4} of   12" in next(x for x in told if x.startswith("  all"))
