"""Adapters in and out of PEFT folders.

A folder holds adapter_config.json and adapter_model.safetensors, with one
pair of tensors for each targeted linear map of each layer: lora_A
[rank, inputs] and lora_B [outputs, rank]. Ours are the same factors,
transposed and stacked. Names and fields are those of PEFT 0.21.

PEFT can give single layers a rank or alpha of their own; a stacked factor has
one rank. On the way in, smaller ranks are padded with zeros, and a scale that
differs is multiplied into B. The function is the same (padding stays zero
under training as well: its gradients are products with zeros); going out
again, ranks and alphas are uniform.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import regex
from etils import epath
from flax import linen as nn
from flax import traverse_util

from tooldev_jax import io
from tooldev_jax.config import LINEAR_MODULES, LoraConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models.checkpoint import on_host, some
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.fields import Problems, read_object
from tooldev_jax.models.model_folder import write_generation_config
from tooldev_jax.models.parameters import declare, module_name
from tooldev_jax.models.tensor_file import (
  TensorEntry,
  read_header,
  read_metadata,
  write_tensors,
)
from tooldev_jax.parallel.sharding import Partition

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_FINGERPRINT = "base_fingerprint"
# PEFT's rank and alpha where the file says nothing.
_DEFAULT = 8
_PATTERN_SECONDS = 1.0

# Fields that change what an adapter computes beyond plain LoRA, with the
# values that do not.
_PLAIN: dict[str, tuple[Any, ...]] = {
  "peft_type": ("LORA",),
  "bias": ("none", None),
  # The other initialisers (pissa, olora, corda, ...) also change the base.
  "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}
# Fields that change nothing about an adapter that is made. Every other one
# must be off: DoRA and its like, and variants that are yet to come.
_HARMLESS = frozenset(
  (
    *("task_type", "auto_mapping", "peft_version", "revision", "r"),
    *("base_model_name_or_path", "inference_mode", "target_modules"),
    *("exclude_modules", "lora_alpha", "lora_dropout", "use_rslora"),
    *("layers_to_transform", "layers_pattern", "rank_pattern"),
    *("alpha_pattern", "megatron_core", "qalora_group_size", "runtime_config"),
    # Options of the ways to initialise A and B.
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),
    "ensure_weight_tying",
  )
)


@dataclasses.dataclass(frozen=True)
class _Module:
  """One targeted linear map of one layer, and where its factors are in ours."""

  name: str
  path: tuple[str, ...]
  repeat: int


def _modules(config: DecoderConfig) -> Iterator[_Module]:
  """Every linear map of the model, layer by layer."""
  every = declare(config, LoraConfig(rank=1))["lora"]
  flat = traverse_util.flatten_dict(nn.meta.unbox(every))
  paths = sorted({path[:-1] for path in flat})
  for group in config.groups:
    for repeat in range(group.repeats):
      for path in paths:
        if path[0] == group.name:
          yield _Module(module_name(path, group, repeat), path, repeat)


def save_adapter(
  adapter: Any,
  lora: LoraConfig,
  config: DecoderConfig,
  folder: epath.PathLike,
  base_name: str,
  base_fingerprint: str = "",
) -> None:
  """Writes an adapter as a folder that `peft` loads onto the base.

  adapter_config.json is written last. In a run of several processes all call
  this; the first one writes.

  Args:
    adapter: {"blocks_i": ... {"a", "b"}} factors.
    lora: its shape.
    config: the base's shape; its stop tokens go into generation_config.json.
    folder: where to.
    base_name: the base's folder or hub id, for `peft` to find it.
    base_fingerprint: the base's fingerprint, kept in the file's metadata.
  """
  folder = epath.Path(folder)
  flat = {
    path: on_host(leaf)
    for path, leaf in traverse_util.flatten_dict(adapter).items()
  }
  tensors = {}
  for module in _modules(config):
    if (*module.path, "a") in flat:
      for ours, theirs in (("a", "lora_A"), ("b", "lora_B")):
        factor = flat[*module.path, ours][module.repeat]
        tensors[f"{_PREFIX}{module.name}.{theirs}.weight"] = factor.T
  if jax.process_index() != 0:
    return
  (folder / CONFIG_FILE).unlink(missing_ok=True)
  metadata = {_FINGERPRINT: base_fingerprint} if base_fingerprint else {}
  write_tensors(folder / TENSOR_FILE, tensors, metadata)
  alpha = int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha
  fields = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": base_name,
    "r": lora.rank,
    "lora_alpha": alpha,
    "lora_dropout": 0.0,
    "target_modules": sorted(lora.targets),
    "use_rslora": lora.rank_stabilised,
    "bias": "none",
    "inference_mode": True,
  }
  write_generation_config(folder, config)
  io.write_json(folder / CONFIG_FILE, fields)


def load_adapter(
  folder: epath.PathLike,
  config: DecoderConfig,
  base_fingerprint: str = "",
  partition: Partition | None = None,
) -> tuple[LoraConfig, Any]:
  """Reads a PEFT folder, ours or one that `peft` made.

  Args:
    folder: folder with adapter_config.json and adapter_model.safetensors.
    config: the base's shape.
    base_fingerprint: the base it is meant for; an adapter that carries
      another fingerprint is refused. Adapters made by `peft` carry none.
    partition: where to put the factors; None for the default device.

  Returns:
    The adapter's shape, and its float32 factors.

  Raises:
    UserError: not plain LoRA, another base, or tensors that do not fit.
  """
  folder = epath.Path(folder)
  fields = _read_fields(folder)
  carried = read_metadata(folder / TENSOR_FILE).get(_FINGERPRINT)
  if base_fingerprint and carried and carried != base_fingerprint:
    raise UserError(
      f"{folder}: the adapter was trained on base {carried[:12]}, not on this "
      f"one, {base_fingerprint[:12]}."
    )
  pairs = _pairs(folder, config)
  ranks = {m: a.shape[0] for m, (a, _) in pairs.items()}
  scales = {m: _scale(fields, m.name, ranks[m], folder) for m in pairs}
  lora = _uniform(fields, ranks, scales)
  declared = declare(config, lora)["lora"]
  host = {
    path: np.zeros(leaf.shape, np.float32)
    for path, leaf in traverse_util.flatten_dict(
      nn.meta.unbox(declared)
    ).items()
  }
  for module, (a, b) in pairs.items():
    rank = ranks[module]
    host[*module.path, "a"][module.repeat, :, :rank] = a.read().T
    # A ratio of exactly one leaves B's bits alone.
    ratio = np.float32(scales[module] / lora.scale)
    host[*module.path, "b"][module.repeat, :rank] = b.read().T * ratio
  tree = traverse_util.unflatten_dict(host)
  if partition is None:
    return lora, jax.tree.map(jnp.asarray, tree)
  put = lambda x, sharding: jax.make_array_from_callback(
    x.shape, sharding, lambda index: x[index]
  )
  return lora, jax.tree.map(put, tree, partition.shardings(declared))


def _read_fields(folder: epath.Path) -> Mapping[str, Any]:
  """adapter_config.json; refused, all at once, if it is more than LoRA."""
  path = folder / CONFIG_FILE
  fields = read_object(path, "no such file; not a PEFT folder")
  problems = Problems(path)
  for field, value in fields.items():
    plain = _PLAIN.get(field)
    if plain is not None and value not in plain:
      problems.add(
        f"{field}={value!r:.60} is not supported; "
        f"supported: {', '.join(map(repr, plain))}"
      )
    elif plain is None and value and field not in _HARMLESS:
      problems.add(
        f"{field}={value!r:.60} is not supported; only plain LoRA on linear "
        "modules is"
      )
  problems.number("r", fields.get("r", _DEFAULT), whole=True)
  problems.number("lora_alpha", fields.get("lora_alpha", _DEFAULT))
  if fields.get("use_rslora") is not None:
    problems.flag("use_rslora", fields["use_rslora"])
  for field, kind, what in (
    ("target_modules", str, "a name or a list of names"),
    ("exclude_modules", str, "a name or a list of names"),
    ("layers_pattern", str, "a name or a list of names"),
    ("layers_to_transform", int, "a layer or a list of layers"),
  ):
    value = fields.get(field)
    each = value if isinstance(value, list) else [value]
    if value is not None and not all(type(x) is kind for x in each):
      problems.add(f"{field}={value!r:.60}; {what} is needed")
  _check_patterns(fields, "rank_pattern", True, problems)
  _check_patterns(fields, "alpha_pattern", False, problems)
  problems.finish()
  if not (folder / TENSOR_FILE).exists():
    raise UserError(f"{folder / TENSOR_FILE}: no such file.")
  return fields


def _check_patterns(
  fields: Mapping[str, Any], field: str, whole: bool, problems: Problems
) -> None:
  """Checks an object of regular expressions and numbers above 0."""
  patterns = fields.get(field) or {}
  if not isinstance(patterns, dict):
    problems.add(
      f"{field}={patterns!r:.60}; an object of patterns and numbers is needed"
    )
    return
  for pattern, value in patterns.items():
    problems.number(f"{field} of {pattern!r:.60}", value, whole)
    try:
      regex.compile(_ending(pattern))
    except (regex.error, RecursionError, OverflowError) as e:
      problems.add(f"{field} has {pattern!r:.60}, no regular expression ({e})")


def _ending(pattern: str) -> str:
  """PEFT's rule: the pattern has to match the end of a module's name."""
  return rf"(.*\.)?({pattern})$"


def _pairs(
  folder: epath.Path, config: DecoderConfig
) -> dict[_Module, tuple[TensorEntry, TensorEntry]]:
  """lora_A and lora_B of every module that has them, checked for shape."""
  entries = read_header(folder / TENSOR_FILE)
  every = declare(config, LoraConfig(rank=1))["lora"]
  shapes = {
    path: leaf.shape
    for path, leaf in traverse_util.flatten_dict(nn.meta.unbox(every)).items()
  }
  pairs = {}
  for module in _modules(config):
    names = [f"{_PREFIX}{module.name}.lora_{x}.weight" for x in "AB"]
    found = [entries.pop(name, None) for name in names]
    if found == [None, None]:
      continue
    a, b = found
    if a is None or b is None:
      absent = names[0] if a is None else names[1]
      raise UserError(f"{folder}: {absent} is missing.")
    inputs = shapes[*module.path, "a"][1]
    outputs = shapes[*module.path, "b"][2]
    rank = a.shape[0]
    if a.shape != (rank, inputs) or b.shape != (outputs, rank):
      raise UserError(
        f"{folder}: {module.name} has lora_A {list(a.shape)} and lora_B "
        f"{list(b.shape)}; [rank, {inputs}] and [{outputs}, rank] needed."
      )
    pairs[module] = (a, b)
  if entries:
    raise UserError(
      f"{folder}: {some(sorted(entries))}: not part of plain LoRA on "
      f"{', '.join(LINEAR_MODULES)} of this base."
    )
  if not pairs:
    raise UserError(f"{folder}: the adapter has no tensors.")
  return pairs


def _by_pattern(
  fields: Mapping[str, Any], field: str, module: str, default: Any
) -> Any:
  """The value of the first pattern that fits a module's name."""
  for pattern, value in (fields.get(field) or {}).items():
    try:
      # A pattern can be made to take for ever; `re` would let it.
      found = regex.match(_ending(pattern), module, timeout=_PATTERN_SECONDS)
    except TimeoutError as e:
      raise UserError(
        f"{CONFIG_FILE}: {field} has {pattern!r:.60}, which takes more than "
        f"{_PATTERN_SECONDS:g} s on {module}."
      ) from e
    if found:
      return value
  return default


def _scale(
  fields: Mapping[str, Any], module: str, rank: int, folder: epath.Path
) -> float:
  """One module's factor on B A x; also checks the rank it was given."""
  rank_given = fields.get("r", _DEFAULT)
  stated = _by_pattern(fields, "rank_pattern", module, rank_given)
  if stated != rank:
    raise UserError(
      f"{folder}: {module} has rank {rank}, but {CONFIG_FILE} says {stated}."
    )
  alpha = fields.get("lora_alpha", _DEFAULT)
  alpha = _by_pattern(fields, "alpha_pattern", module, alpha)
  return float(alpha) / (math.sqrt(rank) if fields.get("use_rslora") else rank)


def _uniform(
  fields: Mapping[str, Any],
  ranks: Mapping[_Module, int],
  scales: Mapping[_Module, float],
) -> LoraConfig:
  """One rank and one scale for all: the largest and the commonest."""
  rank = max(ranks.values())
  stabilised = bool(fields.get("use_rslora"))
  values = list(scales.values())
  scale = max(sorted(set(values)), key=values.count)
  names = {module.path[-1] for module in ranks}
  return LoraConfig(
    rank=rank,
    alpha=scale * (math.sqrt(rank) if stabilised else rank),
    targets=tuple(name for name in LINEAR_MODULES if name in names),
    rank_stabilised=stabilised,
  )
