"""Trainings in a process of their own, with as many fake devices as asked.

    python -m tests.multihost.worker '<JSON of a Task>'

prints one JSON line a job. XLA_FLAGS and JAX_PLATFORMS come from `launch`.
"""

import dataclasses
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Job:
  """One call of `fit` on the tiny model.

  Attributes:
    workdir: its folder.
    mesh: sizes of data, fsdp and tensor; of the first devices.
    terminate_at: the step in whose data a SIGTERM arrives, -1 for none; of
      several processes only the last one gets it.
    micro_batches: of a step.
    lora: trains an adapter, else all parameters.
    layout: takes one step, and tells how the state lies after it.
  """

  workdir: str
  mesh: Sequence[int]
  terminate_at: int = -1
  micro_batches: int = 1
  lora: bool = True
  layout: bool = False


def launch(
  jobs: Sequence[Job], *, devices: int, processes: int = 1
) -> list[list[dict[str, Any]]]:
  """Runs the jobs on `devices` fake devices shared out among processes.

  Returns:
    For each process what it printed, one dict a job.
  """
  outputs = run_processes(
    "tests.multihost.worker",
    {"jobs": [dataclasses.asdict(job) for job in jobs]},
    devices=devices,
    processes=processes,
  )
  return [[json.loads(line) for line in lines] for lines in outputs]


def run_processes(
  module: str, task: dict[str, Any], *, devices: int, processes: int
) -> list[list[str]]:
  """Runs a module in several processes that know of one another.

  Args:
    module: is given JSON: the task, "coordinator", "processes" and "index".
    task: the same for all.
    devices: fake ones, shared out evenly.
    processes: how many.

  Returns:
    For each process the lines of JSON that it printed.
  """
  with socket.socket() as free:
    free.bind(("localhost", 0))
    coordinator = f"localhost:{free.getsockname()[1]}"
  # Fast to compile; all runs that are compared are compiled alike.
  flags = (
    f"--xla_force_host_platform_device_count={devices // processes}"
    " --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
  )
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
  running = []
  for index in range(processes):
    told = {
      **task,
      "coordinator": coordinator,
      "processes": processes,
      "index": index,
    }
    running.append(
      subprocess.Popen(
        [sys.executable, "-m", module, json.dumps(told)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
    )
  outputs = [process.communicate() for process in running]
  for process, (_, errors) in zip(running, outputs, strict=True):
    assert process.returncode == 0, errors[-4000:]
  return [
    [x for x in out.splitlines() if x.startswith("{")] for out, _ in outputs
  ]


class Recorded:
  """Data that notes which rows it hands out, and to which step."""

  def __init__(self, data: Any, terminate_at: int):
    self._data, self._terminate_at = data, terminate_at
    self.num_steps, self.shapes = data.num_steps, data.shapes
    self.fingerprint = data.fingerprint
    self.seen: dict[str, str] = {}

  def iterate(
    self, start_step: int, index: int = 0, count: int = 1
  ) -> Iterator[Any]:
    batches = self._data.iterate(start_step, index, count)
    for step, batch in enumerate(batches, start=start_step):
      rows = batch["tokens"].shape[1]
      for row in range(rows):
        digest = hashlib.sha256(batch["tokens"][:, row].tobytes())
        self.seen[f"{step}/{index * rows + row}"] = digest.hexdigest()[:12]
      if step == self._terminate_at:
        os.kill(os.getpid(), signal.SIGTERM)
      yield batch


def run(job: Job) -> dict[str, Any]:
  """Does one job and says what came of it."""
  import jax

  from tests.train import tiny
  from tooldev_jax.config import MeshConfig
  from tooldev_jax.parallel.mesh import make_mesh
  from tooldev_jax.train.loop import Preempted

  size = job.mesh[0] * job.mesh[1] * job.mesh[2]
  mesh = make_mesh(MeshConfig(*job.mesh), jax.devices()[:size])
  if job.layout:
    return {"parts": _parts_after_a_step(mesh, job.lora)}
  gets_signal = jax.process_index() == jax.process_count() - 1
  data = Recorded(
    tiny.make_data(micro_batches=job.micro_batches),
    job.terminate_at if gets_signal else -1,
  )
  try:
    result = tiny.run_fit(
      job.workdir, data=data, lora=tiny.LORA if job.lora else None, mesh=mesh
    )
  except Preempted as stopped:
    return {"stopped": stopped.step, "seen": data.seen}
  return {
    "losses": result.history,
    "fingerprint": result.fingerprint,
    "seen": data.seen,
  }


def _parts_after_a_step(mesh: Any, with_lora: bool) -> dict[str, Any]:
  """For each leaf of the state its shape, and that of a device's part."""
  import jax
  import numpy as np

  from tests.train import tiny
  from tooldev_jax.models.parameters import init_adapter
  from tooldev_jax.parallel.sharding import TRAIN_RULES
  from tooldev_jax.train.feed import put_like
  from tooldev_jax.train.step import make_train_step

  data = tiny.make_data()
  lora = tiny.LORA if with_lora else None
  step = make_train_step(
    tiny.CONFIG, lora, tiny.TRAIN, data.shapes, 4, mesh, TRAIN_RULES, np.float32
  )
  params = tiny.make_base().params
  base, trained = {}, params
  if lora is not None:
    base = put_like(params, step.base)
    trained = init_adapter(tiny.CONFIG, lora, jax.random.key(1))
  state = step.init(put_like(trained, step.state.trained))
  state, _ = step.compile()(state, base, put_like(data.batch(0), step.batch))
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {
    jax.tree_util.keystr(path): [x.shape, x.addressable_shards[0].data.shape]
    for path, x in leaves
  }


def main() -> None:
  task = json.loads(sys.argv[1])
  if task["processes"] > 1:
    from tooldev_jax.parallel import processes

    processes.initialize(
      task["coordinator"], task["processes"], task["index"], timeout_s=120
    )
  for job in task["jobs"]:
    print(json.dumps(run(Job(**job))), flush=True)


if __name__ == "__main__":
  main()
