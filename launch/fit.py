r"""Will it fit? Compiles a config's programs for TPU chips you do not have.

    python -m launch.fit --config=configs/llama3_1_8b.py --topology=v5e:4x4 \
      [--what=train,sample] [--remat=auto] [--model_config=config.json]

Needs the package `libtpu` (requirements-tpu.txt), but no TPU, no weights and no
data. Of the base only config.json is read; figures of the data are flags. A
compilation takes about a minute on a laptop.

Exit status: 0 fits, 1 does not fit, 2 a mistake in config or flags.
"""

import dataclasses
import math
import os
import sys
from typing import Any

from absl import app, flags, logging
from etils import epath
from ml_collections import config_flags

from launch import errors

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "What to fit.", lock_config=True
)
_TOPOLOGY = flags.DEFINE_string(
  "topology", None, "Chips: v5e:4x4, v6e:8x8, v5p:4x4x4, v4:4x4x4 and the like."
)
_WHAT = flags.DEFINE_list("what", ["train"], "Programs: train, sample.")
_STAGE = flags.DEFINE_enum(
  "stage", "decompose", ["adapt", "decompose", "round"], "Whose batch is used."
)
_REMAT = flags.DEFINE_string(
  "remat",
  "",
  'Policies to compile, by comma; "auto": the lightest that fits. Empty: the'
  " config's.",
)
_MODEL_CONFIG = flags.DEFINE_string(
  "model_config", "", "A config.json instead of the base's."
)
_EXAMPLES = flags.DEFINE_integer("examples", 11300, "Labelled examples.")
_QUERIES = flags.DEFINE_integer("queries", 3000, "Unlabelled queries, in all.")
_EXAMPLE_TOKENS = flags.DEFINE_integer(
  "example_tokens", 768, "Mean tokens of a view of an example."
)
_TRAINED_SHARE = flags.DEFINE_float(
  "trained_share",
  0.375,
  "Share of a row's tokens that are trained, at most, where the stage's"
  " max_targets does not say.",
)
_EFFICIENCY = flags.DEFINE_float(
  "efficiency", 0.6, "Share of the bound that a run reaches, for the hours."
)

# The share of a packed row that is not padding.
_PACKED = 0.95


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  os.environ["JAX_PLATFORMS"] = "cpu"
  from tooldev_jax import config as configs

  with errors.shown_plainly():
    config = configs.from_config_dict(configs.RunConfig, _CONFIG.value)
    fits = [_PROGRAMS[name](config) for name in _chosen_programs()]
    sys.exit(0 if all(fits) else 1)


def _chosen_programs() -> list[str]:
  from tooldev_jax.errors import UserError

  for name in _WHAT.value:
    if name not in _PROGRAMS:
      raise UserError(f"--what: {name!r} is not one of {', '.join(_PROGRAMS)}")
  return _WHAT.value


def _fit_train(config: Any) -> bool:
  """Compiles the training step; prints; returns whether a policy fits."""
  from tooldev_jax.errors import UserError
  from tooldev_jax.fit import capacity
  from tooldev_jax.models.transformer import REMAT_POLICIES

  if config.train.attention == "blocked":
    raise UserError(
      "train.attention: what 'blocked' computes depends on the data, so it"
      " cannot be counted; use 'auto', which is the TPU's kernel there"
    )
  mesh = capacity.describe_topology(_TOPOLOGY.value, config.mesh)
  batch = _plan_batch(config, mesh)
  policies = [x for x in _REMAT.value.split(",") if x] or [config.train.remat]
  lightest_only = policies == ["auto"]
  if lightest_only:
    policies = list(REMAT_POLICIES)
  print(f"train, {_TOPOLOGY.value}: {mesh.size} × {_kind(mesh)}, mesh ", end="")
  print(", ".join(f"{axis} {size}" for axis, size in mesh.shape.items()))
  print(
    f"  {batch.micro_batches} × {batch.rows} rows of {batch.length} tokens, up"
    f" to {batch.targets} of a row trained"
  )
  fitting = False
  for policy in policies:
    if lightest_only and fitting and policy != "full":
      continue
    fitting |= _fit_step(config, mesh, batch, policy)
  return fitting


@dataclasses.dataclass(frozen=True)
class _Batch:
  """The shape of a step's batch; rows are of one micro-batch."""

  micro_batches: int
  rows: int
  length: int
  targets: int

  @property
  def shapes(self) -> dict[str, tuple[int, ...]]:
    lead = (self.micro_batches, self.rows)
    by_token = ("tokens", "segment_ids", "positions")
    by_target = ("target_positions", "target_ids", "target_weights")
    return {
      **dict.fromkeys(by_token, (*lead, self.length)),
      **dict.fromkeys(by_target, (*lead, self.targets)),
    }


def _plan_batch(config: Any, mesh: Any) -> _Batch:
  """The batch that the loader would make for the stage.

  Raises:
    UserError: the mesh has more batch shards than the batch has rows.
  """
  from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
  from tooldev_jax.train.batch import batch_shards, check_mesh

  stage = getattr(config, _STAGE.value)
  length, parts = config.data.row_length, stage.micro_batches
  tokens = stage.batch_examples * _EXAMPLE_TOKENS.value
  rows = math.ceil(tokens / (length * _PACKED) / parts)
  partition = Partition(mesh, TRAIN_RULES)
  check_mesh(rows, partition)
  shards = batch_shards(partition)
  return _Batch(
    micro_batches=parts,
    rows=shards * math.ceil(rows / shards),
    length=length,
    targets=stage.max_targets
    or min(length, 64 * math.ceil(length * _TRAINED_SHARE.value / 64)),
  )


def _fit_step(config: Any, mesh: Any, batch: _Batch, policy: str) -> bool:
  from tooldev_jax.fit import capacity
  from tooldev_jax.parallel.sharding import TRAIN_RULES
  from tooldev_jax.train.step import make_train_step

  decoder_config = _decoder_config(config)
  step = make_train_step(
    decoder_config,
    config.lora,
    dataclasses.replace(config.train, remat=policy),
    batch.shapes,
    1000,
    mesh,
    TRAIN_RULES,
    config.base.dtype,
  )
  arguments = [
    ("base", step.base),
    ("adapter", step.state.trained),
    ("optimizer", step.state.optimizer),
    ("batch", step.batch),
  ]
  lowered = step.run.lower(step.state, step.base, step.batch)
  compiled = capacity.compile_for(lowered, arguments)
  print(f"\n  remat {policy}")
  if not _print_verdict(compiled, mesh, batch):
    return False
  assert isinstance(compiled, capacity.Compiled)
  tokens = batch.micro_batches * batch.rows * batch.length
  layers = len(decoder_config.layers)
  # Shorter segments lower the ideal only: the kernel skips no tile for them.
  for segment in sorted(
    {batch.length, min(_EXAMPLE_TOKENS.value, batch.length)}
  ):
    ideal = step.ideal.of(
      tokens,
      tokens / batch.length * batch.targets,
      layers * tokens * (segment + 1) / 2,
    )
    ratio = compiled.flops * mesh.size / ideal
    print(
      f"    FLOPs a chip {compiled.flops:.3g}: {ratio:.3f} × the ideal"
      f" {ideal / mesh.size:.3g} (segments of {segment} tokens)"
    )
  _print_collectives(compiled)
  seconds = _print_roofline(compiled, mesh, 2 if policy == "none" else 3)
  _print_hours(config, mesh, batch, seconds)
  return True


def _fit_sample(config: Any) -> bool:
  """Compiles prefill and decode of the largest buckets."""
  from tooldev_jax.fit import capacity
  from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
  from tooldev_jax.sample.partition import SamplingPlan, sampling_partition

  topology = _TOPOLOGY.value, config.mesh
  mesh = capacity.describe_topology(*topology)
  own = capacity.describe_topology(*topology, own=True)
  trained = Partition(own if own.size == mesh.size else mesh, TRAIN_RULES)
  decoder_config = _decoder_config(config)
  memory = capacity.chip_of(own).memory
  partition = sampling_partition(
    config, decoder_config, trained, list(own.devices.flat), memory
  )
  plan = SamplingPlan(config, decoder_config, trained, partition)
  shape = plan.shape
  print(
    f"sample, {_TOPOLOGY.value}: on the {own.size} chips of each process,"
    f" {shape.slots} prompts of {shape.prompt} tokens"
    f" × {shape.samples} samples of {shape.tail}, {shape.lanes} at a time;"
    f" {shape.rows} prompts prefilled at once"
  )
  if partition.ways("embed") > 1:
    print("  no copy for sampling fits: layers are gathered for each token")
  else:
    ways = partition.mesh.shape["tensor"]
    print(f"  each layer split over {ways} chips, none gathered")
  fits = True
  for name, lowered in zip(
    ("prefill", "a chunk of decoding"),
    plan.programs.lower(shape, plan.variables),
    strict=True,
  ):
    print(f"\n  {name}")
    fits &= _print_verdict(capacity.compile_for(lowered, plan.kept), own)
  return fits


_PROGRAMS = {"train": _fit_train, "sample": _fit_sample}


def _decoder_config(config: Any) -> Any:
  from tooldev_jax import io
  from tooldev_jax.models.config import DecoderConfig
  from tooldev_jax.models.model_folder import read_config, resolve_folder

  if _MODEL_CONFIG.value:
    path = epath.Path(_MODEL_CONFIG.value)
    return DecoderConfig.from_hf(io.read_json(path), str(path))
  return read_config(resolve_folder(config.base.path))


def _kind(mesh: Any) -> str:
  return mesh.devices.flat[0].device_kind


def _gib(size: float) -> str:
  return f"{size / 2**30:8.3f} GiB"


def _print_verdict(
  compiled: Any, mesh: Any, batch: _Batch | None = None
) -> bool:
  """Whether a program fits beside everything that stays on the chips.

  That is more than the compiler knows of.
  """
  from tooldev_jax.fit.capacity import TooBig, chip_of

  memory = chip_of(mesh).memory
  if not isinstance(compiled, TooBig) and compiled.total > memory:
    compiled = TooBig(compiled.total, memory)
  if isinstance(compiled, TooBig):
    _print_too_big(compiled, mesh, batch)
    return False
  rows = [
    *compiled.arguments,
    ("activations", compiled.activations),
    ("code", compiled.code),
  ]
  for kind, size in rows:
    print(f"    {kind:<16}{_gib(size)}")
  print(
    f"    {'total':<16}{_gib(compiled.total)} of {_gib(memory).strip()} a chip:"
    f" FITS ({compiled.total / memory:.0%})"
  )
  return True


def _print_too_big(verdict: Any, mesh: Any, batch: _Batch | None) -> None:
  from tooldev_jax.fit.capacity import chip_of
  from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
  from tooldev_jax.train.batch import batch_shards

  memory = verdict.limit or chip_of(mesh).memory
  needed = f"{_gib(verdict.used).strip()} of " if verdict.used else ""
  print(f"    DOES NOT FIT: {needed}{_gib(memory).strip()} a chip. Change:")
  if batch is not None:
    shards = batch_shards(Partition(mesh, TRAIN_RULES))
    print("    - --config.train.remat to one that keeps less (full the least)")
    if batch.rows > shards:
      print(
        f"    - {_STAGE.value}.micro_batches: a chip holds"
        f" {batch.rows // shards} rows at once"
      )
    print("    - --config.mesh.tensor up, so that chips share a row's layers")
    print("    - --config.data.row_length down")
  else:
    print("    - --config.sampler.rows or prefill_tokens down")
    print("    - --config.mesh.tensor up, so that chips share the weights")
  print("    - a larger topology")


def _print_collectives(compiled: Any) -> None:
  for x in compiled.collectives:
    print(f"    {x.kind:<20}{x.count:6d} times {_gib(x.bytes)} a chip and step")


def _print_roofline(compiled: Any, mesh: Any, passes: int) -> float:
  """Prints the bound of a step; returns the seconds to expect."""
  from tooldev_jax.fit.capacity import chip_of, roofline

  bound = roofline(compiled, chip_of(mesh), passes)
  print(
    f"    step at least {bound.overlapped:.3f} s: compute {bound.compute:.3f}"
    f" (bfloat16 peak), HBM {bound.memory:.3f} ({passes} passes), links"
    f" {bound.network:.3f}; {bound.apart:.3f} s if nothing overlaps"
  )
  return bound.overlapped / _EFFICIENCY.value


def _print_hours(config: Any, mesh: Any, batch: _Batch, seconds: float) -> None:
  """Prints the hours of training; sampling is not included."""
  examples, queries = _EXAMPLES.value, _QUERIES.value
  rounds = config.rounds
  # Adapt trains one view of an example, the other stages two. A round replays
  # those of decompose beside its own.
  replayed = 2 * examples * config.evolve.replay * rounds
  views = (
    examples * config.adapt.epochs
    + 2 * examples * config.decompose.epochs
    + (replayed + 2 * queries) * config.round.epochs
  )
  tokens = batch.micro_batches * batch.rows * batch.length * _PACKED
  steps = math.ceil(views * _EXAMPLE_TOKENS.value / tokens)
  hours = steps * seconds / 3600
  print(
    f"    the run trains {views:,.0f} views of {_EXAMPLE_TOKENS.value} tokens"
    f" ({examples:,} examples, {queries:,} queries, {rounds} rounds): {steps:,}"
    f" steps of {seconds:.2f} s ({_EFFICIENCY.value:.0%} of the bound) ="
    f" {hours:.2f} h, {hours * mesh.size:.1f} chip-hours"
  )


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "topology"])
  app.run(main)
