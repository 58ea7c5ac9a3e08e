"""The same training on 1, 2, 4 and 8 devices, in several mesh shapes."""

import numpy as np
import pytest

from tests.multihost.worker import Job, launch

MESHES = [(1, 1, 1), (1, 1, 2), (2, 2, 1), (2, 2, 2), (1, 8, 1)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("devices")
  name = lambda mesh: str(folder / "x".join(map(str, mesh)))
  jobs = [Job(name(mesh), mesh) for mesh in MESHES]
  # Saved on one shape, restored on another.
  moved = str(folder / "moved")
  jobs += [Job(moved, (2, 2, 2), terminate_at=1), Job(moved, (1, 1, 2))]
  for lora in (True, False):
    jobs.append(Job("", (2, 2, 2), lora=lora, layout=True))
  return launch(jobs, devices=8)[0]


def test_losses_and_data_order_are_equal_on_every_mesh(runs):
  first = runs[0]
  assert len(first["losses"]) == 4
  for other in runs[1 : len(MESHES)]:
    np.testing.assert_allclose(other["losses"], first["losses"], rtol=1e-5)
    assert other["seen"] == first["seen"]


def test_a_checkpoint_restores_on_another_mesh(runs):
  stopped, resumed = runs[len(MESHES) : len(MESHES) + 2]
  assert 0 < stopped["stopped"] < len(runs[0]["losses"])
  np.testing.assert_allclose(resumed["losses"], runs[0]["losses"], rtol=1e-5)


@pytest.mark.parametrize("run", [-2, -1], ids=["adapter", "all parameters"])
def test_moments_lie_where_their_parameters_do(runs, run):
  parts = runs[run]["parts"]
  parameters = {
    path.removeprefix(".trained"): sizes
    for path, sizes in parts.items()
    if path.startswith(".trained")
  }
  for moment in ("mu", "nu"):
    kept = {
      path.split(f".{moment}")[1]: sizes
      for path, sizes in parts.items()
      if path.startswith(".optimizer") and f".{moment}[" in path
    }
    assert kept == parameters
  whole = [path for path, (size, part) in parameters.items() if size == part]
  assert all("norm" in path for path in whole)
  assert len(whole) < len(parameters)
