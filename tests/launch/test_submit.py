"""The command: what it refuses, what it prints, and whom it tells."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.launch.examples import AWKWARD

_CLOUD = (
  "--name=demo",
  "--workdir=gs://my-bucket/runs/demo",
  "--config=configs/quickstart.py",
  "--image=us-docker.pkg.dev/project/images/tooldev:1",
)
_GKE = ("--platform=gke", "--accelerator=v6e-16", *_CLOUD)


def _submit(*words, **environment):
  return subprocess.run(
    [sys.executable, "-m", "launch.submit", *words],
    capture_output=True,
    text=True,
    check=False,
    env={**os.environ, **environment},
  )


@pytest.mark.parametrize(
  ("words", "told"),
  [
    (("begin", *_GKE), "'begin' is not one of submit, list, logs, cancel"),
    (
      (*_GKE, "--accelerator=v5e-12"),
      "--accelerator: 'v5e-12' does not exist; there are v5e-1, v5e-4, v5e-8",
    ),
    ((*_GKE, "--zone=us-east5-a"), "--zone: means nothing on gke"),
    ((*_GKE, "--spot", "--flex"), "--spot and --flex exclude each other"),
    ((*_GKE, "--image="), "--image: none; it is needed here"),
    ((*_GKE, "--config.lora.rnk=3"), "did you mean --config.lora.rank?"),
    ((*_GKE, "--config.lora.rank=-3"), "lora.rank: -3; allowed: at least 1"),
    ((*_GKE, "--config.lora.rank", "3"), "--config.lora.rank: write it in one"),
    ((*_GKE, "--stages=adopt"), "--stages: 'adopt' is not one of adapt"),
    (
      (*_GKE, f"--config={os.path.abspath('configs/quickstart.py')}"),
      "quickstart.py is not in the image",
    ),
    (
      (*_GKE, "--config.data.examples.path=calls.jsonl"),
      "data.examples.path: 'calls.jsonl' is not in the image",
    ),
    (("logs", "--platform=gke"), "--name: none; it is needed here"),
    (("logs", "--platform=local"), "--platform=local runs in its terminal"),
    (("--platform=local", "--slices=2"), "--slices: means nothing on local"),
  ],
)
def test_a_mistake_is_a_line_and_nothing_is_sent(words, told):
  done = _submit(*words, PATH="/nowhere")
  assert done.returncode == 2
  assert told in done.stderr
  assert "Traceback" not in done.stderr


# Stands for kubectl and gcloud: writes what it was told and handed.
_CLIENT = """#!/bin/bash
printf '%s\\n' "$(basename "$0") $*" >> "$CALLS"
for file in jobset.json startup.sh; do
  if [ -e "$file" ]; then cp "$file" "$CALLS.$file"; fi
done
case "$*" in *describe*) echo SUSPENDED ;; esac
exit "${STATUS:-0}"
"""


@pytest.fixture
def clients(tmp_path):
  for name in ("kubectl", "gcloud"):
    file = tmp_path / name
    file.write_text(_CLIENT)
    file.chmod(0o755)
  return {
    "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    "CALLS": str(tmp_path / "calls"),
  }


def test_what_is_sent_is_what_a_dry_run_prints(tmp_path, clients):
  words = (*_GKE, AWKWARD, "--stages=adapt", "--labels=team=nlp")
  shown = _submit(*words, "--dry_run", **clients)
  assert shown.returncode == 0, shown.stderr
  assert not (tmp_path / "calls").exists()
  sent = _submit(*words, **clients)
  assert sent.returncode == 0, sent.stderr
  command = "kubectl --namespace=default create -f jobset.json"
  assert (tmp_path / "calls").read_text() == f"{command}\n"
  document = (tmp_path / "calls.jobset.json").read_text()
  head, _, tail = shown.stdout.partition("\n--- commands\n")
  assert head == f"--- jobset.json\n{document}"
  assert tail.startswith(f"{command}\n# 1 × v6e-16 (4x4): 16 chips on 4")
  (run,) = json.loads(document)["spec"]["replicatedJobs"]
  pod = run["template"]["spec"]["template"]["spec"]
  assert pod["containers"][0]["command"][3:] == [
    "--config=configs/quickstart.py",
    AWKWARD.replace("$", "$$"),
    "--stages=adapt",
    "--workdir=gs://my-bucket/runs/demo",
    "--distributed",
  ]


def test_a_suspended_resource_is_replaced(tmp_path, clients):
  zone = ("--platform=tpu_vm", "--zone=us-east5-a")
  done = _submit(*zone, *_CLOUD, "--accelerator=v5e-16", "--spot", **clients)
  assert done.returncode == 0, done.stderr
  calls = (tmp_path / "calls").read_text().splitlines()
  assert [call.split()[4] for call in calls] == ["describe", "delete", "create"]
  script = (tmp_path / "calls.startup.sh").read_text()
  assert "--config=configs/quickstart.py" in script


def test_a_client_that_fails_gives_its_status(clients):
  done = _submit("list", "--platform=gke", STATUS="7", **clients)
  assert done.returncode == 7


def test_a_client_that_is_not_there_is_said():
  done = _submit("list", "--platform=gke", PATH="/nowhere")
  assert done.returncode == 2
  assert "kubectl is not installed; --dry_run shows" in done.stderr


def test_processes_here_are_runs_with_the_same_flags(tmp_path):
  words = (
    "--platform=local",
    "--processes=2",
    "--config=configs/quickstart.py",
  )
  folder = f"--workdir={tmp_path}"
  done = _submit(*words, folder, AWKWARD, "--dry_run")
  assert done.returncode == 0, done.stderr
  assert done.stdout.count("-m launch.run --config=configs/quickstart.py") == 2
  assert done.stdout.count(folder) == 2
  assert "--process_count=2 --process_index=1" in done.stdout


def test_runs_here_meet_and_report_a_mistake_of_theirs(tmp_path):
  # Both join, and find that the base is not there.
  done = _submit(
    "--platform=local",
    "--processes=2",
    "--config=tests/pipeline_run.py",
    "--config.base.path=/nowhere/base",
    f"--workdir={tmp_path / 'run'}",
  )
  assert done.returncode == 2, done.stdout
  assert "error: " in done.stdout
  assert "/nowhere/base" in done.stdout
  assert "ended with status 2" in done.stdout


def _blocks_to_copy():
  text = pathlib.Path("docs/launching.md").read_text()
  return re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", _blocks_to_copy())
def test_the_commands_of_the_docs_are_right(block):
  # As they stand, but for nothing being sent.
  asked = f'set -eu\npython() {{ "{sys.executable}" "$@" --dry_run; }}\n'
  done = subprocess.run(
    ["bash", "-c", asked + block], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.count("launch.run") >= 1
