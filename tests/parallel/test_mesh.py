"""Mesh shapes: what fills, what divides, what is refused."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType

from tooldev_jax.config import MeshConfig
from tooldev_jax.errors import UserError
from tooldev_jax.parallel.mesh import make_mesh, mesh_shape


@given(st.tuples(*[st.integers(1, 4)] * 3), st.sampled_from([None, 0, 1, 2]))
def test_minus_one_fills_what_the_others_leave(sizes, free):
  given_sizes = [
    -1 if axis == free else size for axis, size in enumerate(sizes)
  ]
  devices = sizes[0] * sizes[1] * sizes[2]
  assert mesh_shape(MeshConfig(*given_sizes), devices) == sizes


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ({"data": 3}, "does not divide the 8 devices"),
    ({"data": 2, "fsdp": 2, "tensor": 1}, "must multiply to 8"),
    ({"data": -1, "fsdp": -1}, "mesh.data and fsdp: both -1; only one"),
    ({"tensor": 0}, "mesh.tensor: 0; allowed: a positive number or -1"),
    ({"tensor": -2}, "mesh.tensor: -2; allowed: at least -1"),
  ],
)
def test_refuses_by_name(config, message):
  with pytest.raises(UserError, match=message):
    mesh_shape(MeshConfig(**config), 8)


def test_axes_are_auto():
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  assert mesh.axis_names == ("data", "fsdp", "tensor")
  assert mesh.axis_types == (AxisType.Auto,) * 3
