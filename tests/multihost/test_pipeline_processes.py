"""A whole run by two processes."""

import json
import os
import socket
import subprocess
import sys

from etils import epath

from tests import pipeline_run
from tooldev_jax import storage


def _run_together(workdir, count):
  with socket.socket() as free:
    free.bind(("localhost", 0))
    coordinator = f"localhost:{free.getsockname()[1]}"
  flags = (
    "--xla_force_host_platform_device_count=1"
    " --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
  )
  running = []
  for index in range(count):
    task = {
      "workdir": str(workdir),
      "coordinator": coordinator,
      "processes": count,
      "index": index,
    }
    worker = "tests.multihost.pipeline_worker"
    running.append(
      subprocess.Popen(
        [sys.executable, "-m", worker, json.dumps(task)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
    )
  outputs = [process.communicate() for process in running]
  for process, (_, told) in zip(running, outputs, strict=True):
    assert process.returncode == 0, told[-4000:]
  return [json.loads(out.splitlines()[-1]) for out, _ in outputs]


def test_two_processes_make_one_run_and_the_first_writes_it(tmp_path):
  workdir = epath.Path(tmp_path)
  first, second = _run_together(workdir, 2)
  # Checkpoints are written by all; apart from them only logs of samples, and
  # folders, which whoever comes first makes.
  alone = [
    change
    for change in second["changes"]
    if "checkpoint" not in change
    and "1of2.log" not in change
    and not change.startswith("os.mkdir ")
  ]
  assert alone == []
  assert any("state.json" in change for change in first["changes"])
  assert any("1of2.log" in change for change in second["changes"])
  for name in ("report.html", "summary.json", "done/export.json"):
    assert (workdir / name).exists(), name
  assert not list(workdir.glob("*/*.log")), "a log was left behind"
  queries = storage.read_jsonl(workdir / "data" / "queries.jsonl")
  ledger = storage.read_jsonl(workdir / "round_1" / "ledger.jsonl")
  assert [row["id"] for row in ledger] == [row["id"] for row in queries]
  answers = storage.read_jsonl(workdir / "base" / "test_invocation.jsonl")
  assert [row["index"] for row in answers[1:]] == [0, 1, 2, 3]
  # Another start, by one process, finds all of it complete.
  config = storage.read_json(workdir / "config.json")
  said = []
  again = pipeline_run.start(
    pipeline_run.small_config(**{"mesh.fsdp": -1, "adapt.epochs": 0}), workdir
  )
  assert config["adapt"]["epochs"] == 0
  again.say = said.append
  again.run()
  assert said[0].startswith("Nothing to do")
