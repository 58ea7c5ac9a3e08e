"""Low-rank adapters: W x + scale * B A x, with W frozen.

An adapter is a tree of its own beside the base parameters, with the same
paths and the same leading [blocks] axis: for each targeted linear map two
float32 factors, "a" [blocks, inputs, rank] and "b" [blocks, rank, outputs].
B starts at zero, so a new adapter changes nothing. Source: LoRA,
arXiv 2106.09685; rank-stabilised scale, arXiv 2312.03732.
"""

from typing import Any

import jax
import jax.numpy as jnp

from tooldev_jax.config import LoraConfig


def merge(base: Any, adapter: Any, lora: LoraConfig, dtype: Any = None) -> Any:
  """The base with the adapter added in: W + scale * A B.

  Args:
    base: parameters; targeted kernels are [blocks, inputs, outputs].
    adapter: factors "a" and "b" under the same paths.
    lora: the adapter's shape.
    dtype: of the result; None for each parameter's own.

  Returns:
    Parameters, summed in float32 and rounded once. What neither an adapter
    nor `dtype` changes are the base's own arrays.
  """
  if not isinstance(base, dict):
    return base if dtype is None else base.astype(dtype)
  if "a" in adapter:
    kernel = base["kernel"]
    update = lora.scale * jnp.einsum(
      "nir,nro->nio",
      adapter["a"],
      adapter["b"],
      precision=jax.lax.Precision.HIGHEST,
      preferred_element_type=jnp.float32,
    )
    merged = (kernel.astype(jnp.float32) + update).astype(dtype or kernel.dtype)
    return merge(base, {}, lora, dtype) | {"kernel": merged}
  return {
    key: merge(value, adapter.get(key, {}), lora, dtype)
    for key, value in base.items()
  }
