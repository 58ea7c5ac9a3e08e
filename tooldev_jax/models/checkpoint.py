"""Base models in and out of Hugging Face folders.

Loading goes leaf by leaf: the tensors of one stacked parameter are read into
one host array, placed on the devices, and the host array is dropped. The host
never holds more than the largest such array beside what the devices hold. Of
several processes each reads and holds what its own devices need.
"""

import concurrent.futures
import dataclasses
import functools
import gc
import hashlib
import json
import math
import mmap
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import linen as nn
from flax import traverse_util
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, Sharding, SingleDeviceSharding

from tooldev_jax import io
from tooldev_jax.errors import UserError
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.model_folder import (
  read_config,
  resolve_folder,
  write_generation_config,
)
from tooldev_jax.models.parameters import StackedLeaf, declare, stacked_leaves
from tooldev_jax.models.tensor_file import (
  CODES,
  DTYPES,
  TensorEntry,
  bytes_of,
  digest,
  group_by_size,
  read_header,
  write_tensors,
)
from tooldev_jax.parallel import processes
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition, ShardingRules

# One slice an axis, with both ends.
Box = tuple[slice, ...]

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

# A thread reads, hashes and transposes this much at a time, which stays in
# the processor's cache.
_CHUNK = 1 << 20
# Transposing a matrix in strips this high is twice as fast as in one go.
_STRIP = 128
_MAX_SHARD = 1 << 30
_THREADS = min(8, os.cpu_count() or 1)
# Written by old exporters and recomputed from the config by everyone.
_DERIVED = (".rotary_emb.inv_freq", ".masked_bias", ".attn.bias")


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A base model.

  Attributes:
    config: its shape.
    params: its parameters, on the devices.
    fingerprint: hash of config and tensors as the files hold them, whatever
      the mesh and the dtype they were loaded in.
    folder: where it came from; tokenizer and generation config lie there.
  """

  config: DecoderConfig
  params: Any
  fingerprint: str
  folder: epath.Path


def load_model(
  folder_or_id: str | epath.PathLike,
  mesh: Mesh | None = None,
  rules: ShardingRules = TRAIN_RULES,
  dtype: Any = None,
) -> Loaded:
  """Loads a base model straight onto the devices that are to hold it.

  In a run of several processes all call this.

  Args:
    folder_or_id: folder with config.json and safetensors, or a hub id.
    mesh: the devices; None puts everything on the default device.
    rules: how the model is split over the mesh.
    dtype: dtype of the parameters; None keeps the checkpoint's.

  Raises:
    UserError: unsupported config; missing, extra or mis-shaped tensors.
  """
  folder = resolve_folder(folder_or_id)
  config = read_config(folder)
  entries = _entries(folder)
  leaves = stacked_leaves(config)
  _check(folder, config, leaves, entries)
  shardings = _shardings(config, mesh, rules)
  flat: dict[tuple[str, ...], jax.Array] = {}
  digests: dict[str, str] = {}
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    for leaf in leaves:
      sharding = shardings[leaf.path]
      box = _local_box(sharding, leaf.shape)
      names = leaf.names[box[0]] if leaf.stacked else leaf.names
      host = _aligned(
        tuple(side.stop - side.start for side in box),
        dtype or entries[names[0]].np_dtype,
      )
      rest = box[1:] if leaf.stacked else box
      read = pool.map(
        functools.partial(_read_into, box=rest, transpose=leaf.transposed),
        [entries[name] for name in names],
        host if leaf.stacked else host[None],
      )
      digests.update(zip(names, read, strict=True))
      flat[leaf.path] = _to_devices(host, box, leaf.shape, sharding)
      del host
      let_go()
    if jax.process_count() > 1:
      digests = _digest_together(pool, leaves, entries)
  params = traverse_util.unflatten_dict(flat)
  return Loaded(config, params, _fingerprint(config, digests), folder)


def _entries(folder: epath.Path) -> dict[str, TensorEntry]:
  """Every tensor of a folder, from the single file or the index.

  Where a folder has both, transformers reads the single file, and so do we.
  """
  index = folder / INDEX
  if (folder / SINGLE).exists():
    return read_header(folder / SINGLE)
  if not index.exists():
    found = sorted(p.name for p in folder.iterdir())
    raise UserError(
      f"{folder}: neither {SINGLE} nor {INDEX} there; found: "
      f"{', '.join(found) or 'nothing'}. Only safetensors are read."
    )
  try:
    weight_map = dict(io.read_json(index)["weight_map"])
    files = sorted(set(weight_map.values()))
    outside = [file for file in files if file != epath.Path(file).name]
  except (ValueError, TypeError, KeyError) as e:
    raise UserError(f"{index}: not an index of safetensors ({e!r}).") from e
  if outside:
    raise UserError(f"{index}: {outside[0]!r} is not a file name.")
  entries: dict[str, TensorEntry] = {}
  for file in files:
    for name, entry in read_header(folder / file).items():
      if weight_map.get(name, file) == file:
        entries[name] = entry
  absent = sorted(set(weight_map) - set(entries))
  if absent:
    raise UserError(f"{index}: lists {some(absent)}, not in the files it says.")
  return entries


def _check(
  folder: epath.Path,
  config: DecoderConfig,
  leaves: tuple[StackedLeaf, ...],
  entries: Mapping[str, TensorEntry],
) -> None:
  """Refuses tensors that are missing, extra or of another shape, by name."""
  wanted = {name: leaf for leaf in leaves for name in leaf.names}
  extra = {
    name for name in set(entries) - set(wanted) if not name.endswith(_DERIVED)
  }
  if config.tie_embeddings and "lm_head.weight" in extra:
    table = entries.get("model.embed_tokens.weight")
    if table and not _same(entries["lm_head.weight"], table):
      raise UserError(
        f"{folder}: tie_word_embeddings is true, but lm_head.weight differs "
        "from model.embed_tokens.weight."
      )
    extra.remove("lm_head.weight")
  problems = [
    f"{what}: {some(sorted(names))}"
    for what, names in (
      ("missing", set(wanted) - set(entries)),
      ("extra", extra),
    )
    if names
  ]
  shaped = [
    f"{name} is {list(entries[name].shape)}, not {list(leaf.tensor_shape)}"
    for name, leaf in wanted.items()
    if name in entries and entries[name].shape != leaf.tensor_shape
  ]
  if shaped:
    problems.append(f"mis-shaped: {some(shaped)}")
  for leaf in leaves:
    dtypes = {entries[name].dtype for name in leaf.names if name in entries}
    unknown = sorted(dtypes - set(DTYPES))
    if unknown or len(dtypes) > 1:
      problems.append(
        f"{leaf.names[0]} and its like are {', '.join(sorted(dtypes))}; one "
        f"of {', '.join(DTYPES)} is supported"
      )
  if problems:
    raise UserError(
      f"{folder}: the tensors do not fit config.json. {'; '.join(problems)}."
    )


def _same(a: TensorEntry, b: TensorEntry) -> bool:
  """Whether two tensors are one, without holding either."""
  if (a.dtype, a.shape) != (b.dtype, b.shape):
    return False
  return all(
    bytes_of(x) == bytes_of(y)
    for (_, x), (_, y) in zip(a.chunks(_CHUNK), b.chunks(_CHUNK), strict=True)
  )


def some(names: list[str], most: int = 6) -> str:
  """The first few names, and how many more there are."""
  more = f" and {len(names) - most} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more


def _shardings(
  config: DecoderConfig, mesh: Mesh | None, rules: ShardingRules
) -> dict[tuple[str, ...], Sharding]:
  declared = declare(config)["params"]
  if mesh is not None:
    tree = Partition(mesh, rules).shardings(declared)
  else:
    here = SingleDeviceSharding(jnp.zeros(()).device)
    tree = jax.tree.map(lambda _: here, nn.meta.unbox(declared))
  return traverse_util.flatten_dict(tree)


def _local_box(sharding: Sharding, shape: tuple[int, ...]) -> Box:
  """The smallest block with all that the devices of this process hold."""
  parts = sharding.addressable_devices_indices_map(shape).values()
  box = []
  for size, sides in zip(shape, zip(*parts, strict=True), strict=True):
    ends = [side.indices(size)[:2] for side in sides]
    box.append(slice(min(x for x, _ in ends), max(x for _, x in ends)))
  return tuple(box)


def _read_into(
  entry: TensorEntry, target: np.ndarray, box: Box, transpose: bool
) -> str:
  """Fills `target` with a block of a tensor.

  Args:
    entry: the tensor.
    target: array of the block's shape.
    box: the block, in our order of axes.
    transpose: whether our axes are the tensor's in reverse order.

  Returns:
    The digest of what was read: of the tensor, if the block is all of it.
  """
  first, *others = box[::-1] if transpose else box

  def chunks() -> Iterator[memoryview]:
    for start, read in entry.chunks(_CHUNK, first.start, first.stop):
      rows = read[:, *others]
      at = start - first.start
      if transpose:
        for i in range(0, len(rows), _STRIP):
          strip = rows[i : i + _STRIP]
          target[:, at + i : at + i + len(strip)] = strip.T
      else:
        target[at : at + len(rows)] = rows
      yield bytes_of(read)

  return digest(entry.dtype, chunks())


def _digest_together(
  pool: concurrent.futures.Executor,
  leaves: tuple[StackedLeaf, ...],
  entries: Mapping[str, TensorEntry],
) -> dict[str, str]:
  """The digests of all tensors, a share of them by each process."""
  names = [name for leaf in leaves for name in leaf.names]
  mine = names[jax.process_index() :: jax.process_count()]
  whole = lambda name: digest(
    entries[name].dtype,
    (bytes_of(rows) for _, rows in entries[name].chunks(_CHUNK)),
  )
  found = io.dumps(dict(zip(mine, pool.map(whole, mine), strict=True)))
  shares = processes.share("digests of the base", found)
  return {k: v for text in shares for k, v in json.loads(text).items()}


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
  """A zero array that a CPU device can take over instead of copying.

  It begins at a page. Not `np.empty`, which asks for huge pages: a virtual
  machine that hands free memory back to its host takes 4 s to get a gigabyte
  of them (measured), against 0.6 s in small pages.
  """
  count = math.prod(shape)
  size = max(1, count * np.dtype(dtype).itemsize)
  pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
  return np.frombuffer(pages, dtype, count).reshape(shape)


def to_devices(host: np.ndarray, sharding: Sharding) -> jax.Array:
  """Puts each device's part of `host` there, and waits until it is."""
  box = tuple(slice(0, size) for size in host.shape)
  return _to_devices(host, box, host.shape, sharding)


def let_go() -> None:
  """Frees host arrays that devices have copied: JAX waits for a collection."""
  gc.collect(0)


def _to_devices(
  host: np.ndarray, box: Box, shape: tuple[int, ...], sharding: Sharding
) -> jax.Array:
  """The array of `shape` of which this process has the block `box`."""

  def part(index: Any) -> np.ndarray:
    ends = [x.indices(n)[:2] for x, n in zip(index, shape, strict=True)]
    return host[
      tuple(
        slice(start - side.start, stop - side.start)
        for (start, stop), side in zip(ends, box, strict=True)
      )
    ]

  if not isinstance(sharding, NamedSharding):
    return jax.device_put(host, sharding).block_until_ready()
  array = jax.make_array_from_callback(shape, sharding, part)
  return array.block_until_ready()


def _fingerprint(config: DecoderConfig, digests: Mapping[str, str]) -> str:
  """One hash over config and tensors, independent of files and sharding."""
  shape = dataclasses.asdict(dataclasses.replace(config, extra="{}"))
  text = io.dumps([shape, sorted(digests.items())])
  return hashlib.sha256(text.encode()).hexdigest()


def save_model(
  params: Any,
  config: DecoderConfig,
  folder: epath.PathLike,
  max_shard_bytes: int = _MAX_SHARD,
) -> str:
  """Writes parameters as a folder that transformers loads.

  config.json is written last, so a folder cut short is not a model folder.
  In a run of several processes all call this; the first one writes.

  Args:
    params: parameters, as `load_model` and `init_params` give them.
    config: their shape.
    folder: where to; a model that lies there is replaced.
    max_shard_bytes: largest safetensors file.

  Returns:
    The fingerprint that `load_model` will give for the folder.
  """
  folder = epath.Path(folder)
  flat = traverse_util.flatten_dict(params)
  leaves = stacked_leaves(config)
  writes = jax.process_index() == 0
  if writes:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("config.json", INDEX, SINGLE):
      (folder / stale).unlink(missing_ok=True)
  sources = {
    name: (leaf, i) for leaf in leaves for i, name in enumerate(leaf.names)
  }
  sizes = {
    name: flat[leaf.path].nbytes // len(leaf.names)
    for name, (leaf, _) in sources.items()
  }
  groups = group_by_size(sizes, max_shard_bytes)
  digests, weight_map = {}, {}
  for number, group in enumerate(groups, start=1):
    file = SINGLE
    if len(groups) > 1:
      file = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
    tensors = {}
    for name in group:
      leaf, i = sources[name]
      tensors[name] = tensor_of(flat[leaf.path], leaf, i)
      code = CODES[tensors[name].dtype]
      digests[name] = digest(code, [bytes_of(tensors[name])])
      weight_map[name] = file
    if writes:
      write_tensors(folder / file, tensors)
  if writes:
    if len(groups) > 1:
      total = {"total_size": sum(sizes.values())}
      index = {"metadata": total, "weight_map": weight_map}
      io.write_json(folder / INDEX, index)
    dtype = str(next(iter(flat.values())).dtype)
    fields = config.to_hf() | {"torch_dtype": dtype, "dtype": dtype}
    write_generation_config(folder, config)
    io.write_json(folder / "config.json", fields)
  return _fingerprint(config, digests)


def tensor_of(array: jax.Array, leaf: StackedLeaf, i: int) -> np.ndarray:
  """The `i`-th checkpoint tensor inside one of our parameters, on the host."""
  tensor = on_host(array[i] if leaf.stacked else array)
  return np.ascontiguousarray(tensor.T) if leaf.transposed else tensor


def on_host(array: jax.Array) -> np.ndarray:
  """The whole of an array, also where other processes hold parts of it."""
  if not array.is_fully_addressable:
    array = multihost_utils.process_allgather(array, tiled=True)
  return np.asarray(array)
