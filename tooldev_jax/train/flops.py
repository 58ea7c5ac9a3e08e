"""The FLOPs of a training step by formula.

The ideal of LoRA is 4 FLOPs a weight and token, not 6. The frozen weights get
no gradient, so each is used twice (forward, and back through the activations)
instead of three times. The embedding is a gather and costs nothing. The head
costs only where a token is trained. Attention is counted over the pairs inside
segments that the causal mask (and a layer's window) allows. Adapters, norms
and recomputation are left out on purpose: they are the overhead over the ideal.
"""

import dataclasses
import math
from typing import Any

import jax
from flax.core import meta

from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import declare


@dataclasses.dataclass(frozen=True)
class IdealFlops:
  """FLOPs of one step from what its batch holds.

  Attributes:
    block_parameters: weights of all blocks that a token is multiplied with.
    head_parameters: width times vocabulary.
    head_width: query heads times head size.
    trains_base: full training (6 a weight) rather than LoRA (4).
  """

  block_parameters: int
  head_parameters: int
  head_width: int
  trains_base: bool

  def of(self, tokens: float, trained_tokens: float, attended: float) -> float:
    """FLOPs for so many tokens.

    Args:
      tokens: without padding.
      trained_tokens: those whose logits are needed.
      attended: (token, key) pairs, summed over layers.
    """
    weights = (
      tokens * self.block_parameters + trained_tokens * self.head_parameters
    )
    # Scores and values: 2 products forward and 4 back, 2 FLOPs a pair and
    # channel each.
    attention = 12 * attended * self.head_width
    return (6 if self.trains_base else 4) * weights + attention


def ideal_flops(config: DecoderConfig, *, trains_base: bool) -> IdealFlops:
  """The formula's numbers for a model."""
  is_box = lambda x: isinstance(x, meta.AxisMetadata)
  boxes: list[Any] = jax.tree.leaves(declare(config)["params"], is_leaf=is_box)
  sizes = [
    math.prod(meta.unbox(box).shape)
    for box in boxes
    if box.names[0] == "blocks" and len(box.names) == 3
  ]
  return IdealFlops(
    block_parameters=sum(sizes),
    head_parameters=config.hidden_size * config.vocab_size,
    head_width=config.num_heads * config.head_dim,
    trains_base=trains_base,
  )
