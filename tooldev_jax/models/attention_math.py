"""What every backend of attention, and the sampler's cache, has to agree on."""

import jax
import jax.numpy as jnp

# A logit that no softmax notices. Finite: minus infinity would make NaN of a
# query that sees none of the keys it is shown.
MASKED = -1e30


def visible_TxS(
  index_T: jax.Array,
  index_S: jax.Array,
  ids_T: jax.Array,
  ids_S: jax.Array,
  window: int | None,
) -> jax.Array:
  """Which keys each query sees: its segment's, up to itself, in the window.

  Args:
    index_T, index_S: positions of queries and keys in the row.
    ids_T, ids_S: their segments; axes in front, as the rows', stay in front.
    window: of the layer.
  """
  distance = index_T[:, None] - index_S[None, :]
  seen = distance >= 0
  if window is not None:
    seen &= distance < window
  return seen & (ids_T[..., :, None] == ids_S[..., None, :])


def fill_up(x_BxT: jax.Array, multiple: int) -> jax.Array:
  """Zeros at the end of axis 1, to a multiple: one more segment of padding."""
  missing = -x_BxT.shape[1] % multiple
  return jnp.pad(x_BxT, [(0, 0), (0, missing)] + [(0, 0)] * (x_BxT.ndim - 2))


def soft_cap(x: jax.Array, cap: float | None) -> jax.Array:
  """cap * tanh(x / cap): keeps x within (-cap, cap); None keeps x."""
  return soft_cap_and_slope(x, cap)[0]


def soft_cap_and_slope(
  x: jax.Array, cap: float | None
) -> tuple[jax.Array, jax.Array | None]:
  """`soft_cap`, and its derivative at each x; None where there is no cap."""
  if cap is None:
    return x, None
  tanh = jnp.tanh(x / cap)
  return cap * tanh, 1 - tanh**2
