"""Google Cloud Batch: one task a machine with GPUs, handed to gcloud.

Batch has no TPUs. The bucket of --workdir is mounted at /mnt/disks/BUCKET, for
data; the run itself is told gs://, as everywhere.
"""

import dataclasses
import json
import re
from typing import Any, ClassVar

from launch.platforms import schema
from launch.platforms.job import (
  Job,
  Plan,
  check_duration,
  check_name,
  check_region,
)
from tooldev_jax.errors import UserError

_FILE = "job.json"
_COORDINATOR_PORT = 8476
# What Batch reports when it lost a spot machine
# (docs.cloud.google.com/batch/docs/troubleshooting#reserved-exit-codes).
_EXIT_SPOT_PREEMPTED = 50001
_MAX_RETRIES = 10
_MODELS = {"standard": "STANDARD", "spot": "SPOT", "flex": "FLEX_START"}
_ACCOUNT = re.compile(r"[^@\s]+@[^@\s]+")

# Batch lists the machines in a file. The line of this one is its number, and
# the first is where the others meet.
_PROCESSES_FOLDER = "/tmp/tooldev"
_FIND_PROCESSES = f"""\
#!/bin/bash
set -eu
mkdir -p {_PROCESSES_FOLDER}
mine=" $(hostname) $(hostname -s) $(hostname -f) $(hostname -I) "
coordinator='' index='' line=0
while read -r host _; do
  [ -n "$coordinator" ] || coordinator=$host
  case "$mine" in *" $host "*) index=$line ;; esac
  line=$((line + 1))
done < "$BATCH_HOSTS_FILE"
if [ -z "$index" ]; then
  echo "this machine ($mine) is not in $BATCH_HOSTS_FILE" >&2
  exit 1
fi
echo "coordinator=$coordinator count=$line index=$index" \\
  > {_PROCESSES_FOLDER}/processes
"""
_START_PROCESS = f"""\
#!/bin/bash
# shellcheck disable=SC1091,SC2154
. {_PROCESSES_FOLDER}/processes
exec "$@" --coordinator="$coordinator:{_COORDINATOR_PORT}" \\
  --process_count="$count" --process_index="$index"
"""


@dataclasses.dataclass(frozen=True)
class Batch:
  """A region of Google Cloud Batch.

  Attributes:
    region: as "us-central1".
    project: "" takes gcloud's.
    service_account: of the machines; "" takes Compute Engine's default.
    max_run_duration: seconds after which the job is ended.
    boot_disk_gb: of each machine: the image and the base's weights.
  """

  JOB_FLAGS: ClassVar = frozenset(
    {"accelerator", "slices", "spot", "flex", "image", "labels", "restarts"}
  )

  region: str = ""
  project: str = ""
  service_account: str = ""
  max_run_duration: int = 7 * 24 * 3600
  boot_disk_gb: int = 200

  def __post_init__(self) -> None:
    check_region(self.region)
    check_duration("max_run_duration", self.max_run_duration, 14 * 24 * 3600)
    if self.boot_disk_gb < 50:
      raise UserError(f"--boot_disk_gb: {self.boot_disk_gb}; at least 50")
    if self.service_account and not _ACCOUNT.fullmatch(self.service_account):
      raise UserError(
        f"--service_account: {self.service_account!r} is no address"
      )

  def submit(self, job: Job) -> Plan:
    if job.accelerator.is_tpu:
      raise UserError(
        f"--accelerator: {job.accelerator.name} is a TPU, and Batch has none;"
        " use --platform=gke or tpu_vm, or a GPU as h100-8"
      )
    if job.restarts > _MAX_RETRIES:
      raise UserError(
        f"--restarts: {job.restarts}; Batch allows up to {_MAX_RETRIES}"
      )
    week = 7 * 24 * 3600
    if job.provisioning == "flex" and self.max_run_duration > week:
      raise UserError(
        f"--max_run_duration: {self.max_run_duration}; with --flex at most"
        f" {week} (seven days)"
      )
    document = self.job(job)
    checked = schema.check_google("batch.v1", "Job", document)
    return Plan(
      commands=(self._gcloud("submit", job.name, f"--config={_FILE}"),),
      files={_FILE: json.dumps(document, indent=2)},
      notes=(
        job.in_words(),
        f"{_FILE} was checked against {checked}"
        if checked
        else f"{_FILE} was not checked against Batch's API: that needs"
        " requirements-launch.txt",
      ),
    )

  def list(self) -> Plan:
    return Plan((self._gcloud("list", "--filter=labels.app=tooldev-jax"),))

  def logs(self, name: str) -> Plan:
    check_name(name)
    # A job's uid is its name and random characters.
    wanted = f'labels.job_uid=~"^{name}-" AND logName:batch_task_logs'
    return Plan(
      (
        (
          # Not only those of the last day.
          *("gcloud", "logging", "read", wanted, "--freshness=30d"),
          "--order=asc",
          "--format=value(timestamp,textPayload)",
          *self._project(),
        ),
      )
    )

  def cancel(self, name: str) -> Plan:
    check_name(name)
    return Plan((self._gcloud("delete", name, "--quiet"),))

  def job(self, job: Job) -> dict[str, Any]:
    """The document. Its 64-bit numbers are texts, as JSON has it there."""
    several = job.hosts > 1
    group: dict[str, Any] = {
      "taskCount": str(job.hosts),
      "parallelism": str(job.hosts),
      "taskCountPerNode": "1",
      "taskSpec": self._task(job),
    }
    if several:
      group["requireHostsFile"] = True
    return {
      "taskGroups": [group],
      "allocationPolicy": self._allocation(job),
      "labels": job.all_labels,
      "logsPolicy": {"destination": "CLOUD_LOGGING"},
    }

  def _task(self, job: Job) -> dict[str, Any]:
    exits = [_EXIT_SPOT_PREEMPTED, *job.exits_to_restart]
    return {
      "runnables": _runnables(job),
      "maxRetryCount": job.restarts,
      "maxRunDuration": f"{self.max_run_duration}s",
      # Where one says RETRY_TASK, all other failures are final.
      "lifecyclePolicies": [
        {"action": "RETRY_TASK", "actionCondition": {"exitCodes": exits}}
      ],
      "volumes": [
        {
          "gcs": {"remotePath": job.bucket},
          "mountPath": f"/mnt/disks/{job.bucket}",
          "mountOptions": ["--implicit-dirs"],
        }
      ],
    }

  def _allocation(self, job: Job) -> dict[str, Any]:
    policy: dict[str, Any] = {
      "machineType": job.accelerator.machine,
      "provisioningModel": _MODELS[job.provisioning],
      "bootDisk": {"image": "batch-debian", "sizeGb": str(self.boot_disk_gb)},
    }
    if job.provisioning == "flex":
      policy["reservation"] = "NO_RESERVATION"
    allocation: dict[str, Any] = {
      "instances": [{"installGpuDrivers": True, "policy": policy}],
      "location": {"allowedLocations": [f"regions/{self.region}"]},
      "labels": job.all_labels,
    }
    if self.service_account:
      allocation["serviceAccount"] = {"email": self.service_account}
    return allocation

  def _gcloud(self, verb: str, *arguments: str) -> tuple[str, ...]:
    return (
      *("gcloud", "batch", "jobs", verb, *arguments),
      f"--location={self.region}",
      *self._project(),
    )

  def _project(self) -> tuple[str, ...]:
    return (f"--project={self.project}",) if self.project else ()


def _runnables(job: Job) -> list[dict[str, Any]]:
  container: dict[str, Any] = {
    "imageUri": job.image,
    "options": "--runtime=nvidia --network=host --shm-size=16g",
  }
  mount = f"/mnt/disks/{job.bucket}"
  if job.hosts == 1:
    entry, *rest = job.command()
    return [{"container": container | {"entrypoint": entry, "commands": rest}}]
  commands = ["-c", _START_PROCESS, "start", *job.command()]
  container |= {
    "entrypoint": "bash",
    "commands": commands,
    # Where one is named, the others are not mounted by themselves.
    "volumes": [
      f"{mount}:{mount}",
      f"{_PROCESSES_FOLDER}:{_PROCESSES_FOLDER}:ro",
    ],
  }
  return [{"script": {"text": _FIND_PROCESSES}}, {"container": container}]
