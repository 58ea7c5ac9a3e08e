"""Loads a model onto a process's share of fake devices and looks at it.

python -m tests.multihost.load_worker '<JSON: folder, coordinator, processes,
index, meshes>'

prints a line of JSON a mesh: whether every shard of every parameter is the one
of `whole.npz` beside the model, the fingerprint, the largest host memory while
loading, and the bytes that were read as parameters.
"""

import json
import sys
import tracemalloc
from typing import Any


def main() -> None:
  task = json.loads(sys.argv[1])
  from tooldev_jax.parallel import processes

  if task["processes"] > 1:
    processes.initialize(
      task["coordinator"], task["processes"], task["index"], timeout_s=120
    )
  for mesh in task["meshes"]:
    print(json.dumps(load(task["folder"], mesh)), flush=True)


def load(folder: str, sizes: tuple[int, int, int]) -> dict[str, Any]:
  import jax
  import numpy as np

  from tooldev_jax.config import MeshConfig
  from tooldev_jax.models import checkpoint
  from tooldev_jax.parallel.mesh import make_mesh
  from tooldev_jax.train.identity import named_leaves

  # Small pieces, so that a leaf is what counts; and arrays that CPU devices
  # copy instead of taking over, so that what is counted is the host's alone.
  checkpoint._CHUNK = 1 << 12
  checkpoint._aligned = _unaligned
  mesh = make_mesh(MeshConfig(*sizes))
  # Once before it is measured: the first call imports and caches.
  checkpoint.load_model(folder, mesh)
  tracemalloc.start()
  read, fill = [], checkpoint._read_into

  def noted(entry: Any, slot: Any, **rest: Any) -> str:
    read.append(slot.nbytes)
    return fill(entry, slot, **rest)

  checkpoint._read_into = noted
  loaded = checkpoint.load_model(folder, mesh)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  checkpoint._read_into = fill
  whole = np.load(f"{folder}/whole.npz")
  leaves = named_leaves(loaded.params)
  assert set(leaves) == set(whole)
  equal = all(
    np.array_equal(np.asarray(shard.data), whole[name][shard.index])
    for name, leaf in leaves.items()
    for shard in leaf.addressable_shards
  )
  pieces = [len(leaf.addressable_shards) for leaf in leaves.values()]
  return {
    "equal": equal,
    "fingerprint": loaded.fingerprint,
    "peak": peak,
    "read": sum(read),
    "devices": jax.device_count(),
    "pieces": min(pieces),
  }


def _unaligned(shape: tuple[int, ...], dtype: Any) -> Any:
  import numpy as np

  raw = np.empty(int(np.prod(shape)) * np.dtype(dtype).itemsize + 128, np.uint8)
  start = -raw.ctypes.data % 64 + 4
  return raw[start : start + raw.nbytes - 128].view(dtype).reshape(shape)


if __name__ == "__main__":
  main()
