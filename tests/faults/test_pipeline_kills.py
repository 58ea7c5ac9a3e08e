"""Real kills of the real command, then the same command: the same bytes.

The instants are chosen by lines of output: the command is killed when it says
so much, wherever it has got to by the time the signal arrives.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys

from etils import epath

from launch import errors
from tests import pipeline_run

KILLS = 3


def _start(workdir):
  # Fast to compile; all runs that are compared are compiled alike.
  flags = (
    "--xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
  )
  return subprocess.Popen(
    [
      sys.executable,
      "-m",
      "launch.run",
      "--config=tests/pipeline_run.py",
      # Two stages less: most of the time goes into compiling.
      "--config.adapt.epochs=0",
      "--config.evaluate.tool_making=0",
      f"--workdir={workdir}",
    ],
    env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _point(line):
  """What a line says, without figures that depend on the clock."""
  return line.split("  ")[0].strip()


def _run(workdir, until=(), how=signal.SIGKILL):
  """Runs the command, up to the first line that says one of `until`.

  Returns:
    Its exit status, and the points of progress that it told.
  """
  points = []
  with _start(workdir) as command:
    for line in command.stdout:
      points.append(_point(line))
      if points[-1] in until:
        command.send_signal(how)
        until = ()
  return command.returncode, points


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(tmp_path):
  whole, broken = (
    epath.Path(tmp_path / "whole"),
    epath.Path(tmp_path / "broken"),
  )
  status, told = _run(whole)
  assert status == 0, told
  expected = pipeline_run.digests(whole)
  # What is compiled already is none of this test's business, and slow.
  shutil.copytree(whole / "compiled", broken / "compiled")

  working = [point for point in told if re.match(r"\[\w+(/\w+)?\] \d", point)]
  assert len(working) >= 10
  training = working.index("[decompose] 1/2")
  kills = random.Random(0).sample(range(len(working) - 2), KILLS)
  for index in sorted({*kills, training}):
    how = signal.SIGTERM if index == training else signal.SIGKILL
    # A signal may come late: whatever is told next will do as well.
    status, told = _run(broken, working[index:], how)
    if index == training:
      assert status == errors.EXIT_PREEMPTED, told
      assert "the same command goes on" in told[-1]
    else:
      assert status == -signal.SIGKILL, told

  assert _run(broken)[0] == 0
  assert pipeline_run.digests(broken) == expected
  status, told = _run(broken)
  assert status == 0 and told[0].startswith("Nothing to do")
