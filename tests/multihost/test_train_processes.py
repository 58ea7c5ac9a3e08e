"""The same training by 2 and by 4 processes, with a preemption in between."""

import numpy as np
import pytest

from tests.multihost.worker import Job, launch


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  folder = str(tmp_path_factory.mktemp("alone"))
  return launch([Job(folder, (1, 1, 1))], devices=1)[0][0]


def _rows(outputs, job):
  """Which rows all processes together read."""
  return {k: v for output in outputs for k, v in output[job]["seen"].items()}


@pytest.mark.parametrize(
  ("processes", "mesh"), [(2, (1, 2, 2)), (4, (2, 2, 1))]
)
def test_processes_make_the_losses_of_one(tmp_path, alone, processes, mesh):
  outputs = launch([Job(str(tmp_path), mesh)], devices=4, processes=processes)
  for output in outputs:
    np.testing.assert_allclose(output[0]["losses"], alone["losses"], rtol=1e-5)
  assert len({output[0]["fingerprint"] for output in outputs}) == 1
  assert _rows(outputs, 0) == alone["seen"]


def test_sigterm_of_one_stops_all_and_fewer_processes_go_on(tmp_path, alone):
  job = Job(str(tmp_path), (2, 2, 1), terminate_at=0)
  stopped = launch([job], devices=4, processes=4)
  steps = {output[0]["stopped"] for output in stopped}
  assert len(steps) == 1
  resumed = launch([Job(str(tmp_path), (1, 2, 1))], devices=2, processes=2)
  for output in resumed:
    np.testing.assert_allclose(output[0]["losses"], alone["losses"], rtol=1e-5)
