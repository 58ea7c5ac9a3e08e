"""Low-rank adapters: W x + scale * B A x, with W frozen.

An adapter is a tree of its own beside the base parameters, with the same
paths and the same leading [blocks] axis: for each targeted linear map two
float32 factors, "a" [blocks, inputs, rank] and "b" [blocks, rank, outputs].
B starts at zero, so a new adapter changes nothing. Source: LoRA,
arXiv 2106.09685; rank-stabilised scale, arXiv 2312.03732.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from tooldev_jax.errors import UserError

LINEAR_MODULES = (
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
)


@dataclasses.dataclass(frozen=True)
class LoraConfig:
  """The shape of an adapter.

  Attributes:
    rank: inner size of the update.
    alpha: numerator of the scale.
    targets: names of the linear maps that get an update, of LINEAR_MODULES.
    rank_stabilised: scale alpha / sqrt(rank) instead of alpha / rank.
  """

  rank: int = 16
  alpha: float = 32.0
  targets: tuple[str, ...] = LINEAR_MODULES
  rank_stabilised: bool = False

  def __post_init__(self) -> None:
    unknown = sorted(set(self.targets) - set(LINEAR_MODULES))
    if unknown or not self.targets:
      raise UserError(
        f"lora.targets has {unknown or 'no entry'}; "
        f"allowed: {', '.join(LINEAR_MODULES)}."
      )
    if self.rank < 1 or not self.alpha > 0:
      raise UserError(
        f"lora.rank={self.rank}, lora.alpha={self.alpha}; both must be "
        "positive."
      )

  @property
  def scale(self) -> float:
    """The factor on the update: the one place where alpha meets rank."""
    root = math.sqrt(self.rank) if self.rank_stabilised else self.rank
    return self.alpha / root

  def targeted(self, module: str | None) -> bool:
    """Whether the linear map of this name gets an update."""
    return module in self.targets

  def std(self, inputs: int) -> float:
    """Standard deviation of a new A: that of PEFT's uniform initialiser."""
    return math.sqrt(1.0 / (3.0 * inputs))


def merge(base: Any, adapter: Any, lora: LoraConfig) -> Any:
  """The base with the adapter added in: W + scale * A B.

  Args:
    base: parameters; targeted kernels are [blocks, inputs, outputs].
    adapter: factors "a" and "b" under the same paths.
    lora: the adapter's shape.

  Returns:
    Parameters of the same dtypes: summed in float32, rounded once. Leaves
    that no adapter touches are the base's own arrays.
  """
  if not isinstance(adapter, dict) or not adapter:
    return base
  if "a" in adapter:
    kernel = base["kernel"]
    update = lora.scale * jnp.einsum(
      "nir,nro->nio",
      adapter["a"],
      adapter["b"],
      precision=jax.lax.Precision.HIGHEST,
      preferred_element_type=jnp.float32,
    )
    merged = (kernel.astype(jnp.float32) + update).astype(kernel.dtype)
    return {**base, "kernel": merged}
  return {
    key: merge(value, adapter[key], lora) if key in adapter else value
    for key, value in base.items()
  }
