r"""Submits a run to a platform; lists, follows and cancels what was submitted.

    python -m launch.submit --platform=gke --name=demo \
      --workdir=gs://BUCKET/runs/demo --config=configs/llama3_1_8b.py \
      --accelerator=v6e-16 --image=IMAGE [--config.lora.rank=32] [--dry_run]
    python -m launch.submit list   --platform=gke
    python -m launch.submit logs   --platform=gke --name=demo
    python -m launch.submit cancel --platform=gke --name=demo

Platforms are local, tpu_vm, gke and batch (docs/launching.md). The config is
loaded and checked here, before anything is sent. The work is done by gcloud or
kubectl, which must be installed and logged in; --dry_run needs neither.

Exit status: 0 done, 2 a mistake in config or flags, 75 stopped on request
(--platform=local), else that of gcloud or kubectl.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from launch import errors
from launch.platforms import batch, gke, job, local, tpu_vm
from tooldev_jax.errors import UserError
from tooldev_jax.parallel.chips import find_slice

_KINDS: dict[str, Any] = {
  "local": local.Local,
  "tpu_vm": tpu_vm.TpuVm,
  "gke": gke.Gke,
  "batch": batch.Batch,
}
_VERBS = ("submit", "list", "logs", "cancel")

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "What to do.", lock_config=True
)
_PLATFORM = flags.DEFINE_enum(
  "platform", None, list(_KINDS), "Where to run.", required=True
)
_NAME = flags.DEFINE_string("name", "", "Name of all that is created.")
_WORKDIR = flags.DEFINE_string("workdir", "", "Folder of the run.")
_STAGES = flags.DEFINE_string("stages", "", "Stages to run; all if not given.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print and check, send nothing.")

# Of the job; which of them a platform takes is in its JOB_FLAGS.
flags.DEFINE_string("accelerator", "", "As v6e-16, v5p-128 or h100-8.")
flags.DEFINE_integer("slices", 1, "TPU slices, or machines with GPUs.")
flags.DEFINE_bool("spot", False, "Cheaper chips that may be taken away.")
flags.DEFINE_bool("flex", False, "Chips for a limited time, when there are.")
flags.DEFINE_string("image", "", "Container image (launch/Dockerfile).")
flags.DEFINE_list("labels", [], "Labels: team=nlp,cost=42.")
flags.DEFINE_integer("restarts", None, "Starts again after interruptions.")

# Of the platforms: the fields of their dataclasses, which hold the defaults.
flags.DEFINE_integer("processes", None, "local: how many.")
flags.DEFINE_integer("grace_s", None, "local, gke: seconds to save in.")
flags.DEFINE_string("project", None, "tpu_vm, batch: Google Cloud project.")
flags.DEFINE_string("zone", None, "tpu_vm: as us-east5-a.")
flags.DEFINE_string("runtime_version", None, "tpu_vm: software of the VMs.")
flags.DEFINE_string("valid_until", None, "tpu_vm: longest wait, as 6h.")
flags.DEFINE_bool("reserved", None, "tpu_vm: take chips of a reservation.")
flags.DEFINE_string("region", None, "batch: as us-central1.")
flags.DEFINE_integer("boot_disk_gb", None, "batch: of each machine.")
flags.DEFINE_string("service_account", None, "tpu_vm, gke, batch: runs as it.")
flags.DEFINE_integer("max_run_duration", None, "Seconds: batch; --flex.")
flags.DEFINE_string("context", None, "gke: kubectl's context.")
flags.DEFINE_string("namespace", None, "gke: Kubernetes namespace.")
flags.DEFINE_string("queue", None, "gke: Kueue's local queue.")

_JOB_FLAGS = (
  *("accelerator", "slices", "spot", "flex", "image", "labels", "restarts"),
)
_CONFIG_FLAG = re.compile(r"--?(?:no)?config(?:\.[\w.\[\]]+)?(=.*)?", re.DOTALL)
_ROOT = pathlib.Path(__file__).resolve().parent.parent


def main(argv: Sequence[str]) -> None:
  logging.set_verbosity(logging.WARNING)
  with errors.shown_plainly():
    verb = _verb(argv[1:])
    platform = _platform()
    if isinstance(platform, local.Local):
      sys.exit(_run_here(verb, platform))
    if verb == "list":
      plan = platform.list()
    elif verb != "submit":
      plan = getattr(platform, verb)(_required("name"))
    else:
      plan = platform.submit(_job())
    if _DRY_RUN.value:
      print(plan.in_words())
    else:
      _carry_out(plan)


def _verb(words: Sequence[str]) -> str:
  verb = words[0] if words else "submit"
  if verb not in _VERBS or len(words) > 1:
    raise UserError(
      f"{' '.join(words)!r} is not one of {', '.join(_VERBS)}; all else is"
      " given as --flag=value"
    )
  return verb


def _platform() -> Any:
  """The platform with its flags.

  Raises:
    UserError: a flag is given that means nothing there.
  """
  kind = _KINDS[_PLATFORM.value]
  own = {field.name for field in dataclasses.fields(kind)}
  every = {
    field.name
    for other in _KINDS.values()
    for field in dataclasses.fields(other)
  }
  for name in sorted((every | set(_JOB_FLAGS)) - own - kind.JOB_FLAGS):
    if flags.FLAGS[name].present:
      raise UserError(f"--{name}: means nothing on {_PLATFORM.value}")
  values = {name: flags.FLAGS[name].value for name in own}
  return kind(**{k: v for k, v in values.items() if v is not None})


def _run_here(verb: str, platform: local.Local) -> int:
  """Submitting to this machine is running here, until it ends."""
  if verb != "submit":
    raise UserError(
      f"{verb}: --platform=local runs in its terminal, which shows it and"
      " where Ctrl-C stops it"
    )
  _check_config()
  workdir = os.path.abspath(_required("workdir"))
  if "://" in _WORKDIR.value:
    workdir = _WORKDIR.value
  arguments = [*_run_arguments(), f"--workdir={workdir}"]
  if _DRY_RUN.value:
    print(platform.in_words(arguments))
    return 0
  lock = threading.Lock()

  def say(line: str) -> None:
    with lock:
      print(line, flush=True)

  return platform.run(arguments, flags.FLAGS["restarts"].value or 0, say)


def _job() -> job.Job:
  """The job that the flags describe, checked as far as can be from here."""
  given: dict[str, Any] = {name: flags.FLAGS[name].value for name in _JOB_FLAGS}
  if given["spot"] and given["flex"]:
    raise UserError("--spot and --flex exclude each other")
  restarts = given["restarts"]
  try:
    accelerator = find_slice(_required("accelerator"))
  except UserError as e:
    raise UserError(f"--accelerator: {e}") from None
  made = job.Job(
    name=_required("name"),
    workdir=_required("workdir"),
    arguments=tuple(_run_arguments()),
    accelerator=accelerator,
    slices=given["slices"],
    provisioning=next((x for x in ("spot", "flex") if given[x]), "standard"),
    image=_required("image"),
    labels=job.parse_labels(given["labels"]),
    **({} if restarts is None else {"restarts": restarts}),
  )
  _check_config_file()
  for config in _check_config():
    _check_data_files(config)
  return made


def _required(name: str) -> str:
  value = flags.FLAGS[name].value
  if not value:
    raise UserError(f"--{name}: none; it is needed here")
  return str(value)


def _run_arguments() -> list[str]:
  """The flags of launch.run, as they were given."""
  found = [word for word in sys.argv[1:] if _CONFIG_FLAG.fullmatch(word)]
  for word in found:
    # The value may be the next word or none; that is for absl to know.
    if "=" not in word:
      raise UserError(f"{word}: write it in one word, as --config.x=value")
  return found + ([f"--stages={_STAGES.value}"] if _STAGES.value else [])


def _check_config() -> list[Any]:
  """The runs of the config, checked as launch.run does before any work."""
  from tooldev_jax import config as configs

  value = _CONFIG.value
  if value is None:
    raise UserError("--config: none; it is needed here")
  for stage in _STAGES.value.split(",") if _STAGES.value else ():
    if stage not in configs.STAGES:
      raise UserError(
        f"--stages: {stage!r} is not one of {', '.join(configs.STAGES)}"
      )
  runs = {"": value} if isinstance(value, ConfigDict) else value
  return [
    configs.from_config_dict(configs.RunConfig, run, name or "config")
    for name, run in runs.items()
  ]


def _check_data_files(config: Any) -> None:
  """Raises UserError where a file of data would not be found in the image."""
  for role in dataclasses.fields(config.data):
    path = getattr(getattr(config.data, role.name), "path", "")
    # What is in a bucket, in the workdir or mounted cannot be seen from here.
    elsewhere = path.startswith(("/", "{workdir}")) or "://" in path
    if path and not elsewhere and not (_ROOT / path).exists():
      raise UserError(
        f"data.{role.name}.path: {path!r} is not in the image, which holds"
        " this project's folder; copy it to a bucket and give it as gs://…"
      )


def _check_config_file() -> None:
  """Raises UserError where the image would not hold the config file."""
  given = [word for word in sys.argv[1:] if re.match(r"--?config=", word)]
  file = pathlib.Path(given[-1].partition("=")[2].partition(":")[0])
  if file.is_absolute() or not (_ROOT / file).is_file():
    raise UserError(
      f"--config: {file} is not in the image; give a file of this project, as"
      " configs/llama3_1_8b.py"
    )


def _carry_out(plan: job.Plan) -> None:
  """Hands a plan to the platform's client; ends with its status if it fails."""
  program = plan.commands[0][0]
  if shutil.which(program) is None:
    raise UserError(
      f"{program} is not installed; --dry_run shows what it would be told"
    )
  with tempfile.TemporaryDirectory() as folder:
    for name, text in plan.files.items():
      (pathlib.Path(folder) / name).write_text(text)
    commands = list(plan.commands)
    if plan.stale and _state(plan.stale) in plan.stale.states:
      commands.insert(0, plan.stale.remove)
    for command in commands:
      status = subprocess.run(command, cwd=folder, check=False).returncode
      if status:
        sys.exit(status)


def _state(stale: job.Stale) -> str:
  done = subprocess.run(
    stale.state, capture_output=True, text=True, check=False
  )
  return done.stdout.strip()


if __name__ == "__main__":
  errors.run(main)
