"""Mesh shapes: what fills, what divides, what is refused."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType

from tooldev_jax.errors import UserError
from tooldev_jax.parallel.mesh import MeshConfig, make_mesh


@given(st.tuples(*[st.integers(1, 4)] * 3), st.sampled_from([None, 0, 1, 2]))
def test_minus_one_fills_what_the_others_leave(sizes, free):
  given_sizes = [
    -1 if axis == free else size for axis, size in enumerate(sizes)
  ]
  devices = sizes[0] * sizes[1] * sizes[2]
  assert MeshConfig(*given_sizes).shape(devices) == sizes


@pytest.mark.parametrize(
  ("config", "message"),
  [
    (MeshConfig(data=3), "does not divide the 8 devices"),
    (MeshConfig(data=2, fsdp=2, tensor=1), "must multiply to 8"),
    (MeshConfig(data=-1, fsdp=-1), "mesh.data and mesh.fsdp are both -1"),
    (MeshConfig(tensor=0), "mesh.tensor is 0"),
    (MeshConfig(tensor=-2), "mesh.tensor is -2"),
  ],
)
def test_refuses_by_name(config, message):
  with pytest.raises(UserError, match=message):
    config.shape(8)


def test_axes_are_auto():
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  assert mesh.axis_names == ("data", "fsdp", "tensor")
  assert mesh.axis_types == (AxisType.Auto,) * 3
