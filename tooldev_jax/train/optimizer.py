"""Learning-rate schedules, AdamW and Muon.

Which parameters decay and which Muon handles follows from the logical names
of their axes (`parallel.sharding`), not from shapes: norms are stacked over
blocks and have two axes like any matrix.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, muon

from tooldev_jax.config import TrainConfig

Axes = tuple[str | None, ...]


def make_schedule(
  config: TrainConfig, num_steps: int, peak: float
) -> optax.Schedule:
  """The rate of update 0, 1, …: warm-up, then `config.schedule`.

  The schedule reaches its end where update `num_steps` would be, so neither
  the first update nor the last one has rate 0.
  """
  warmup = round(config.warmup_ratio * num_steps)

  def schedule(count: jax.Array) -> jax.Array:
    step = jnp.asarray(count, jnp.float32)
    rise = jnp.minimum(1.0, (step + 1) / (warmup + 1))
    if config.schedule == "cosine":
      done = jnp.clip((step - warmup) / max(num_steps - warmup, 1), 0.0, 1.0)
      shape = 0.5 * (1 + jnp.cos(jnp.pi * done))
    elif config.schedule == "trapezoid":
      decay = max(round(config.decay_ratio * num_steps), 1)
      shape = jnp.clip((num_steps - step) / decay, 0.0, 1.0)
    else:
      shape = jnp.ones(())
    floor = config.final_ratio
    return peak * rise * (floor + (1 - floor) * shape)

  return schedule


def make_optimizer(
  config: TrainConfig, num_steps: int, axes: Any
) -> optax.GradientTransformation:
  """Global-norm clipping, then AdamW or Muon.

  Optax's Muon looks ahead as Nesterov does, also where it leaves a parameter
  to Adam; AdamW does not.

  Args:
    config: which one, and its numbers.
    num_steps: length of the schedule.
    axes: a tree like the trained one, with the logical axis names of each
      leaf as a tuple.
  """
  schedule = make_schedule(config, num_steps, config.learning_rate)
  is_axes = lambda x: isinstance(x, tuple)
  decays = jax.tree.map(_decays, axes, is_leaf=is_axes)
  if config.optimizer == "muon":
    update = muon(
      learning_rate=make_schedule(config, num_steps, config.muon_learning_rate),
      weight_decay=config.weight_decay,
      muon_weight_dimension_numbers=jax.tree.map(
        _muon_dimensions, axes, is_leaf=is_axes
      ),
      adam_learning_rate=schedule,
      adam_b1=config.beta1,
      adam_b2=config.beta2,
      eps=config.epsilon,
    )
  else:
    update = optax.adamw(
      schedule,
      b1=config.beta1,
      b2=config.beta2,
      eps=config.epsilon,
      weight_decay=config.weight_decay,
      mask=decays,
    )
  if config.clip_norm:
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), update)
  return update


def _decays(axes: Axes) -> bool:
  """Matrices do; norms and biases (one axis a block) and embeddings do not."""
  inner = [axis for axis in axes if axis != "blocks"]
  return len(inner) > 1 and inner[0] != "vocab"


def _muon_dimensions(axes: Axes) -> MuonDimensionNumbers | None:
  """Block matrices `[blocks, in, out]`; None leaves a leaf to Adam."""
  if len(axes) == 3 and axes[0] == "blocks":
    return MuonDimensionNumbers(reduction_axis=1, output_axis=2)
  return None
