"""Two real processes sample a slice each; together they are one process."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np

from tests.sample import hashing
from tooldev_jax.config import MeshConfig, SamplerConfig
from tooldev_jax.parallel import processes
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.sample.files import sample_to_file
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.sample.sampler import Sampler


def sample(path):
  """Samples into `path`; returns (prompts sampled here, all outputs)."""
  mesh = make_mesh(MeshConfig(), jax.local_devices()[:1])
  config = SamplerConfig((24,), (8,), rows=9)
  sampler = Sampler(hashing.HashDecoder(), None, mesh, config)
  rng = np.random.default_rng(3)
  prompts = [rng.integers(0, hashing.VOCAB, 1 + i).tolist() for i in range(15)]
  settings = SamplingParams(
    n=3, max_new_tokens=8, stop_token_ids=(1, 2), logprobs=True
  )
  params = {"table": hashing.table()}
  outputs = sample_to_file(path, sampler, params, prompts, settings)
  return sampler.stats.prompts, [output.to_json() for output in outputs]


def test_two_processes_write_the_file_of_one(tmp_path):
  alone, together = tmp_path / "alone.jsonl", tmp_path / "together.jsonl"
  count, outputs = sample(alone)
  assert count == 15
  with socket.socket() as free:
    free.bind(("localhost", 0))
    coordinator = f"localhost:{free.getsockname()[1]}"
  flags = "--xla_force_host_platform_device_count=1"
  running = [
    subprocess.Popen(
      [
        sys.executable,
        "-m",
        "tests.sample.test_processes",
        coordinator,
        str(i),
        str(together),
      ],
      env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  printed = [process.communicate() for process in running]
  for process, (_, errors) in zip(running, printed, strict=True):
    assert process.returncode == 0, errors[-3000:]
  counts, everything = zip(
    *(json.loads(out) for out, _ in printed), strict=True
  )
  assert counts == (8, 7)
  assert together.read_bytes() == alone.read_bytes()
  # Both know the whole, and no log is left.
  plain = json.loads(json.dumps(outputs))
  assert everything == (plain, plain)
  assert sorted(tmp_path.iterdir()) == [alone, together]


if __name__ == "__main__":
  processes.initialize(sys.argv[1], 2, int(sys.argv[2]), timeout_s=300)
  print(json.dumps(sample(sys.argv[3])))
