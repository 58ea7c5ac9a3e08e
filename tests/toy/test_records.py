"""The toy world as record files, the same as real data has."""

import dataclasses

import pytest

from tooldev_jax.config import ToyConfig
from tooldev_jax.data.sources import read_examples
from tooldev_jax.errors import UserError
from tooldev_jax.toy import records

_CONFIG = ToyConfig(
  seed=3, examples=120, queries=60, refusals=0.3, development=40, test=40
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = records.epath.Path(tmp_path_factory.mktemp("toy"))
  records.write_world(_CONFIG, path)
  return path


def _read(folder, name):
  read = read_examples(folder / f"{name}.jsonl", "records")
  assert not read.rejected
  return read.examples


def test_files_hold_as_many_examples_as_were_asked_for(folder):
  for name, count in (
    *(("examples", 120), ("queries", 60), ("queries_gold", 60)),
    *(("development", 40), ("test", 40)),
  ):
    assert len(_read(folder, name)) == count
  documents = _read(folder, "documents")
  assert len(documents) > 100
  assert all(len(d.tools) == 1 and not d.messages for d in documents)


def test_queries_hold_no_answer_and_gold_has_the_same_ids(folder):
  queries, gold = _read(folder, "queries"), _read(folder, "queries_gold")
  assert [q.id for q in queries] == [g.id for g in gold]
  for query, answer in zip(queries, gold, strict=True):
    assert (query.query, query.tools) == (answer.query, answer.tools)
    assert not query.calls
    assert query.provenance["labelled"] is False
    assert "category" not in query.provenance


def test_a_share_of_the_queries_needs_a_refusal(folder, tmp_path):
  refused = sum(not gold.calls for gold in _read(folder, "queries_gold"))
  assert 8 <= refused <= 28
  records.write_world(
    ToyConfig(seed=3, examples=1, queries=60), records.epath.Path(tmp_path)
  )
  assert all(gold.calls for gold in _read(tmp_path, "queries_gold"))


def test_files_are_written_again_for_another_config_only(tmp_path):
  folder = records.epath.Path(tmp_path)
  small = dataclasses.replace(_CONFIG, examples=4, queries=2)
  records.write_world(small, folder)
  (folder / "examples.jsonl").write_text("mine")
  records.write_world(small, folder)
  assert (folder / "examples.jsonl").read_text() == "mine"
  records.write_world(dataclasses.replace(small, examples=3), folder)
  assert len(_read(folder, "examples")) == 3


@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_a_share_that_is_none_is_named(wrong):
  with pytest.raises(UserError, match=r"toy\.refusals"):
    ToyConfig(refusals=wrong)


def test_the_same_seed_writes_the_same_bytes(folder, tmp_path):
  records.write_world(_CONFIG, records.epath.Path(tmp_path))
  for file in sorted(folder.iterdir()):
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()
