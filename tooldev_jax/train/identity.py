"""How saved values are known again: by their names, settings and checksum."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from tooldev_jax.errors import UserError


class OtherRunError(UserError):
  """A checkpoint or result belongs to another base, config or data."""


def check_identity(
  found: Mapping[str, Any], wanted: Mapping[str, Any], what: str
) -> None:
  """Makes sure that something saved is of this run.

  Raises:
    OtherRunError: it is not; names each field that differs, and both values.
  """
  differ = sorted(
    name for name in {*found, *wanted} if found.get(name) != wanted.get(name)
  )
  if differ:
    lines = [
      f"  {name}: saved {found.get(name)!r}, now {wanted.get(name)!r}"
      for name in differ
    ]
    raise OtherRunError(
      f"{what} belongs to another run:\n"
      + "\n".join(lines)
      + "\nUse the settings it was made with (the rows of a batch follow from"
      " the mesh, too), another name or workdir, or delete it."
    )


def named_leaves(tree: Any) -> dict[str, Any]:
  """The leaves of a tree by their path, as files and messages name them."""
  paths = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): leaf
    for path, leaf in paths
  }


def checksum(arrays: Mapping[str, jax.Array]) -> str:
  """16 hex digits that follow from the values of named arrays.

  They are taken on the devices. Bits are added up as integers, so the result
  is the same on any mesh.
  """
  plain = weighted = 0
  for i, value in enumerate(jax.device_get(_sums(dict(arrays)))):
    if i % 2:
      weighted = (weighted * 31 + int(value)) % 2**32
    else:
      plain = (plain * 31 + int(value)) % 2**32
  return f"{plain:08x}{weighted:08x}"


@jax.jit
def _sums(arrays: Mapping[str, jax.Array]) -> list[jax.Array]:
  """Two wrapping sums a leaf: of its bits, and weighted by their position."""
  sums = []
  for index, name in enumerate(sorted(arrays)):
    x = arrays[name]
    width = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(x, width).astype(jnp.uint32)
    weight = jnp.full(x.shape, 2 * index + 1, jnp.uint32)
    for axis in range(x.ndim):
      weight = weight * jnp.uint32(16777619) + jax.lax.broadcasted_iota(
        jnp.uint32, x.shape, axis
      )
    sums += [bits.sum(dtype=jnp.uint32), (bits * weight).sum(dtype=jnp.uint32)]
  return sums
