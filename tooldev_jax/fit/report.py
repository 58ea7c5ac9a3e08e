"""What `launch.fit` prints: whether a config fits, and how long a run takes."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

from etils import epath
from jax.sharding import Mesh

from tooldev_jax import io
from tooldev_jax.config import RunConfig
from tooldev_jax.errors import UserError
from tooldev_jax.fit.capacity import (
  Compiled,
  TooBig,
  chip_of,
  compile_for,
  describe_topology,
  roofline,
)
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.model_folder import read_config, resolve_folder
from tooldev_jax.models.transformer import REMAT_POLICIES
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
from tooldev_jax.sample.partition import SamplingPlan, sampling_partition
from tooldev_jax.train.batch import batch_shards, check_mesh
from tooldev_jax.train.step import make_train_step

# The share of a packed row that is not padding.
_PACKED = 0.95


@dataclasses.dataclass(frozen=True)
class Question:
  """What is to be fitted, and what is assumed of data that are not there.

  Attributes:
    config: of the run.
    model_config: a config.json that stands in for the base's; "" for none.
    topology: the chips' name, such as "v5e:4x4".
    stage: whose batch is used: adapt, decompose or round.
    remat: policies to compile, ("auto",) for the lightest that fits; empty
      for the config's.
    examples, queries: numbers of labelled examples and unlabelled queries.
    example_tokens: mean tokens of a view of an example.
    trained_share: of a row's tokens, where the stage's max_targets is 0.
    efficiency: the share of the bound that a run reaches.
  """

  config: RunConfig
  model_config: str
  topology: str | None
  stage: str
  remat: tuple[str, ...]
  examples: int
  queries: int
  example_tokens: int
  trained_share: float
  efficiency: float

  @functools.cached_property
  def model(self) -> DecoderConfig:
    """The base's shape; read when all else has been checked."""
    return read_model(self.model_config, self.config.base.path)


@dataclasses.dataclass(frozen=True)
class _Batch:
  """The shape of a step's batch; rows are of one micro-batch."""

  micro_batches: int
  rows: int
  length: int
  targets: int

  @property
  def tokens(self) -> int:
    """Of all micro-batches, padding included."""
    return self.micro_batches * self.rows * self.length

  @property
  def shapes(self) -> dict[str, tuple[int, ...]]:
    lead = (self.micro_batches, self.rows)
    by_token = ("tokens", "segment_ids", "positions")
    by_target = ("target_positions", "target_ids", "target_weights")
    return {
      **dict.fromkeys(by_token, (*lead, self.length)),
      **dict.fromkeys(by_target, (*lead, self.targets)),
    }


def read_model(model_config: str, base: str) -> DecoderConfig:
  """The model's shape, from a config.json or from the base's folder.

  Raises:
    UserError: the file cannot be read, or describes no model we know.
  """
  if not model_config:
    return read_config(resolve_folder(base))
  path = epath.Path(model_config)
  try:
    return DecoderConfig.from_hf(io.read_json(path), str(path))
  except (OSError, ValueError) as error:
    raise UserError(f"--model_config: {path}: {error}") from error


def fits(question: Question, what: Sequence[str]) -> bool:
  """Compiles and prints the programs named in `what`.

  Raises:
    UserError: a name is unknown, or the config cannot be compiled.
  """
  programs = {"train": fits_training, "sample": fits_sampling}
  for name in what:
    if name not in programs:
      raise UserError(f"--what: {name!r} is not one of {', '.join(programs)}")
  fitting = [programs[name](question) for name in what]
  return all(fitting)


def fits_training(question: Question) -> bool:
  """Whether the training step fits with some policy; prints each."""
  config = question.config
  if config.train.attention == "blocked":
    raise UserError(
      "train.attention: what 'blocked' computes depends on the data, so it"
      " cannot be counted; use 'auto', which is the TPU's kernel there"
    )
  lightest_only = question.remat == ("auto",)
  policies = question.remat or (config.train.remat,)
  if lightest_only:
    policies = tuple(REMAT_POLICIES)
  for policy in policies:
    if policy not in REMAT_POLICIES:
      raise UserError(
        f"--remat: {policy!r} is not one of auto, {', '.join(REMAT_POLICIES)}"
      )
  mesh = describe_topology(question.topology, config.mesh)
  batch = _plan_batch(question, mesh)
  axes = ", ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
  print(
    f"train, {question.topology}: {mesh.size} ×"
    f" {mesh.devices.flat[0].device_kind}, mesh {axes}\n"
    f"  {batch.micro_batches} × {batch.rows} rows of {batch.length} tokens, up"
    f" to {batch.targets} of a row trained"
  )
  fitting = False
  for policy in policies:
    if lightest_only and fitting and policy != "full":
      continue
    fitting |= _fits_step(question, mesh, batch, policy)
  return fitting


def fits_sampling(question: Question) -> bool:
  """Whether prefill and decoding of the largest buckets fit; prints both."""
  config, model = question.config, question.model
  mesh = describe_topology(question.topology, config.mesh)
  own = describe_topology(question.topology, config.mesh, own=True)
  trained = Partition(own if own.size == mesh.size else mesh, TRAIN_RULES)
  partition = sampling_partition(
    config, model, trained, list(own.devices.flat), chip_of(own).memory
  )
  plan = SamplingPlan(config, model, trained, partition)
  shape = plan.shape
  print(
    f"sample, {question.topology}: on the {own.size} chips of each process,"
    f" {shape.slots} prompts of {shape.prompt} tokens"
    f" × {shape.samples} samples of {shape.tail}, {shape.lanes} at a time;"
    f" {shape.rows} prompts prefilled at once"
  )
  if partition.ways("embed") > 1:
    print("  no copy for sampling fits: layers are gathered for each token")
  else:
    ways = partition.mesh.shape["tensor"]
    print(f"  each layer split over {ways} chips, none gathered")
  prefill, decode = plan.programs.lower(shape, plan.variables)
  fitting = True
  for name, lowered in (("prefill", prefill), ("a chunk of decoding", decode)):
    print(f"\n  {name}")
    if _print_verdict(compile_for(lowered, plan.kept), own) is None:
      fitting = False
      print("    - --config.sampler.rows or prefill_tokens down")
      print("    - --config.mesh.tensor up, so that chips share the weights")
      print("    - a larger topology")
  return fitting


def _plan_batch(question: Question, mesh: Mesh) -> _Batch:
  """The batch that the loader would make for the stage.

  Raises:
    UserError: the mesh has more batch shards than the batch has rows.
  """
  stage = getattr(question.config, question.stage)
  length, parts = question.config.data.row_length, stage.micro_batches
  tokens = stage.batch_examples * question.example_tokens
  rows = math.ceil(tokens / (length * _PACKED) / parts)
  partition = Partition(mesh, TRAIN_RULES)
  check_mesh(rows, partition)
  shards = batch_shards(partition)
  most = 64 * math.ceil(length * question.trained_share / 64)
  return _Batch(
    micro_batches=parts,
    rows=shards * math.ceil(rows / shards),
    length=length,
    targets=stage.max_targets or min(length, most),
  )


def _fits_step(
  question: Question, mesh: Mesh, batch: _Batch, policy: str
) -> bool:
  config = question.config
  step = make_train_step(
    question.model,
    config.lora,
    dataclasses.replace(config.train, remat=policy),
    batch.shapes,
    1000,
    mesh,
    TRAIN_RULES,
    config.base.dtype,
  )
  print(f"\n  remat {policy}")
  compiled = _print_verdict(
    compile_for(
      step.run.lower(step.state, step.base, step.batch),
      [
        ("base", step.base),
        ("adapter", step.state.trained),
        ("optimizer", step.state.optimizer),
        ("batch", step.batch),
      ],
    ),
    mesh,
  )
  if compiled is None:
    _print_training_advice(question, mesh, batch)
    return False
  lengths = {batch.length, min(question.example_tokens, batch.length)}
  # Shorter segments lower the ideal only: the kernel skips no tile for them.
  for segment in sorted(lengths):
    pairs = len(question.model.layers) * batch.tokens * (segment + 1) / 2
    trained = batch.tokens / batch.length * batch.targets
    ideal = step.ideal.of(batch.tokens, trained, pairs) / mesh.size
    print(
      f"    FLOPs a chip {compiled.flops:.3g}: {compiled.flops / ideal:.3f} ×"
      f" the ideal {ideal:.3g} (segments of {segment} tokens)"
    )
  for x in compiled.collectives:
    print(f"    {x.kind:<20}{x.count:6d} times {_gib(x.bytes)} a chip and step")
  passes = 2 if policy == "none" else 3
  bound = roofline(compiled, chip_of(mesh), passes)
  print(
    f"    step at least {bound.overlapped:.3f} s: compute {bound.compute:.3f}"
    f" (bfloat16 peak), HBM {bound.memory:.3f} ({passes} passes), links"
    f" {bound.network:.3f}; {bound.apart:.3f} s if nothing overlaps"
  )
  _print_hours(question, mesh, batch, bound.overlapped / question.efficiency)
  return True


def _print_verdict(compiled: Compiled | TooBig, mesh: Mesh) -> Compiled | None:
  """Prints the bytes of a program; None if it does not fit.

  It has to fit beside everything that stays on the chips, which is more than
  the compiler knows of.
  """
  memory = chip_of(mesh).memory
  if isinstance(compiled, Compiled) and compiled.total > memory:
    compiled = TooBig(compiled.total, memory)
  if isinstance(compiled, TooBig):
    needed = f"{_gib(compiled.used).strip()} of " if compiled.used else ""
    limit = _gib(compiled.limit or memory).strip()
    print(f"    DOES NOT FIT: {needed}{limit} a chip. Change:")
    return None
  for kind, size in (
    *compiled.arguments,
    ("activations", compiled.activations),
    ("code", compiled.code),
  ):
    print(f"    {kind:<16}{_gib(size)}")
  print(
    f"    {'total':<16}{_gib(compiled.total)} of {_gib(memory).strip()} a chip:"
    f" FITS ({compiled.total / memory:.0%})"
  )
  return compiled


def _print_training_advice(
  question: Question, mesh: Mesh, batch: _Batch
) -> None:
  shards = batch_shards(Partition(mesh, TRAIN_RULES))
  print("    - --config.train.remat to one that keeps less (full the least)")
  if batch.rows > shards:
    print(
      f"    - {question.stage}.micro_batches: a chip holds"
      f" {batch.rows // shards} rows at once"
    )
  print("    - --config.mesh.tensor up, so that chips share a row's layers")
  print("    - --config.data.row_length down")
  print("    - a larger topology")


def _print_hours(
  question: Question, mesh: Mesh, batch: _Batch, seconds: float
) -> None:
  """Prints the hours of training; sampling is not included."""
  config, examples = question.config, question.examples
  rounds = config.evolve.rounds
  # Adapt trains one view of an example, the other stages two. A round replays
  # those of decompose beside its own.
  replayed = 2 * examples * config.evolve.replay * rounds
  views = (
    examples * config.adapt.epochs
    + 2 * examples * config.decompose.epochs
    + (replayed + 2 * question.queries) * config.round.epochs
  )
  steps = math.ceil(views * question.example_tokens / (batch.tokens * _PACKED))
  hours = steps * seconds / 3600
  print(
    f"    the run trains {views:,.0f} views of {question.example_tokens} tokens"
    f" ({examples:,} examples, {question.queries:,} queries, {rounds} rounds):"
    f" {steps:,} steps of {seconds:.2f} s ({question.efficiency:.0%} of the"
    f" bound) = {hours:.2f} h, {hours * mesh.size:.1f} chip-hours"
  )


def _gib(size: Any) -> str:
  return f"{size / 2**30:8.3f} GiB"
