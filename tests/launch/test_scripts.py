"""Shell scripts and the image's recipe, through their linters."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from launch.platforms import batch
from launch.platforms.tpu_vm import startup_script
from tests.launch.examples import job

LAUNCH = pathlib.Path("launch")
_SCRIPTS = {
  **{file.name: file.read_text() for file in sorted(LAUNCH.glob("*.sh"))},
  "startup.sh": startup_script(job()),
  "find_processes.sh": batch._FIND_PROCESSES,
  "start_process.sh": batch._START_PROCESS,
}


@pytest.mark.skipif(
  shutil.which("shellcheck") is None,
  reason="shellcheck is not installed (Debian: apt-get install shellcheck)",
)
@pytest.mark.parametrize("name", _SCRIPTS)
def test_scripts_please_shellcheck(name):
  done = subprocess.run(
    ["shellcheck", "--shell=bash", "--external-sources", "-"],
    input=_SCRIPTS[name],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout


def _hadolint() -> str | None:
  beside = pathlib.Path(sys.executable).with_name("hadolint")
  return str(beside) if beside.exists() else shutil.which("hadolint")


@pytest.mark.skipif(
  _hadolint() is None,
  reason="hadolint is not installed (requirements-launch.txt)",
)
def test_the_image_pleases_hadolint():
  done = subprocess.run(
    [str(_hadolint()), str(LAUNCH / "Dockerfile")],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
