"""Jobs of Google Cloud Batch."""

import json
import subprocess

import pytest

from launch import errors
from launch.platforms import batch
from launch.platforms.batch import Batch
from tests.launch.examples import AWKWARD, job

PLATFORM = Batch(region="us-central1", project="mine")


def _group(document):
  (group,) = document["taskGroups"]
  return group


def test_interruptions_are_retried_and_nothing_else():
  spec = _group(PLATFORM.job(job("h100-8", restarts=4)))["taskSpec"]
  assert spec["maxRetryCount"] == 4
  assert spec["lifecyclePolicies"] == [
    {
      "action": "RETRY_TASK",
      "actionCondition": {"exitCodes": [50001, errors.EXIT_PREEMPTED]},
    }
  ]


@pytest.mark.parametrize(
  ("provisioning", "model"),
  [("standard", "STANDARD"), ("spot", "SPOT"), ("flex", "FLEX_START")],
)
def test_machines_are_asked_for(provisioning, model):
  allocation = PLATFORM.job(job("a100-80gb-2", provisioning=provisioning))[
    "allocationPolicy"
  ]
  (instance,) = allocation["instances"]
  assert instance["installGpuDrivers"] is True
  assert instance["policy"]["machineType"] == "a2-ultragpu-2g"
  assert instance["policy"]["provisioningModel"] == model
  assert allocation["location"] == {"allowedLocations": ["regions/us-central1"]}


def test_one_machine_runs_the_command_as_it_was_given():
  group = _group(PLATFORM.job(job("l4-1")))
  (runnable,) = group["taskSpec"]["runnables"]
  container = runnable["container"]
  assert container["entrypoint"] == "python"
  assert container["commands"] == [
    *("-m", "launch.run", "--config=configs/llama3_1_8b.py", AWKWARD),
    "--workdir=gs://my-bucket/runs/demo",
  ]
  assert "requireHostsFile" not in group
  (volume,) = group["taskSpec"]["volumes"]
  assert volume["gcs"] == {"remotePath": "my-bucket"}
  assert volume["mountPath"] == "/mnt/disks/my-bucket"


def _run(script, *arguments, **environment):
  return subprocess.run(
    ["bash", "-c", script, "start", *arguments],
    capture_output=True,
    text=True,
    check=False,
    env={"PATH": "/usr/bin:/bin", **environment},
  )


def test_several_machines_find_their_number_and_the_first_of_them(tmp_path):
  group = _group(PLATFORM.job(job("h100-8", slices=3)))
  assert group["requireHostsFile"] is True
  assert (group["taskCount"], group["parallelism"]) == ("3", "3")
  find, start = group["taskSpec"]["runnables"]
  name = subprocess.run(
    ["hostname"], capture_output=True, text=True, check=True
  ).stdout.strip()
  hosts = tmp_path / "hosts"
  hosts.write_text(f"first-host\n{name}\nthird-host\n")
  folder = batch._PROCESSES_FOLDER

  def here(text):
    return text.replace(folder, str(tmp_path / "folder"))

  found = _run(here(find["script"]["text"]), BATCH_HOSTS_FILE=str(hosts))
  assert found.returncode == 0, found.stderr
  flag, script, zero, *command = start["container"]["commands"]
  assert (start["container"]["entrypoint"], flag, zero) == (
    "bash",
    "-c",
    "start",
  )
  assert command[-2:] == [AWKWARD, "--workdir=gs://my-bucket/runs/demo"]
  shown = _run(here(script), "printf", "%s|", *command)
  assert shown.stdout == "|".join(
    [
      *command,
      "--coordinator=first-host:8476",
      "--process_count=3",
      "--process_index=1",
      "",
    ]
  )


def test_a_machine_that_is_not_listed_says_so(tmp_path):
  hosts = tmp_path / "hosts"
  hosts.write_text("first-host\n")
  script = batch._FIND_PROCESSES.replace(
    batch._PROCESSES_FOLDER, str(tmp_path / "folder")
  )
  done = _run(script, BATCH_HOSTS_FILE=str(hosts))
  assert done.returncode == 1
  assert "is not in" in done.stderr


def test_verbs_are_commands_of_gcloud():
  begin = ("gcloud", "batch", "jobs")
  end = ("--location=us-central1", "--project=mine")
  plan = PLATFORM.submit(job("h100-8"))
  assert plan.commands == (
    (*begin, "submit", "demo", "--config=job.json", *end),
  )
  assert json.loads(plan.files["job.json"]) == PLATFORM.job(job("h100-8"))
  assert PLATFORM.list().commands == (
    (*begin, "list", "--filter=labels.app=tooldev-jax", *end),
  )
  assert PLATFORM.cancel("demo").commands == (
    (*begin, "delete", "demo", "--quiet", *end),
  )
  (logs,) = PLATFORM.logs("demo").commands
  assert logs[:3] == ("gcloud", "logging", "read")
  assert "--freshness=30d" in logs  # a job may take a fortnight
  assert 'labels.job_uid=~"^demo-"' in logs[3]
