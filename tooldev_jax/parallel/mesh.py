"""The device mesh: three named axes over all chips of a run."""

import math
from collections.abc import Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from tooldev_jax.config import MeshConfig
from tooldev_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")


def mesh_shape(config: MeshConfig, num_devices: int) -> tuple[int, int, int]:
  """The three axis sizes for `num_devices`; raises UserError if none fit."""
  sizes = {axis: getattr(config, axis) for axis in AXES}
  free = [axis for axis, size in sizes.items() if size == -1]
  taken = math.prod(size for size in sizes.values() if size != -1)
  if num_devices % taken or (not free and taken != num_devices):
    wanted = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    raise UserError(
      f"mesh {wanted} does not divide the {num_devices} devices at hand; "
      f"the sizes must multiply to {num_devices}."
    )
  if free:
    sizes[free[0]] = num_devices // taken
  return (sizes["data"], sizes["fsdp"], sizes["tensor"])


def make_mesh(
  config: MeshConfig, devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """Builds the mesh, neighbours in the network next to one another.

  Args:
    config: the axis sizes.
    devices: the devices to use; all devices of the run if None. Devices of a
      topology description (chips that are not attached) do as well.

  Returns:
    A mesh with axes ("data", "fsdp", "tensor"). The axis types are Auto:
    under jax's newer default, Explicit, `with_sharding_constraint` asserts
    instead of asking.
  """
  devices = list(jax.devices() if devices is None else devices)
  grid = mesh_utils.create_device_mesh(
    mesh_shape(config, len(devices)), devices, allow_split_physical_axes=True
  )
  return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))
