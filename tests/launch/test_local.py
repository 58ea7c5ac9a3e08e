"""Processes on this machine: how they end, and who is told."""

import os
import signal
import sys
import threading
import time

import pytest

from launch import errors
from launch.platforms import local

# Ends with 75 on SIGTERM, as a run does; says when it is ready.
_SAVES = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print("ready", os.getpid(), flush=True)
while True:
  signal.pause()
"""
_DEAF = _SAVES.replace("lambda *_: sys.exit(75)", "signal.SIG_IGN")


def _python(script):
  return [sys.executable, "-c", script]


def _run(*scripts, restarts=0, grace_s=30.0, react=lambda line: None):
  """Runs scripts together; returns the status and what was said.

  Args:
    react: is handed each line as it is said.
  """
  said: list[str] = []
  lock = threading.Lock()

  def say(line):
    with lock:
      said.append(line)
    react(line)

  status = local.keep_running(
    lambda: [_python(script) for script in scripts], restarts, grace_s, say
  )
  return status, said


def test_lines_bear_the_number_of_their_process():
  status, said = _run("print('a\\nb')", "import sys; sys.stderr.write('c\\n')")
  assert status == 0
  assert sorted(said) == ["[0] a", "[0] b", "[1] c"]


def test_a_process_that_fails_is_named_and_the_others_are_stopped():
  status, said = _run(_SAVES, "raise SystemExit(2)")
  assert status == 2
  assert "process 1 ended with status 2; process 0 is stopped" in said


def test_a_process_that_does_not_stop_is_killed_within_the_bound():
  pids = {}

  def react(line):
    if " ready " in line:
      process, _, pid = line.split()
      pids[process] = int(pid)
      if len(pids) == 2:
        os.kill(pids["[1]"], signal.SIGKILL)

  begin = time.monotonic()
  status, said = _run(_DEAF, _SAVES, grace_s=0.2, react=react)
  assert status == errors.EXIT_PREEMPTED
  assert said[2:] == [
    "process 1 ended with SIGKILL; process 0 is stopped",
    "process 0 did not stop in 0.2 s: killed",
  ]
  assert time.monotonic() - begin < 30


def test_an_interrupted_run_is_started_again_as_often_as_allowed(tmp_path):
  count = tmp_path / "count"
  script = (
    f"open({str(count)!r}, 'a').write('x')\n"
    f"import os, sys; sys.exit(75 * (os.path.getsize({str(count)!r}) < 3))"
  )
  assert _run(script, restarts=1)[0] == errors.EXIT_PREEMPTED
  assert count.read_text() == "xx"
  status, said = _run(script, restarts=5)
  assert (status, count.read_text()) == (0, "xxx")
  assert said == []


def test_a_run_that_fails_is_not_started_again():
  status, said = _run("raise SystemExit(1)", restarts=5)
  assert status == 1
  assert said == ["process 0 ended with status 1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_nothing_is_started_again(number):
  waiting = {"[0]", "[1]"}

  def react(line):
    if " ready " in line:
      waiting.remove(line.split()[0])
      if not waiting:
        os.kill(os.getpid(), number)

  before = signal.getsignal(number)
  status, said = _run(_SAVES, _SAVES, restarts=3, react=react)
  assert status == errors.EXIT_PREEMPTED
  assert f"{number.name} is passed on" in said
  assert not any("starting again" in line for line in said)
  assert signal.getsignal(number) == before


def test_who_does_not_stop_when_asked_is_killed_and_can_go_on():
  def react(line):
    if " ready " in line:
      os.kill(os.getpid(), signal.SIGTERM)

  status, said = _run(_DEAF, restarts=3, grace_s=0.2, react=react)
  assert status == errors.EXIT_PREEMPTED
  assert said[1:] == [
    "SIGTERM is passed on",
    "process 0 did not stop in 0.2 s: killed",
  ]


def test_processes_know_each_other_and_one_is_alone():
  arguments = ["--config=a.py", "--config.x=it's"]
  (alone,) = local.Local().commands(arguments, 1234)
  assert alone == [sys.executable, "-m", "launch.run", *arguments]
  first, second = local.Local(processes=2).commands(arguments, 1234)
  assert first[3:] == [
    *arguments,
    "--coordinator=localhost:1234",
    "--process_count=2",
    "--process_index=0",
  ]
  assert second[-1] == "--process_index=1"


def test_what_ran_is_never_left_behind():
  class Broken(Exception):
    pass

  pids = []
  ready = threading.Event()

  def say(line):
    pids.append(int(line.split()[2]))
    ready.set()

  def commands():
    yield _python(_DEAF)
    assert ready.wait(30)
    raise Broken

  with pytest.raises(Broken):
    local.run_together(commands(), 30.0, say)
  with pytest.raises(ProcessLookupError):
    os.kill(pids[0], 0)


def test_a_status_is_told_in_words():
  assert local.status_in_words(-9) == "SIGKILL"
  assert local.status_in_words(75) == "status 75 (stopped on request)"
  assert local.status_in_words(3) == "status 3"
