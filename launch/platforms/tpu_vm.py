"""Cloud TPU VMs: one queued resource a run, handed to gcloud.

Each machine runs the same script at every boot: it pulls the image and starts
the run, again if the run was interrupted. A spot resource that was preempted
is SUSPENDED for good and eats quota: submitting again deletes it first, and
the new one goes on in the same --workdir.
"""

import dataclasses
import re
import shlex
from typing import Any, ClassVar

from launch.platforms.job import (
  Job,
  Plan,
  Stale,
  check_duration,
  check_name,
  check_zone,
)
from tooldev_jax.errors import UserError

_FILE = "startup.sh"
_DURATION = re.compile(r"[1-9][0-9]*[smhd]")
# States of a queued resource that is of no more use, of the API tpu.v2.
ENDED = ("SUSPENDING", "SUSPENDED", "FAILED")
# Eight chips that are one machine here, and two nodes on GKE.
_ONE_HOST = "2x4"


@dataclasses.dataclass(frozen=True)
class TpuVm:
  """A zone with TPUs.

  Attributes:
    zone: as "us-east5-a".
    project: "" takes gcloud's.
    runtime_version: software of the machines; "" takes the chip's own.
    valid_until: how long to wait for chips at most, as "6h"; "" for ever.
    reserved: whether chips of a reservation are taken.
    service_account: of the machines; "" takes Compute Engine's default.
    max_run_duration: seconds that flex-start chips are asked for.
  """

  JOB_FLAGS: ClassVar = frozenset(
    {"accelerator", "slices", "spot", "flex", "image", "labels", "restarts"}
  )

  zone: str = ""
  project: str = ""
  runtime_version: str = ""
  valid_until: str = ""
  reserved: bool = False
  service_account: str = ""
  max_run_duration: int = 7 * 24 * 3600

  def __post_init__(self) -> None:
    check_zone(self.zone)
    check_duration("max_run_duration", self.max_run_duration, 7 * 24 * 3600)
    if self.valid_until and not _DURATION.fullmatch(self.valid_until):
      raise UserError(
        f"--valid_until: {self.valid_until!r} is no duration, as 90m or 6h"
      )

  def submit(self, job: Job) -> Plan:
    x = job.accelerator
    if not x.is_tpu:
      raise UserError(
        f"--accelerator: {x.name} is no TPU; use --platform=batch or gke"
      )
    if not x.runtime:
      raise UserError(
        f"--accelerator: {x.name} is not had as a TPU VM; use --platform=gke"
      )
    if self.reserved and job.provisioning != "standard":
      raise UserError(f"--reserved and --{job.provisioning} exclude each other")
    if x.topology == _ONE_HOST:
      whole = dataclasses.replace(x, hosts=1)
      job = dataclasses.replace(job, accelerator=whole)
    one = self._resource("describe", job.name, "--format=value(state.state)")
    return Plan(
      commands=(self._create(job),),
      files={_FILE: startup_script(job)},
      notes=(job.in_words(), f"{_FILE} runs on every machine, at every boot"),
      stale=Stale(one, ENDED, self.cancel(job.name).commands[0]),
    )

  def list(self) -> Plan:
    """Resources with their state, then machines with what threatens them."""
    resources = (
      "table(name.basename(),state.state,tpu.nodeSpec[0].node.acceleratorType"
      ":label=TYPE,createTime)"
    )
    nodes = (
      "table(name.basename(),acceleratorType.basename(),state,health,"
      "upcomingMaintenance.windowStartTime:label=UPCOMING_MAINTENANCE)"
    )
    return Plan(
      (
        self._resource("list", f"--format={resources}"),
        self._tpus("tpu-vm", "list", f"--format={nodes}"),
      )
    )

  def logs(self, name: str) -> Plan:
    """Those of process 0, which is the one that reports."""
    check_name(name)
    follow = "--command=sudo docker logs --follow tooldev"
    return Plan((self._tpus("tpu-vm", "ssh", name, "--worker=0", follow),))

  def cancel(self, name: str) -> Plan:
    check_name(name)
    return Plan((self._resource("delete", name, "--force", "--quiet"),))

  def _create(self, job: Job) -> tuple[str, ...]:
    x = job.accelerator
    labels = ",".join(f"{key}={value}" for key, value in job.all_labels.items())
    flags = [
      f"--accelerator-type={x.name}",
      f"--runtime-version={self.runtime_version or x.runtime}",
      f"--labels={labels}",
      f"--metadata-from-file=startup-script={_FILE}",
    ]
    if job.slices > 1:
      # Nodes are then named NAME-0, NAME-1, …
      flags += [f"--node-count={job.slices}", f"--node-prefix={job.name}"]
    else:
      flags.append(f"--node-id={job.name}")
    if self.valid_until:
      flags.append(f"--valid-until-duration={self.valid_until}")
    if self.reserved:
      flags.append("--reserved")
    if self.service_account:
      flags.append(f"--service-account={self.service_account}")
    if job.provisioning == "spot":
      flags.append("--spot")
    if job.provisioning == "flex":
      # In gcloud's alpha commands alone.
      flags += [
        "--provisioning-model=flex-start",
        f"--max-run-duration={self.max_run_duration}s",
      ]
    command = self._resource("create", job.name, *flags)
    if job.provisioning == "flex":
      return ("gcloud", "alpha", *command[1:])
    return command

  def _resource(self, verb: str, *arguments: str) -> tuple[str, ...]:
    return self._tpus("queued-resources", verb, *arguments)

  def _tpus(self, *arguments: str) -> tuple[str, ...]:
    project = (f"--project={self.project}",) if self.project else ()
    command = ("gcloud", "compute", "tpus", *arguments)
    return (*command, f"--zone={self.zone}", *project)


def startup_script(job: Job) -> str:
  """What each machine does at every boot, in bash."""
  command = job.command(*(("--distributed",) if job.hosts > 1 else ()))
  again = "|".join(map(str, job.exits_to_restart))
  values: dict[str, Any] = {
    "image": shlex.quote(job.image),
    "registry": shlex.quote(job.image.partition("/")[0]),
    "command": shlex.join(command),
    "again": again,
    "restarts": job.restarts,
  }
  return _SCRIPT.format(**values)


# TPU devices of a VM belong to root. Docker waits for the run to save.
_SCRIPT = """\
#!/bin/bash
# Written by launch.submit.
set -u
image={image}
registry={registry}
restarts=0

case "$registry" in
  *.pkg.dev | *gcr.io) gcloud auth configure-docker "$registry" --quiet ;;
esac
until docker pull "$image"; do sleep 10; done

while :; do
  docker rm --force tooldev >/dev/null 2>&1
  docker run --name tooldev --privileged --user root --network host \\
    --stop-timeout 120 "$image" \\
    {command}
  status=$?
  case "$status" in
    {again}) restarts=$((restarts + 1)) ;;
    *) break ;;
  esac
  [ "$restarts" -le {restarts} ] || break
  echo "tooldev: status $status, start $restarts of {restarts}"
done
echo "tooldev: ended with status $status"
exit "$status"
"""
