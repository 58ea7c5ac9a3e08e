"""How the base is sharded while it is sampled from.

Training shards each layer over chips and gathers it when it is used. Decoding
that way would move all weights to every chip for each token, so sampling has a
copy of its own. It is replicated but for the tensor axis, which splits it over
as few chips as let it fit beside the weights in training and the sampler's
caches; prompts are split over the other chips. An adapter is applied unmerged:
it is what users will load, bit for bit, and one copy of the base serves all
adapters.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tooldev_jax.config import MeshConfig, RunConfig
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import abstract, declare
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import (
  SAMPLE_RULES,
  TRAIN_RULES,
  Partition,
  bytes_per_chip,
)
from tooldev_jax.sample.programs import Programs
from tooldev_jax.sample.schedule import Planner

# Of a chip's memory, for weights and caches. Programs compute in the rest: 2.5
# of a v5e's 16 GiB for 8B, 32 prompts of 4,096 tokens and 8 samples of 256.
SHARE = 0.8


def sampling_partition(
  config: RunConfig,
  model: DecoderConfig,
  trained: Partition,
  devices: Sequence[jax.Device],
  memory: float | None,
) -> Partition:
  """The mesh and the rules that a process samples with.

  Args:
    config: of the run.
    model: the base's shape.
    trained: how the weights are sharded for training.
    devices: those of this process.
    memory: bytes of each; None where it is not known, as on a CPU, and taken
      to be enough.

  Returns:
    A mesh of the devices with training's tensor axis or a longer one, and
    SAMPLE_RULES. Where no copy fits: training's tensor axis and its rules.
  """
  tensor = trained.mesh.shape["tensor"]
  split = (model.num_kv_heads, model.intermediate_size, model.vocab_size)
  for ways in range(tensor, len(devices) + 1, tensor):
    if any(size % ways for size in (len(devices), *split)):
      continue
    partition = Partition(_mesh(trained, devices, ways), SAMPLE_RULES)
    if memory is None:
      return partition
    plan = SamplingPlan(config, model, trained, partition)
    if plan.bytes <= SHARE * memory:
      return partition
  return Partition(_mesh(trained, devices, tensor), TRAIN_RULES)


def shares_weights(trained: Partition, partition: Partition) -> bool:
  """Whether both shard the weights alike, so that no copy is made."""
  return partition.mesh == trained.mesh and (
    partition.rules == trained.rules or trained.ways("embed") == 1
  )


def _mesh(trained: Partition, devices: Sequence[jax.Device], ways: int) -> Mesh:
  """A mesh of these devices; training's own where it is the same."""
  mesh = trained.mesh
  if mesh.size == len(devices) and mesh.shape["tensor"] == ways:
    return mesh
  return make_mesh(MeshConfig(tensor=ways), devices)


class SamplingPlan:
  """The largest job of a run: all samples of a vote on the longest prompts.

  Nothing is allocated; `launch.fit` compiles it.

  Args:
    config: of the run.
    model: the base's shape.
    trained: how the weights are sharded for training.
    partition: how they are sharded for sampling.

  Attributes:
    programs, shape, variables: as `Programs.lower` takes them.
    kept: (kind, tree of ShapeDtypeStruct) of all that stays on the chips.
  """

  def __init__(
    self,
    config: RunConfig,
    model: DecoderConfig,
    trained: Partition,
    partition: Partition,
  ):
    declared = declare(model, config.lora)
    dtype = jnp.dtype(config.base.dtype)
    self.variables = {
      "params": abstract(declared["params"], partition, dtype),
      "lora": abstract(declared["lora"], partition, jnp.float32),
    }
    compute = jnp.dtype(config.train.compute_dtype)
    decoder = Decoder(model, config.lora, compute)
    self.programs = Programs(decoder, partition.mesh, config.sampler)
    self.shape = Planner(config.sampler, self.programs.shards).shape_for(
      config.evolve.samples,
      config.sampler.prompt_buckets[-1],
      config.evolve.max_call_tokens,
    )
    prompts, samples = self.programs.abstract_state(self.shape, self.variables)
    self.kept = [
      ("base", self.variables["params"]),
      ("adapter", self.variables["lora"]),
      ("prompts' cache", prompts),
      ("samples' cache", samples),
    ]
    if not shares_weights(trained, partition):
      beside = abstract(declared["params"], trained, dtype)
      self.kept.insert(0, ("base in training", beside))

  @property
  def bytes(self) -> float:
    """Bytes of one chip for all that is kept."""
    return sum(bytes_per_chip(tree) for _, tree in self.kept)
