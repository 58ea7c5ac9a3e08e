"""Will the sampler fit? Compiled for chips that need not be attached."""

import dataclasses
import math
from typing import Any

import jax
from flax import linen as nn
from jax.sharding import Mesh

from tooldev_jax.models.parameters import declare
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.sharding import SAMPLE_RULES, Partition
from tooldev_jax.sample.params import SamplerConfig
from tooldev_jax.sample.programs import Programs
from tooldev_jax.sample.schedule import Planner, Shape


@dataclasses.dataclass(frozen=True)
class Fit:
  """Prefill and decode, compiled, and the bytes that one device needs.

  Attributes:
    shape: lanes, buckets, slots and rows of the programs.
    prefill, decode: the compiled programs (`jax.stages.Compiled`).
    weight_bytes: of the parameters and adapter, on one device.
    prompt_bytes: of the prompts' keys and values, on one device.
    tail_bytes: of the samples' keys and values, on one device.
  """

  shape: Shape
  prefill: Any
  decode: Any
  weight_bytes: int
  prompt_bytes: int
  tail_bytes: int

  @property
  def total_bytes(self) -> int:
    """What one device holds while either program runs."""
    # While prefill runs the tails are there too, though it does not see them.
    return max(_peak(self.prefill) + self.tail_bytes, _peak(self.decode))

  def to_json(self) -> dict[str, Any]:
    """Bytes on one device, by kind and by program."""
    programs = {}
    for name in ("prefill", "decode"):
      memory = getattr(self, name).memory_analysis()
      programs[name] = {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "updated_in_place": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
      }
    return {
      "shape": dataclasses.asdict(self.shape),
      "weights": self.weight_bytes,
      "prompts": self.prompt_bytes,
      "tails": self.tail_bytes,
      "programs": programs,
      "total": self.total_bytes,
    }


def compile_for(
  decoder: Decoder,
  mesh: Mesh,
  config: SamplerConfig,
  *,
  prompt_tokens: int,
  new_tokens: int,
  n: int,
  param_dtype: Any,
  adapter: bool = False,
) -> Fit:
  """Compiles the programs for one kind of prompt, from shapes alone.

  Args:
    decoder: the model; its `lora` counts if `adapter`.
    mesh: attached devices, or those of a topology description.
    config: the sampler's buckets and rows.
    prompt_tokens: length of the longest prompt.
    new_tokens: the new tokens to plan for.
    n: samples of a prompt.
    param_dtype: dtype of the weights that are sampled from.
    adapter: sample with an unmerged float32 adapter.
  """
  partition = decoder.partition or Partition(mesh, SAMPLE_RULES)
  declared = declare(decoder.config, decoder.lora if adapter else None)
  shardings = partition.shardings(declared)
  dtypes = {"params": param_dtype, "lora": "float32"}
  variables = {
    collection: jax.tree.map(
      lambda x, sharding, dtype=dtypes[collection]: jax.ShapeDtypeStruct(
        x.shape, dtype, sharding=sharding
      ),
      nn.meta.unbox(declared[collection]),
      shardings[collection],
    )
    for collection in declared
  }
  programs = Programs(decoder, mesh, config)
  planner = Planner(config, programs.shards, whole_tails=False)
  shape = planner.shape_for(n, prompt_tokens, new_tokens)
  prefill, decode = programs.lower(shape, variables)
  prompt, running = programs.abstract_state(shape, variables)
  return Fit(
    shape,
    prefill.compile(),
    decode.compile(),
    weight_bytes=_bytes(variables),
    prompt_bytes=_bytes(prompt),
    tail_bytes=_bytes(running.tail),
  )


def _bytes(tree: Any) -> int:
  """Bytes of one device's part of a tree of abstract arrays."""
  return sum(
    math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
  )


def _peak(program: Any) -> int:
  """Arguments, what is not updated in place, and temporaries."""
  memory = program.memory_analysis()
  return (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.temp_size_in_bytes
  )
