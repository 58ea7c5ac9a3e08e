"""Rotary position embedding: its parameters, its angles, its rotation.

Angles and rotation are float32 whatever the compute dtype: at position
100,000 bfloat16 cannot tell neighbours apart.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np

from tooldev_jax.models.fields import Problems


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
  rotated = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return rotated.astype(x_BxTxHxK.dtype)


# What each kind needs beside `rope_theta`.
_KEYS: dict[str, tuple[str, ...]] = {
  "default": (),
  "linear": ("factor",),
  "llama3": (
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
  ),
}
_KNOWN = {"rope_type", "type", "rope_theta", *_KEYS["llama3"]}


def rope_from_hf(
  parameters: Mapping[str, Any], max_position: int, problems: Problems
) -> Rope:
  """Reads one RoPE from config.json.

  Args:
    parameters: `rope_parameters`, or `rope_theta` and `rope_scaling` as one.
    max_position: the config's `max_position_embeddings`.
    problems: takes what is not supported; the RoPE is then the default one.
  """
  kind: Any = parameters.get("rope_type") or parameters.get("type") or "default"
  if not isinstance(kind, str) or kind not in _KEYS:
    problems.add(
      f"rope_type {kind!r:.60} is not supported; supported: {', '.join(_KEYS)}"
    )
    return Rope()
  if parameters.get("partial_rotary_factor") not in (None, 1):
    problems.add("partial_rotary_factor must be 1.0")
  needed = ("rope_theta", *_KEYS[kind])
  original = "original_max_position_embeddings"
  given = {k: v for k, v in parameters.items() if v is not None}
  values = {original: max_position} | given
  missing = [key for key in needed if key not in values]
  unknown = sorted(set(given) - _KNOWN - {"partial_rotary_factor"})
  if unknown or missing:
    problems.add(
      f"RoPE parameters of {kind!r} lack {missing} and have unknown "
      f"{unknown}; known: {', '.join(needed)}"
    )
    return Rope()
  read = {
    key: problems.number(f"RoPE has {key}", values[key], key == original)
    for key in needed
  }
  if None in read.values():
    return Rope()
  low, high = read.get("low_freq_factor", 0), read.get("high_freq_factor", 1)
  if not low < high:
    problems.add(
      f"RoPE has low_freq_factor={low} and high_freq_factor={high}; "
      "the first must be the smaller one"
    )
  names = ("factor", "low_freq_factor", "high_freq_factor")
  return Rope(
    theta=float(read["rope_theta"]),
    kind=cast(Any, kind),
    original_max_position=read.get(original, 0),
    **{name: float(read[name]) for name in names if name in read},
  )


def rope_to_hf(rope: Rope) -> dict[str, Any]:
  """The fields that `rope_from_hf` reads, as transformers 5 writes them."""
  values = {
    "factor": rope.factor,
    "low_freq_factor": rope.low_freq_factor,
    "high_freq_factor": rope.high_freq_factor,
    "original_max_position_embeddings": rope.original_max_position,
  }
  kept = {key: values[key] for key in _KEYS[rope.kind]}
  return {"rope_type": rope.kind, "rope_theta": rope.theta} | kept
