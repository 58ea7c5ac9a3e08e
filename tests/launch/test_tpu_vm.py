"""Queued resources of Cloud TPU, and the script of their machines."""

import os
import subprocess

import pytest

from launch import errors
from launch.platforms.tpu_vm import TpuVm, startup_script
from tests.launch.examples import AWKWARD, job

PLATFORM = TpuVm(zone="us-east5-a", project="mine")


def _create(platform=PLATFORM, **changes):
  plan = platform.submit(job(**changes))
  (command,) = plan.commands
  return command


def test_a_queued_resource_is_asked_for():
  assert _create() == (
    *("gcloud", "compute", "tpus", "queued-resources", "create", "demo"),
    "--accelerator-type=v6e-16",
    "--runtime-version=v2-alpha-tpuv6e",
    "--labels=app=tooldev-jax,run=demo,team=nlp",
    "--metadata-from-file=startup-script=startup.sh",
    "--node-id=demo",
    "--zone=us-east5-a",
    "--project=mine",
  )


def test_several_slices_are_nodes_of_one_resource():
  command = _create(slices=2)
  assert {"--node-count=2", "--node-prefix=demo"} < set(command)
  assert "--node-id=demo" not in command


def test_cheaper_chips_waiting_and_reservations_are_asked_for():
  assert "--spot" in _create(provisioning="spot")
  waiting = TpuVm(zone="us-east5-a", valid_until="6h", reserved=True)
  assert {"--valid-until-duration=6h", "--reserved"} < set(_create(waiting))
  flex = _create(TpuVm(zone="us-east5-a"), provisioning="flex")
  assert flex[:3] == ("gcloud", "alpha", "compute")
  assert {
    "--provisioning-model=flex-start",
    "--max-run-duration=604800s",
  } < set(flex)


def test_what_ended_and_eats_quota_is_deleted_before_another_of_its_name():
  stale = PLATFORM.submit(job()).stale
  assert stale.states == ("SUSPENDING", "SUSPENDED", "FAILED")
  assert stale.state[3:6] == ("queued-resources", "describe", "demo")
  assert stale.remove == PLATFORM.cancel("demo").commands[0]
  assert "--force" in stale.remove


@pytest.mark.parametrize(
  ("accelerator", "slices", "several"),
  [
    ("v5e-4", 1, False),
    ("v6e-8", 1, False),
    ("v6e-8", 2, True),
    ("v5p-8", 1, False),
    ("v5p-16", 1, True),
  ],
)
def test_machines_of_one_run_know_whether_there_are_others(
  accelerator, slices, several
):
  plan = PLATFORM.submit(job(accelerator, slices=slices))
  assert ("--distributed" in plan.files["startup.sh"]) == several


# Stands for docker: writes the words it is given, and ends as it is told.
_DOCKER = """#!/bin/bash
if [ "$1" = run ]; then
  printf '%s\\0' "$@" >> "$CALLS"
  printf '\\0' >> "$CALLS"
  status=$(head -n 1 "$STATUSES")
  sed -i 1d "$STATUSES"
  exit "$status"
fi
"""


def _boot(tmp_path, statuses, **changes):
  """Runs the script; returns its status and the words of each docker run."""
  bin_folder = tmp_path / "bin"
  bin_folder.mkdir()
  for name, text in (("docker", _DOCKER), ("gcloud", "#!/bin/bash\n")):
    (bin_folder / name).write_text(text)
    (bin_folder / name).chmod(0o755)
  (tmp_path / "statuses").write_text("".join(f"{x}\n" for x in statuses))
  environment = {
    "PATH": f"{bin_folder}{os.pathsep}/usr/bin:/bin",
    "CALLS": str(tmp_path / "calls"),
    "STATUSES": str(tmp_path / "statuses"),
  }
  done = subprocess.run(
    ["bash", "-c", startup_script(job(**changes))],
    env=environment,
    capture_output=True,
    check=False,
  )
  calls = (tmp_path / "calls").read_bytes().decode().split("\0\0")
  return done.returncode, [call.split("\0") for call in calls if call]


def test_the_machines_run_the_command_as_it_was_given(tmp_path):
  status, (call,) = _boot(tmp_path, [0])
  assert status == 0
  at = call.index("us-docker.pkg.dev/project/images/tooldev:1")
  assert call[at + 1 :] == [
    *("python", "-m", "launch.run", "--config=configs/llama3_1_8b.py", AWKWARD),
    *("--workdir=gs://my-bucket/runs/demo", "--distributed"),
  ]


def test_an_interrupted_run_is_started_again_on_its_machine(tmp_path):
  statuses = [errors.EXIT_PREEMPTED, 134, 1, 0]
  status, calls = _boot(tmp_path, statuses)
  assert (status, len(calls)) == (1, 3)


def test_restarts_are_bounded(tmp_path):
  status, calls = _boot(tmp_path, [errors.EXIT_PREEMPTED] * 9, restarts=2)
  assert (status, len(calls)) == (errors.EXIT_PREEMPTED, 3)


def test_the_list_shows_states_and_coming_maintenance():
  resources, nodes = PLATFORM.list().commands
  assert "state.state" in resources[5]
  assert "upcomingMaintenance" in nodes[5]
