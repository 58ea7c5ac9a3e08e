"""What the layers of a decoder are, and how they repeat."""

import dataclasses
import functools
from typing import Any

from tooldev_jax.models.rope import Rope

# As config.json calls the two types of layer.
LOCAL, GLOBAL = "sliding_attention", "full_attention"


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
  """What one layer's attention does with queries, keys and values.

  Attributes:
    scale: factor on the products of queries and keys.
    window: how many tokens a query sees, itself included; None for all.
    soft_cap: products p become cap * tanh(p / cap); None for none.
  """

  scale: float
  window: int | None = None
  soft_cap: float | None = None


@dataclasses.dataclass(frozen=True)
class LayerSpec:
  """What differs from layer to layer: attention and RoPE."""

  attention: AttentionSpec
  rope: Rope

  @property
  def layer_type(self) -> str:
    """LOCAL or GLOBAL."""
    return GLOBAL if self.attention.window is None else LOCAL


@dataclasses.dataclass(frozen=True)
class LayerGroup:
  """`repeats` times the same block of layers, scanned as one.

  Attributes:
    name: the group's key in parameters, adapters and caches.
    first: index of its first layer in the model.
    repeats: how often the block repeats: the leading axis of its arrays.
    layers: the layers of the block.
  """

  name: str
  first: int
  repeats: int
  layers: tuple[LayerSpec, ...]


@functools.cache
def group_layers(layers: tuple[LayerSpec, ...]) -> tuple[LayerGroup, ...]:
  """Cuts layers into repeated blocks; fewest distinct layers, then groups."""
  count = len(layers)
  # best[i]: (distinct layers, groups, [(period, repeats), ...]) from i on.
  best: list[Any] = [None] * count + [(0, 0, ())]
  for i in reversed(range(count)):
    for period in range(1, count - i + 1):
      repeats = 1
      while (
        layers[i : i + period]
        == layers[i + repeats * period : i + (repeats + 1) * period]
      ):
        repeats += 1
      distinct, groups, rest = best[i + period * repeats]
      option = (distinct + period, groups + 1, ((period, repeats), *rest))
      if best[i] is None or option[:2] < best[i][:2]:
        best[i] = option
  result, start = [], 0
  for number, (period, repeats) in enumerate(best[0][2]):
    block = layers[start : start + period]
    result.append(LayerGroup(f"blocks_{number}", start, repeats, block))
    start += period * repeats
  return tuple(result)
