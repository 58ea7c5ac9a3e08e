"""Seconds and peak memory of loading a 1.5B checkpoint, beside transformers.

    python -m tests.benchmarks.model_load [--layers 28] [--out out.json]

Writes a random bfloat16 checkpoint of Qwen2.5-1.5B's shape (3.1 GB, in a
temporary folder, deleted afterwards) and loads it in fresh processes: with
`load_model`, and with `AutoModelForCausalLM.from_pretrained`, in turns, after
every import is done. Transformers maps the file and reads it when a weight is
first used, so its time is given with every weight read once as well; ours has
read, hashed and turned every weight when it returns. CPU seconds stand beside
wall seconds: on a busy machine only they say anything. Needs
requirements-parity.txt.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from tests.benchmarks import data_machine
from tooldev_jax.models.checkpoint import INDEX
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import stacked_leaves
from tooldev_jax.models.tensor_file import DTYPES, group_by_size, write_tensors

SHAPE = {
  "model_type": "qwen2",
  "architectures": ["Qwen2ForCausalLM"],
  "vocab_size": 151936,
  "hidden_size": 1536,
  "intermediate_size": 8960,
  "num_attention_heads": 12,
  "num_key_value_heads": 2,
  "max_position_embeddings": 32768,
  "rope_theta": 1000000.0,
  "rms_norm_eps": 1e-6,
  "tie_word_embeddings": True,
}
GIB = 1 << 30


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--layers", type=int, default=28)
  parser.add_argument("--rounds", type=int, default=2)
  parser.add_argument("--child", choices=tuple(CHILDREN))
  parser.add_argument("--folder", type=pathlib.Path)
  parser.add_argument("--out", type=pathlib.Path)
  options = parser.parse_args()
  if options.child:
    print(json.dumps(_measure(CHILDREN[options.child], options.folder)))
    return
  with tempfile.TemporaryDirectory() as folder:
    config = DecoderConfig.from_hf(
      SHAPE | {"num_hidden_layers": options.layers}
    )
    sizes = _write(config, pathlib.Path(folder))
    runs = {name: [] for name in CHILDREN}
    for _ in range(options.rounds):
      for name in CHILDREN:
        runs[name].append(_child(name, folder))
  best = {
    name: min(rounds, key=lambda run: run["cpu_s"])
    for name, rounds in runs.items()
  }
  model = sum(sizes.values()) / GIB
  leaf = max(sizes.values()) / GIB
  ours = best["ours"]["peak_gib"]
  result = {
    "model_gib": model,
    "largest_stacked_leaf_gib": leaf,
    "allowed_peak_gib": model + 1.2 * leaf,
    "within": ours <= model + 1.2 * leaf,
    "best": best,
    "runs": runs,
  }
  data_machine.write(result, options.out)


def _write(config: DecoderConfig, folder: pathlib.Path) -> dict[str, int]:
  """Writes the checkpoint; returns the bytes of each stacked leaf of ours."""
  rng = np.random.default_rng(0)
  leaves = stacked_leaves(config)
  shapes = {name: leaf.tensor_shape for leaf in leaves for name in leaf.names}
  sizes = {name: 2 * int(np.prod(shape)) for name, shape in shapes.items()}
  weight_map = {}
  for number, group in enumerate(group_by_size(sizes, GIB)):
    file = f"model-{number:05d}.safetensors"
    tensors = {}
    for name in group:
      bits = rng.integers(0, 1 << 16, shapes[name], np.uint16)
      # Random sign and fraction, one exponent: numbers of about 0.01.
      bits = (bits & 0x807F) | 0x3C00
      tensors[name] = bits.view(DTYPES["BF16"])
      weight_map[name] = file
    write_tensors(folder / file, tensors)
  index = {"metadata": {}, "weight_map": weight_map}
  (folder / INDEX).write_text(json.dumps(index))
  fields = config.to_hf() | {"dtype": "bfloat16"}
  (folder / "config.json").write_text(json.dumps(fields))
  return {"/".join(leaf.path): 2 * int(np.prod(leaf.shape)) for leaf in leaves}


def _child(name: str, folder: str) -> dict[str, float]:
  command = [sys.executable, "-m", "tests.benchmarks.model_load"]
  command += ["--child", name, "--folder", folder]
  out = subprocess.run(command, capture_output=True, text=True, check=True)
  return json.loads(out.stdout.strip().splitlines()[-1])


def _measure(prepare, folder: pathlib.Path) -> dict[str, float]:
  """Runs a loader after its imports; memory is counted from there on."""
  load, touch = prepare()
  before = _status("VmRSS")
  marks = [_clock()]
  model = load(folder)
  marks.append(_clock())
  touch(model)
  marks.append(_clock())
  peak = _status("VmHWM")
  return {
    "wall_s": marks[1][0] - marks[0][0],
    "cpu_s": marks[1][1] - marks[0][1],
    "wall_s_all_read": marks[2][0] - marks[0][0],
    "cpu_s_all_read": marks[2][1] - marks[0][1],
    "peak_gib": (peak - before) / GIB,
  }


def _clock() -> tuple[float, float]:
  return time.perf_counter(), time.process_time()


def _status(field: str) -> int:
  """Bytes of a memory field of this process.

  The kernel's own, because getrusage's peak starts at the parent's.
  """
  for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    if line.startswith(f"{field}:"):
      return int(line.split()[1]) * 1024
  raise KeyError(field)


def _ours():
  import jax.numpy as jnp

  from tooldev_jax.models.checkpoint import load_model

  jnp.zeros(()).block_until_ready()
  return load_model, lambda loaded: loaded


def _transformers():
  import torch
  from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

  assert Qwen2ForCausalLM
  load = lambda folder: AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.bfloat16
  )
  return load, lambda model: [
    int(x.detach().view(torch.int16).max()) for x in model.parameters()
  ]


CHILDREN = {"ours": _ours, "transformers": _transformers}


if __name__ == "__main__":
  main()
