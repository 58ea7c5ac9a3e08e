"""What a step has to compute, by formula.

The ideal of LoRA is 4N a token, not 6N: the frozen weights get no gradient,
so each is used twice (forward, and back through the activations) instead of
three times. The embedding is a gather and costs nothing; the head costs only
where a token is trained; attention is counted over the pairs inside segments
that the causal mask (and a layer's window) allows. Adapters, norms and
recomputation are overhead, on purpose: the ideal has none of them.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class IdealFlops:
  """FLOPs of one step from what its batch holds.

  Attributes:
    block_parameters: weights of all blocks that a token is multiplied with.
    head_parameters: width times vocabulary.
    head_width: query heads times head size.
    trains_base: full training (6N) rather than LoRA (4N).
  """

  block_parameters: int
  head_parameters: int
  head_width: int
  trains_base: bool

  def of(self, tokens: float, trained_tokens: float, attended: float) -> float:
    """FLOPs for so many tokens.

    Args:
      tokens: real ones, without padding.
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
