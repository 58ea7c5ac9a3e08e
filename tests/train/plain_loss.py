"""The loss by its definition, with all logits at once."""

import jax
import jax.numpy as jnp


def plain_loss(
  hidden_BxTxD: jax.Array,
  head_DxV: jax.Array,
  positions_BxC: jax.Array,
  ids_BxC: jax.Array,
  weights_BxC: jax.Array,
  soft_cap: float | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Weighted sum of `-log p(id)` and the sum of the weights."""
  logits = jnp.einsum(
    "btd,dv->btv", hidden_BxTxD, head_DxV, preferred_element_type=jnp.float32
  )
  if soft_cap:
    logits = soft_cap * jnp.tanh(logits / soft_cap)
  log_p = jax.nn.log_softmax(logits)
  picked_BxCxV = jnp.take_along_axis(log_p, positions_BxC[..., None], axis=1)
  picked_BxC = jnp.take_along_axis(picked_BxCxV, ids_BxC[..., None], axis=2)
  return -(picked_BxC[..., 0] * weights_BxC).sum(), weights_BxC.sum()
