"""Documents and commands against Google's own descriptions of its APIs.

They come with google-api-python-client: bash launch/test.sh launch.
"""

import copy

import pytest

from launch.platforms import schema, tpu_vm
from launch.platforms.batch import Batch
from launch.platforms.tpu_vm import TpuVm
from tests.launch.examples import job

pytestmark = pytest.mark.skipif(
  schema.discovery_folder() is None,
  reason="google-api-python-client is not installed (requirements-launch.txt)",
)


@pytest.mark.parametrize("provisioning", ["standard", "spot", "flex"])
@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("accelerator", ["l4-1", "a100-40gb-16", "h100-8"])
def test_all_kinds_of_jobs_are_valid_for_batch(
  accelerator, slices, provisioning
):
  platform = Batch(
    region="us-central1", service_account="runner@mine.iam.gserviceaccount.com"
  )
  plan = platform.submit(
    job(accelerator, slices=slices, provisioning=provisioning)
  )
  assert "discovery document (batch.v1, Job)" in plan.notes[-1]


def _set(document, path, value):
  *parents, last = path
  for key in parents:
    document = document[key]
  document[last] = value


_TASK = ("taskGroups", 0, "taskSpec")


@pytest.mark.parametrize(
  ("path", "value", "told"),
  [
    (("taskGroups", 0, "requireHostFile"), True, "requireHostFile"),
    (("taskGroups", 0, "taskCount"), 2, "2 is not of type"),
    ((*_TASK, "maxRetryCount"), "ten", "ten"),
    ((*_TASK, "lifecyclePolicies", 0, "action"), "RETRY", "RETRY"),
    ((*_TASK, "runnables", 0, "container", "image"), "x", "image"),
    (
      ("allocationPolicy", "instances", 0, "policy", "provisioningModel"),
      "FLEX",
      "FLEX",
    ),
    (("allocationPolicy", "instances", 0, "installGpuDriver"), True, "Driver"),
  ],
)
def test_a_field_that_batch_would_refuse_is_found(path, value, told):
  document = copy.deepcopy(Batch(region="us-central1").job(job("h100-8")))
  _set(document, path, value)
  with pytest.raises(schema.InvalidDocumentError) as wrong:
    schema.check_google("batch.v1", "Job", document)
  assert told in str(wrong.value)


def _body(command):
  """The request that gcloud makes of a command to create a queued resource."""
  flags = dict(
    word.removeprefix("--").partition("=")[::2] for word in command[6:]
  )
  key, _, file = flags["metadata-from-file"].partition("=")
  node = {
    "acceleratorType": flags["accelerator-type"],
    "runtimeVersion": flags["runtime-version"],
    "labels": dict(x.split("=") for x in flags["labels"].split(",")),
    "metadata": {key: file},
  }
  spec = {"parent": "projects/mine/locations/us-east5-a", "node": node}
  if "node-count" in flags:
    spec["multisliceParams"] = {
      "nodeCount": int(flags["node-count"]),
      "nodeIdPrefix": flags["node-prefix"],
    }
  else:
    spec["nodeId"] = flags["node-id"]
  body = {"tpu": {"nodeSpec": [spec]}}
  if "spot" in flags:
    body["spot"] = {}
  if "valid-until-duration" in flags:
    body["queueingPolicy"] = {
      "validUntilDuration": flags["valid-until-duration"]
    }
  return body


@pytest.mark.parametrize("provisioning", ["standard", "spot"])
@pytest.mark.parametrize("slices", [1, 2])
def test_queued_resources_are_what_the_tpu_api_takes(slices, provisioning):
  platform = TpuVm(zone="us-east5-a", valid_until="3600s")
  plan = platform.submit(job(slices=slices, provisioning=provisioning))
  (command,) = plan.commands
  told = schema.check_google("tpu.v2", "QueuedResource", _body(command))
  assert "tpu.v2" in told


def test_states_and_columns_are_those_of_the_tpu_api():
  schemas = schema.discovery_document("tpu.v2")["schemas"]
  states = schemas["QueuedResourceState"]["properties"]["state"]["enum"]
  assert set(tpu_vm.ENDED) < set(states)
  node = schemas["Node"]["properties"]
  assert {"state", "health", "acceleratorType", "upcomingMaintenance"} < set(
    node
  )
  assert "windowStartTime" in schemas["UpcomingMaintenance"]["properties"]


def test_gke_nodes_are_had_as_spot_and_as_flex_start():
  node = schema.discovery_document("container.v1")["schemas"]["NodeConfig"]
  assert {"spot", "flexStart", "maxRunDuration"} < set(node["properties"])
