"""Rotary position embedding: its parameters, its angles, its rotation.

Angles and rotation are float32 whatever the compute dtype: at position
100,000 bfloat16 cannot tell neighbours apart.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from tooldev_jax.errors import UserError
from tooldev_jax.models.fields import positive


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


_ROPE_KEYS: dict[str, tuple[str, ...]] = {
  "default": (),
  "linear": ("factor",),
  "llama3": (
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
  ),
}


def rope_from_hf(
  parameters: Mapping[str, Any], max_position: int, where: str
) -> Rope:
  """Reads one RoPE from config.json.

  Args:
    parameters: `rope_parameters`, or `rope_theta` and `rope_scaling` as one.
    max_position: the config's `max_position_embeddings`.
    where: the file's name, for messages.

  Raises:
    UserError: a kind, field or value that is not supported.
  """
  kind: Any = parameters.get("rope_type") or parameters.get("type") or "default"
  if kind not in _ROPE_KEYS:
    raise UserError(
      f"{where}: rope_type {kind!r} is not supported; "
      f"supported: {', '.join(_ROPE_KEYS)}."
    )
  if parameters.get("partial_rotary_factor", 1.0) != 1.0:
    raise UserError(f"{where}: partial_rotary_factor must be 1.0.")
  original = "original_max_position_embeddings"
  values = {"rope_theta": None, original: max_position} | {
    key: value for key, value in parameters.items() if value is not None
  }
  needed = ("rope_theta", *_ROPE_KEYS[kind])
  known = {"rope_type", "type", "partial_rotary_factor", "rope_theta"}
  unknown = set(parameters) - known - set(_ROPE_KEYS["llama3"])
  missing = [key for key in needed if values.get(key) is None]
  if unknown or missing:
    raise UserError(
      f"{where}: RoPE parameters of {kind!r} lack {missing} and have unknown "
      f"{sorted(unknown)}; known: {', '.join(needed)}."
    )
  for key in needed:
    positive(where, f"RoPE has {key}", values[key])
  rope = Rope(float(values["rope_theta"]))
  if kind == "default":
    return rope
  rope = dataclasses.replace(rope, kind=kind, factor=float(values["factor"]))
  if kind == "linear":
    return rope
  low, high = values["low_freq_factor"], values["high_freq_factor"]
  if not low < high:
    raise UserError(
      f"{where}: RoPE has low_freq_factor={low} and high_freq_factor={high}; "
      "the first must be the smaller one."
    )
  return dataclasses.replace(
    rope,
    low_freq_factor=float(low),
    high_freq_factor=float(high),
    original_max_position=int(values[original]),
  )


def rope_to_hf(rope: Rope) -> dict[str, Any]:
  """The fields that `rope_from_hf` reads, as transformers 5 writes them."""
  values = {
    "factor": rope.factor,
    "low_freq_factor": rope.low_freq_factor,
    "high_freq_factor": rope.high_freq_factor,
    "original_max_position_embeddings": rope.original_max_position,
  }
  kept = {key: values[key] for key in _ROPE_KEYS[rope.kind]}
  return {"rope_type": rope.kind, "rope_theta": rope.theta} | kept
