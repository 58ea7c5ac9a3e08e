"""Rules, and what they make of a declared model, without any device."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

from tooldev_jax.errors import UserError
from tooldev_jax.parallel.mesh import AXES
from tooldev_jax.parallel.sharding import (
  SAMPLE_RULES,
  TRAIN_RULES,
  Partition,
  ShardingRules,
)


def partition(data=1, fsdp=1, tensor=1, rules=TRAIN_RULES):
  sizes, types = (data, fsdp, tensor), (AxisType.Auto,) * 3
  return Partition(AbstractMesh(sizes, AXES, axis_types=types), rules)


def box(shape, *names):
  leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
  return nn.LogicallyPartitioned(leaf, names)


def test_training_splits_weights_over_fsdp_and_sampling_does_not():
  kernel = ("blocks", "embed", "mlp")
  assert TRAIN_RULES.spec(kernel) == P(None, "fsdp", "tensor")
  assert SAMPLE_RULES.spec(kernel) == P(None, None, "tensor")
  tokens = ("batch", "length", None)
  assert TRAIN_RULES.spec(tokens) == P(("data", "fsdp"), None, None)


@pytest.mark.parametrize(
  ("rules", "axes", "message"),
  [
    (TRAIN_RULES, ("vocab", "mlp"), "'vocab' and 'mlp' .* 'tensor'"),
    (TRAIN_RULES, ("batch", "embed"), "'batch' and 'embed' .* 'fsdp'"),
    (ShardingRules(length="data"), ("batch", "length"), "mesh axis 'data'"),
  ],
)
def test_rules_that_collide_raise(rules, axes, message):
  with pytest.raises(UserError, match=message):
    rules.spec(axes)


def test_an_axis_without_a_rule_is_named():
  with pytest.raises(UserError, match="no sharding rule for axis 'width'"):
    TRAIN_RULES.spec(("width",))


def test_every_leaf_gets_its_sharding():
  declared = {
    "mlp": {"kernel": box((3, 8, 12), "blocks", "embed", "mlp")},
    "norm": {"scale": box((8,), None)},
  }
  shardings = partition(fsdp=4, tensor=2).shardings(declared)
  assert shardings["mlp"]["kernel"].spec == P(None, "fsdp", "tensor")
  assert shardings["norm"]["scale"].spec == P(None)


def test_what_does_not_divide_is_refused_by_name():
  declared = {"mlp": {"kernel": box((3, 8, 12), "blocks", "embed", "mlp")}}
  message = "mlp/kernel has mlp=12, which the mesh splits 8 ways"
  with pytest.raises(UserError, match=message):
    partition(tensor=8).shardings(declared)


def test_ways_counts_every_mesh_axis():
  assert partition(data=2, fsdp=3).ways("batch") == 6
  assert partition(data=2, fsdp=3).ways("length") == 1


def test_rules_and_partitions_are_static():
  """Both are hashable, so a module that holds them can be a jit's argument."""
  assert hash(partition()) == hash(partition())
  with pytest.raises(dataclasses.FrozenInstanceError):
    TRAIN_RULES.embed = None
