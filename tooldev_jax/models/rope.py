"""Rotary position embedding: its parameters, its angles, its rotation.

Angles and rotation are float32 whatever the compute dtype: at position
100,000 bfloat16 cannot tell neighbours apart.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Rope:
  """The parameters of one RoPE, in config.json's words.

  Attributes:
    theta: base of the wavelengths.
    kind: "default"; "linear" (all positions divided by `factor`); "llama3"
      (long wavelengths divided by `factor`, short ones kept, a ramp between).
    factor: stretch of the context.
    low_freq_factor: llama3: wavelengths over original / low are stretched.
    high_freq_factor: llama3: wavelengths under original / high are kept.
    original_max_position: llama3: tokens of the context before the stretch.
  """

  theta: float = 10000.0
  kind: Literal["default", "linear", "llama3"] = "default"
  factor: float = 1.0
  low_freq_factor: float = 1.0
  high_freq_factor: float = 1.0
  original_max_position: int = 0

  def frequencies(self, head_dim: int) -> np.ndarray:
    """Radians a token for each pair of a head: float32 [head_dim / 2]."""
    exponent = np.arange(0, head_dim, 2, dtype=np.float32) / head_dim
    frequency = (1.0 / np.float32(self.theta) ** exponent).astype(np.float32)
    if self.kind == "default":
      return frequency
    stretched = frequency / np.float32(self.factor)
    if self.kind == "linear":
      return stretched
    wavelength = 2 * math.pi / frequency
    low, high = self.low_freq_factor, self.high_freq_factor
    # 0 where a wavelength is stretched whole, 1 where it is kept.
    kept = (self.original_max_position / wavelength - low) / (high - low)
    kept = np.clip(kept, 0.0, 1.0).astype(np.float32)
    return (1 - kept) * stretched + kept * frequency


def rope_angles(
  rope: Rope, head_dim: int, positions_BxT: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Cosine and sine of every angle: two float32 [B, T, head_dim / 2]."""
  frequency = jnp.asarray(rope.frequencies(head_dim))
  angle = positions_BxT.astype(jnp.float32)[..., None] * frequency
  return jnp.cos(angle), jnp.sin(angle)


def rotate(
  x_BxTxHxK: jax.Array, angles: tuple[jax.Array, jax.Array]
) -> jax.Array:
  """Turns each pair (i, i + K/2) of each head by its angle; keeps the dtype."""
  cos, sin = (a[:, :, None, :] for a in angles)
  a, b = jnp.split(x_BxTxHxK.astype(jnp.float32), 2, axis=-1)
  turned = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return turned.astype(x_BxTxHxK.dtype)
