"""JobSets, against JobSet's own definition."""

import copy
import json
import re

import pytest

from launch import errors
from launch.platforms import schema
from launch.platforms.gke import Gke
from tests.launch.examples import AWKWARD, job


def _pod(document):
  (run,) = document["spec"]["replicatedJobs"]
  return run["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("provisioning", ["standard", "spot", "flex"])
@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize(
  "accelerator", ["v4-8", "v5e-1", "v6e-256", "v5p-128", "tpu7x-16", "h100-8"]
)
def test_all_kinds_of_jobs_are_valid_jobsets(accelerator, slices, provisioning):
  platform = Gke(queue="training", service_account="runner")
  plan = platform.submit(
    job(accelerator, slices=slices, provisioning=provisioning)
  )
  document = json.loads(plan.files["jobset.json"])
  assert "JobSet resource definition" in schema.check_jobset(document)
  assert plan.commands == (
    ("kubectl", "--namespace=default", "create", "-f", "jobset.json"),
  )


def test_slices_are_jobs_and_hosts_are_pods():
  document = Gke().jobset(job("v6e-16", slices=2))
  (run,) = document["spec"]["replicatedJobs"]
  spec = run["template"]["spec"]
  assert run["replicas"] == 2
  assert spec["parallelism"] == spec["completions"] == 4
  exclusive = "alpha.jobset.sigs.k8s.io/exclusive-topology"
  pool = "cloud.google.com/gke-nodepool"
  assert document["metadata"]["annotations"] == {exclusive: pool}
  pod = _pod(document)
  assert pod["nodeSelector"] == {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
    "cloud.google.com/gke-tpu-topology": "4x4",
  }
  assert (pod["hostNetwork"], pod["dnsPolicy"]) == (
    True,
    "ClusterFirstWithHostNet",
  )
  (container,) = pod["containers"]
  assert container["resources"] == {"limits": {"google.com/tpu": 4}}
  assert [x["containerPort"] for x in container["ports"]] == [8471, 8080]
  assert container["command"][-1] == "--distributed"
  assert pod["terminationGracePeriodSeconds"] >= 120


def test_one_slice_has_the_pods_own_network_and_one_host_is_alone():
  pod = _pod(Gke().jobset(job("v5e-1")))
  assert "hostNetwork" not in pod
  assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": 1}
  assert "--distributed" not in pod["containers"][0]["command"]


def test_gpu_machines_are_pods_of_one_job_that_meet_at_the_first():
  document = Gke().jobset(job("h100-8", slices=2))
  (run,) = document["spec"]["replicatedJobs"]
  assert run["replicas"] == 1
  assert run["template"]["spec"]["completions"] == 2
  (container,) = _pod(document)["containers"]
  assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}
  assert container["command"][-3:] == [
    "--coordinator=demo-run-0-0.demo:8476",
    "--process_count=2",
    "--process_index=$(PROCESS_INDEX)",
  ]
  assert [x["name"] for x in container["env"]] == ["PROCESS_INDEX"]


def _expand(word: str, known: dict[str, str]) -> str:
  """As Kubernetes does with the words of a command."""
  return re.sub(
    r"\$(\$|\((\w+)\))",
    lambda m: "$" if m[1] == "$" else known.get(m[2], m[0]),
    word,
  )


def test_overrides_reach_the_run_as_they_were_given():
  (container,) = _pod(Gke().jobset(job("h100-8", slices=2)))["containers"]
  known = {"HOME": "/root", "PROCESS_INDEX": "1"}
  words = [_expand(word, known) for word in container["command"]]
  assert AWKWARD in words
  assert words[-1] == "--process_index=1"


def _what_follows(document, rule):
  """The action of the first failure rule that a failed job's message meets."""
  message = f"Container run for pod a/b failed matching FailJob rule at {rule}"
  reason = "PodFailurePolicy" if rule else "BackoffLimitExceeded"
  for known in document["spec"]["failurePolicy"]["rules"]:
    reasons = known.get("onJobFailureReasons", [reason])
    patterns = known.get("onJobFailureMessagePatterns", [""])
    if reason in reasons and any(re.search(x, message) for x in patterns):
      return known["action"]


def test_evictions_restart_uncounted_interruptions_counted_and_bugs_never():
  document = Gke().jobset(job(restarts=4))
  (run,) = document["spec"]["replicatedJobs"]
  spec = run["template"]["spec"]
  evicted, interrupted = spec["podFailurePolicy"]["rules"]
  assert evicted["onPodConditions"] == [
    {"type": "DisruptionTarget", "status": "True"}
  ]
  assert interrupted["onExitCodes"]["values"] == [errors.EXIT_PREEMPTED, 134]
  assert spec["backoffLimit"] == 0
  assert _pod(document)["restartPolicy"] == "Never"
  ignore = "RestartJobSetAndIgnoreMaxRestarts"
  assert _what_follows(document, "index 0") == ignore
  assert _what_follows(document, "index 1") == "RestartJobSet"
  assert _what_follows(document, "") == "FailJobSet"
  assert document["spec"]["failurePolicy"]["maxRestarts"] == 4


def test_a_process_alone_has_no_other_to_lose():
  document = Gke().jobset(job("l4-1"))
  (run,) = document["spec"]["replicatedJobs"]
  _, interrupted = run["template"]["spec"]["podFailurePolicy"]["rules"]
  assert interrupted["onExitCodes"]["values"] == [errors.EXIT_PREEMPTED]


def test_queues_and_flex_start_are_asked_for():
  document = Gke(queue="training", max_run_duration=3600).jobset(
    job(provisioning="flex")
  )
  metadata = document["metadata"]
  assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == "training"
  assert (
    metadata["annotations"]["provreq.kueue.x-k8s.io/maxRunDurationSeconds"]
    == "3600"
  )
  selector = _pod(document)["nodeSelector"]
  assert selector["cloud.google.com/gke-flex-start"] == "true"


def _set(document, path, value):
  *parents, last = path
  for key in parents:
    document = document[key]
  document[last] = value


_JOB = ("spec", "replicatedJobs", 0, "template", "spec")


@pytest.mark.parametrize(
  ("path", "value", "told"),
  [
    (("spec", "failurePolicy", "maxRestart"), 3, "maxRestart"),
    (("spec", "failurePolicy", "rules", 0, "action"), "Restart", "Restart"),
    ((*_JOB, "completions"), "four", "four"),
    ((*_JOB, "podFailurePolicy", "rules", 0, "onExitCode"), {}, "onExitCode"),
    ((*_JOB, "template", "spec", "hostnetwork"), True, "hostnetwork"),
    (
      (*_JOB, "template", "spec", "containers", 0, "comand"),
      ["python"],
      "comand",
    ),
    (("metadata", "labels", "x"), 1, "1 is not of type"),
    (("kind",), "JobSets", "JobSet"),
  ],
)
def test_a_wrong_field_is_found_without_a_cluster(path, value, told):
  document = copy.deepcopy(Gke().jobset(job()))
  _set(document, path, value)
  with pytest.raises(schema.InvalidDocumentError) as wrong:
    schema.check_jobset(document)
  assert told in str(wrong.value)


def test_numbers_and_percentages_are_both_fine_where_kubernetes_says_so():
  document = Gke().jobset(job())
  limits = ("template", "spec", "containers", 0, "resources", "limits")
  for value in (4, "4"):
    _set(document, (*_JOB, *limits, "google.com/tpu"), value)
    schema.check_jobset(document)


def test_other_verbs_are_commands_of_kubectl():
  platform = Gke(context="mine", namespace="team")
  begin = ("kubectl", "--context=mine", "--namespace=team")
  assert platform.cancel("demo").commands == (
    (*begin, "delete", "jobset", "demo"),
  )
  assert platform.list().commands == (
    (*begin, "get", "jobsets", "-l", "app=tooldev-jax"),
  )
  (logs,) = platform.logs("demo").commands
  assert logs[:5] == (*begin, "logs", "-f")
  assert "jobset.sigs.k8s.io/jobset-name=demo" in logs[-1]
