"""Runs of the small training, whole or killed, and what they must agree on."""

import dataclasses
import functools
import json
import os
import random
import subprocess
import sys
from typing import Any

import jax

from tests.train import tiny
from tooldev_jax.models.parameters import init_adapter
from tooldev_jax.train.result import FitResult

CONFIG = dataclasses.replace(tiny.TRAIN, checkpoint_every=2, keep=1)


def small_fit(workdir: Any) -> FitResult:
  """Six steps, with a checkpoint after the second and the fourth."""
  base, adapter, data = _made_once()
  return tiny.run_fit(
    workdir, base=base, initial=adapter, data=data, config=CONFIG
  )


@functools.cache
def _made_once() -> tuple[tiny.Base, Any, Any]:
  """Base, adapter and data: the same for every run, dear to make."""
  base = tiny.make_base()
  adapter = init_adapter(base.config, tiny.LORA, jax.random.key(1))
  return base, adapter, tiny.make_data(epochs=3)


def child(workdir: str, cache: str, kill_at: int = 0) -> dict[str, Any] | None:
  """One process that trains; None if it was killed.

  Args:
    workdir: of the run.
    cache: folder for compiled programs, shared by all children.
    kill_at: change to the disk before which it dies; 0 never.
  """
  flags = (
    "--xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
  )
  environment = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": flags,
    "JAX_COMPILATION_CACHE_DIR": cache,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  done = subprocess.run(
    [sys.executable, "-m", "tests.faults.train_child", workdir, str(kill_at)],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode == -9:
    return None
  assert done.returncode == 0, done.stderr[-4000:]
  return json.loads(done.stdout.splitlines()[-1])


def kill_and_resume(folder: str, kills: int, seed: int) -> int:
  """Kills a run at random changes, again and again, until it has ended.

  Returns:
    How many kills there were.

  Raises:
    AssertionError: a result differs from the uninterrupted run's.
  """
  rng = random.Random(seed)
  cache = f"{folder}/cache"
  whole = child(f"{folder}/whole", cache)
  assert whole is not None
  done = run = 0
  while done < kills:
    run += 1
    ended = None
    while ended is None:
      # A resumed run makes fewer changes; past its last one it just ends.
      at = rng.randint(1, whole["events"]) if done < kills else 0
      ended = child(f"{folder}/run_{run}", cache, at)
      done += ended is None
    assert ended["fingerprint"] == whole["fingerprint"], f"run {run}"
  return done


if __name__ == "__main__":
  import tempfile

  count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
  with tempfile.TemporaryDirectory() as scratch:
    print(f"{kill_and_resume(scratch, count, 0)} kills, all runs equal")
