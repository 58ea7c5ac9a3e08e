"""Which rows a process reads, from where its devices lie in the mesh."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from tooldev_jax.errors import UserError
from tooldev_jax.train.feed import row_slice


class _Sharding:
  """The rows that each of a process's devices would hold."""

  def __init__(self, *rows):
    self._rows = rows

  def addressable_devices_indices_map(self, shape):
    del shape
    return {
      device: (slice(None), slice(*rows), slice(None))
      for device, rows in enumerate(self._rows)
    }


@pytest.mark.parametrize(
  ("rows", "want"),
  [
    ([(0, 8)], (0, 1)),
    ([(0, 2), (2, 4)], (0, 2)),
    ([(4, 6), (6, 8)], (1, 2)),
    # Devices that differ along the tensor axis alone share their rows.
    ([(4, 6), (4, 6)], (2, 4)),
    ([(None, None)], (0, 1)),
  ],
)
def test_a_process_reads_the_block_its_devices_need(rows, want):
  assert row_slice(_Sharding(*rows), (1, 8, 16)) == want


@pytest.mark.parametrize("rows", [[(0, 2), (4, 6)], [(2, 4), (4, 6)]])
def test_rows_that_are_no_equal_block_are_refused(rows):
  with pytest.raises(UserError, match="not one equal block"):
    row_slice(_Sharding(*rows), (1, 8, 16))


def test_one_process_reads_everything():
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
  sharding = jax.sharding.NamedSharding(mesh, PartitionSpec(None, "data"))
  assert row_slice(sharding, (2, 8, 16)) == (0, 1)
