"""The soft cap that Gemma 2 puts on logits, of attention and of the head."""

import jax
import jax.numpy as jnp


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
