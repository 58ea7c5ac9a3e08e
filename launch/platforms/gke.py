"""Google Kubernetes Engine: one JobSet a run, handed to kubectl.

A slice is a job of the set and a machine is a pod. How a pod ended decides what
follows, by two policies that read each other's words:

    evicted (the node is taken away)   all start again, as often as it happens
    75, or 134 in a run of several     all start again, --restarts times
    0                                  done
    anything else                      the run has failed, and is not repeated

`podFailurePolicy` fails the pod's job with a message that names the rule, and
`failurePolicy` tells the rules apart by that message.
"""

import dataclasses
import json
import re
from typing import Any, ClassVar

from launch.platforms import schema
from launch.platforms.job import Job, Plan, check_duration, check_name
from tooldev_jax.errors import UserError

_FILE = "jobset.json"
# The replicated job's name, and the container's.
_RUN = "run"
_COORDINATOR_PORT = 8476
# Of libtpu: between the hosts of a slice, and between slices.
_TPU_PORTS = (8471, 8080)
_MAX_POD_NAME = 63
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclasses.dataclass(frozen=True)
class Gke:
  """A cluster with JobSet installed, and node pools of the accelerator.

  Attributes:
    context: kubectl's; "" takes its current one.
    namespace: Kubernetes namespace.
    queue: Kueue's local queue; "" for none.
    grace_s: seconds a pod has to save when it is evicted.
    max_run_duration: seconds that flex-start nodes are asked for.
    service_account: of Kubernetes, bound to one that may use the bucket.
  """

  JOB_FLAGS: ClassVar = frozenset(
    {"accelerator", "slices", "spot", "flex", "image", "labels", "restarts"}
  )

  context: str = ""
  namespace: str = "default"
  queue: str = ""
  grace_s: int = 120
  max_run_duration: int = 7 * 24 * 3600
  service_account: str = ""

  def __post_init__(self) -> None:
    if not _NAMESPACE.fullmatch(self.namespace):
      raise UserError(f"--namespace: {self.namespace!r} is no namespace")
    if self.queue and not _NAMESPACE.fullmatch(self.queue):
      raise UserError(f"--queue: {self.queue!r} is no name of a local queue")
    check_duration("max_run_duration", self.max_run_duration, 7 * 24 * 3600)
    if self.grace_s < 120:
      raise UserError(
        f"--grace_s: {self.grace_s}; allowed: at least 120, to save in"
      )

  def submit(self, job: Job) -> Plan:
    _check_pod_names(job)
    document = self.jobset(job)
    checked = schema.check_jobset(document)
    return Plan(
      commands=(self._kubectl("create", "-f", _FILE),),
      files={_FILE: json.dumps(document, indent=2)},
      notes=(job.in_words(), f"{_FILE} was checked against {checked}"),
    )

  def list(self) -> Plan:
    return Plan((self._kubectl("get", "jobsets", "-l", "app=tooldev-jax"),))

  def logs(self, name: str) -> Plan:
    """Those of process 0, which is the one that reports."""
    check_name(name)
    pod = (
      f"jobset.sigs.k8s.io/jobset-name={name},jobset.sigs.k8s.io/job-index=0,"
      "batch.kubernetes.io/job-completion-index=0"
    )
    return Plan((self._kubectl("logs", "-f", "--tail=-1", "-l", pod),))

  def cancel(self, name: str) -> Plan:
    check_name(name)
    return Plan((self._kubectl("delete", "jobset", name),))

  def jobset(self, job: Job) -> dict[str, Any]:
    """The document."""
    return {
      "apiVersion": "jobset.x-k8s.io/v1alpha2",
      "kind": "JobSet",
      "metadata": self._metadata(job),
      "spec": {
        "failurePolicy": _failure_policy(job),
        "replicatedJobs": [
          {
            "name": _RUN,
            "replicas": _replicas(job),
            "template": {"spec": self._job_spec(job)},
          }
        ],
      },
    }

  def _metadata(self, job: Job) -> dict[str, Any]:
    labels = job.all_labels
    annotations = {}
    if job.accelerator.is_tpu:
      annotations["alpha.jobset.sigs.k8s.io/exclusive-topology"] = (
        "cloud.google.com/gke-nodepool"
      )
    if self.queue:
      labels["kueue.x-k8s.io/queue-name"] = self.queue
      if job.provisioning == "flex":
        annotations["provreq.kueue.x-k8s.io/maxRunDurationSeconds"] = str(
          self.max_run_duration
        )
    return {
      "name": job.name,
      "namespace": self.namespace,
      "labels": labels,
      "annotations": annotations,
    }

  def _job_spec(self, job: Job) -> dict[str, Any]:
    pods = job.hosts // _replicas(job)
    return {
      "parallelism": pods,
      "completions": pods,
      "completionMode": "Indexed",
      "backoffLimit": 0,
      "podFailurePolicy": {
        "rules": [
          {
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
          },
          {
            "action": "FailJob",
            "onExitCodes": {
              "containerName": _RUN,
              "operator": "In",
              "values": job.exits_to_restart,
            },
          },
        ]
      },
      "template": {
        "metadata": {"labels": job.all_labels},
        "spec": self._pod_spec(job),
      },
    }

  def _pod_spec(self, job: Job) -> dict[str, Any]:
    spec: dict[str, Any] = {
      "restartPolicy": "Never",
      "terminationGracePeriodSeconds": self.grace_s,
      "nodeSelector": _node_selector(job),
      "tolerations": _tolerations(job),
      "containers": [_container(job)],
      # Processes of a machine share more memory than a container's 64 MiB.
      "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }
    if self.service_account:
      spec["serviceAccountName"] = self.service_account
    if job.accelerator.is_tpu and job.slices > 1:
      # Slices talk over the machines' own network.
      spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    return spec

  def _kubectl(self, *arguments: str) -> tuple[str, ...]:
    context = (f"--context={self.context}",) if self.context else ()
    return ("kubectl", *context, f"--namespace={self.namespace}", *arguments)


def _replicas(job: Job) -> int:
  """Jobs in the set: one a TPU slice; GPU machines are pods of one job."""
  return job.slices if job.accelerator.is_tpu else 1


def _failure_policy(job: Job) -> dict[str, Any]:
  def fails(rule: int) -> dict[str, Any]:
    return {
      "onJobFailureReasons": ["PodFailurePolicy"],
      "onJobFailureMessagePatterns": [f"rule at index {rule}$"],
    }

  uncounted = {"action": "RestartJobSetAndIgnoreMaxRestarts"}
  return {
    "maxRestarts": job.restarts,
    "rules": [
      {"name": "evicted", **uncounted, **fails(0)},
      {"name": "interrupted", "action": "RestartJobSet", **fails(1)},
      {"name": "failed", "action": "FailJobSet"},
    ],
  }


def _node_selector(job: Job) -> dict[str, str]:
  x = job.accelerator
  if x.is_tpu:
    selector = {
      "cloud.google.com/gke-tpu-accelerator": x.gke,
      "cloud.google.com/gke-tpu-topology": x.topology,
    }
  else:
    selector = {"cloud.google.com/gke-accelerator": x.gke}
  if job.provisioning == "spot":
    selector["cloud.google.com/gke-spot"] = "true"
  if job.provisioning == "flex":
    selector["cloud.google.com/gke-flex-start"] = "true"
  return selector


def _tolerations(job: Job) -> list[dict[str, str]]:
  resource = "google.com/tpu" if job.accelerator.is_tpu else "nvidia.com/gpu"
  keys = [resource]
  if job.provisioning == "spot":
    keys.append("cloud.google.com/gke-spot")
  if job.provisioning == "flex":
    keys.append("cloud.google.com/gke-queued")
  return [
    {"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in keys
  ]


def _container(job: Job) -> dict[str, Any]:
  x = job.accelerator
  resource = "google.com/tpu" if x.is_tpu else "nvidia.com/gpu"
  flags: tuple[str, ...] = ()
  container: dict[str, Any] = {
    "name": _RUN,
    "image": job.image,
    "resources": {"limits": {resource: x.chips_a_host}},
    "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
  }
  if x.is_tpu:
    container["ports"] = [{"containerPort": port} for port in _TPU_PORTS]
    # A node's TPU devices belong to root.
    container["securityContext"] = {"privileged": True, "runAsUser": 0}
    # GKE tells each pod of a slice who the others are, and JAX asks it.
    flags = ("--distributed",) if job.hosts > 1 else ()
  elif job.hosts > 1:
    container["env"] = [_process_index()]
    container["ports"] = [{"containerPort": _COORDINATOR_PORT}]
    flags = (
      f"--coordinator={job.name}-{_RUN}-0-0.{job.name}:{_COORDINATOR_PORT}",
      f"--process_count={job.hosts}",
    )
  command = [_literal(word) for word in job.command(*flags)]
  if "env" in container:
    command.append("--process_index=$(PROCESS_INDEX)")
  return container | {"command": command}


def _process_index() -> dict[str, Any]:
  path = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
  source = {"fieldRef": {"fieldPath": path}}
  return {"name": "PROCESS_INDEX", "valueFrom": source}


def _literal(word: str) -> str:
  """A word that Kubernetes, which expands $(NAME) in commands, leaves as is."""
  return word.replace("$", "$$")


def _check_pod_names(job: Job) -> None:
  replicas = _replicas(job)
  # Five random characters end a pod's name.
  pod = f"{job.name}-{_RUN}-{replicas - 1}-{job.hosts // replicas - 1}-00000"
  if len(pod) > _MAX_POD_NAME:
    raise UserError(
      f"--name: {job.name!r} is {len(pod) - _MAX_POD_NAME} characters too long:"
      f" pods would be named {pod}, and may have {_MAX_POD_NAME}"
    )
