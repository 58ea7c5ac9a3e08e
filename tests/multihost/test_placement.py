"""Where the base lies while it is sampled from."""

import json

import jax
import pytest

from tests import pipeline_run
from tests.multihost.worker import run_processes
from tests.sample import hashing
from tooldev_jax.config import MeshConfig
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
from tooldev_jax.sample.partition import SamplingPlan


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


@pytest.mark.parametrize("compute", ["bfloat16", "float32"])
def test_caches_are_counted_in_the_type_that_is_computed_in(compute):
  """As launch.fit --what=sample counts them; the base keeps its own type."""
  config = pipeline_run.small_config(
    **{"train.compute_dtype": compute, "base.dtype": "bfloat16"}
  )
  here = Partition(make_mesh(MeshConfig(), jax.devices()[:1]), TRAIN_RULES)
  plan = SamplingPlan(config, hashing.config(), here, here)
  types = {
    kind: {x.dtype.name for x in jax.tree.leaves(tree) if x.dtype.kind != "i"}
    for kind, tree in plan.kept
  }
  assert types["base"] == {"bfloat16"}
  assert types["adapter"] == {"float32"}
  assert types["prompts' cache"] == {compute}
  tails = plan.programs.abstract_state(plan.shape, plan.variables)[1].tail
  assert {x.dtype.name for x in jax.tree.leaves(tails)} == {compute}
