"""Where the base lies while it is sampled from."""

import json

import pytest

from tests.multihost.worker import run_processes


@pytest.fixture(scope="module")
def found():
  ((line,),) = run_processes(
    "tests.multihost.placement_worker", {}, devices=8, processes=1
  )
  return json.loads(line)


def test_layers_are_split_over_as_few_chips_as_let_two_copies_fit(found):
  # Four heads of keys go no further than four ways. Where nothing fits, the
  # weights stay where they are.
  assert found["split"] == [[1, True], [2, True], [4, True], [1, False]]
  assert found["split in two"] == [[2, True], [4, True], [2, False]]


def test_weights_that_lie_whole_are_not_copied_unless_they_must_be_split(found):
  assert found["whole"][:2] == [[1, False], [2, True]]


def test_decoding_moves_no_weights_where_training_splits_them(found):
  split, whole = found["answers split"], found["answers whole"]
  assert split["tokens"] == whole["tokens"]
  # What the host reads; the smallest kernel is as wide as it is high.
  assert split["told"] < split["hidden"] ** 2
  assert not any("do not fit" in line for line in split["said"])
