"""How to train: everything that a stage may choose about its optimisation."""

import dataclasses

from tooldev_jax.errors import UserError

OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "trapezoid", "constant")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """One stage's optimisation.

  The defaults are ToolACE's LoRA setting (arXiv 2409.00920, table 5: learning
  rate 1e-4, warm-up ratio 0.1, cosine). What no source states is chosen here
  and marked so.

  Attributes:
    learning_rate: the peak, of AdamW or of Adam's share under "muon".
    schedule: after the warm-up: "cosine" to `final_ratio` of the peak,
      "trapezoid" (constant, then a linear fall over the last `decay_ratio` of
      the steps) or "constant".
    warmup_ratio: share of the steps over which the rate rises linearly.
    decay_ratio: share of the steps in which "trapezoid" falls.
    final_ratio: the rate at the last step, as a share of the peak.
    optimizer: "adamw", or "muon" for full training of small models: Muon
      (orthogonalised momentum) on block matrices, Adam on everything else.
    muon_learning_rate: Muon's peak; an update's scale does not depend on the
      gradient's, so it is far larger than Adam's. Chosen.
    weight_decay: of matrices; norms, biases and embeddings never decay.
    beta1, beta2, epsilon: Adam's.
    clip_norm: largest global gradient norm; 0 turns clipping off. Chosen.
    compute_dtype: of activations and of the base inside the step. The trained
      tree and the optimizer are always float32.
    remat: a policy of `models.transformer`, by name.
    attention: a backend of `models.attention`, by name.
    loss_chunk: trained positions of one batch shard whose logits exist at
      once.
    checkpoint_every: steps between checkpoints; 0 leaves only the one that
      SIGTERM makes.
    keep: newest checkpoints to keep; the one with the lowest loss is kept
      beside them.
    log_every: steps between lines on the terminal.
    seed: the whole of the step's randomness lies in the order of the data and
      in fresh adapters, both drawn from it.
    profile_steps: "10:15" writes a trace of steps 10 to 14; "" writes none.
  """

  learning_rate: float = 1e-4
  schedule: str = "cosine"
  warmup_ratio: float = 0.1
  decay_ratio: float = 0.3
  final_ratio: float = 0.0
  optimizer: str = "adamw"
  muon_learning_rate: float = 0.02
  weight_decay: float = 0.0
  beta1: float = 0.9
  beta2: float = 0.999
  epsilon: float = 1e-8
  clip_norm: float = 1.0
  compute_dtype: str = "bfloat16"
  remat: str = "none"
  attention: str = "auto"
  loss_chunk: int = 512
  checkpoint_every: int = 200
  keep: int = 2
  log_every: int = 10
  seed: int = 0
  profile_steps: str = ""

  def __post_init__(self):
    _one_of("train.optimizer", self.optimizer, OPTIMIZERS)
    _one_of("train.schedule", self.schedule, SCHEDULES)
    _one_of("train.compute_dtype", self.compute_dtype, ("bfloat16", "float32"))
    for name in ("learning_rate", "muon_learning_rate", "epsilon"):
      _check(name, getattr(self, name) > 0, getattr(self, name), "above 0")
    for name in ("weight_decay", "clip_norm"):
      _check(name, getattr(self, name) >= 0, getattr(self, name), "0 or more")
    for name in ("warmup_ratio", "decay_ratio", "final_ratio"):
      value = getattr(self, name)
      _check(name, 0 <= value <= 1, value, "between 0 and 1")
    for name in ("beta1", "beta2"):
      value = getattr(self, name)
      _check(name, 0 <= value < 1, value, "from 0 to below 1")
    for name in ("loss_chunk", "keep", "log_every"):
      _check(name, getattr(self, name) >= 1, getattr(self, name), "1 or more")
    _check(
      "checkpoint_every",
      self.checkpoint_every >= 0,
      self.checkpoint_every,
      "0 or more",
    )
    profile_range(self.profile_steps)


def profile_range(text: str) -> range:
  """The steps that "10:15" names; "" names none.

  Raises:
    UserError: the text is neither empty nor two rising step numbers.
  """
  if not text:
    return range(0)
  first, colon, last = text.partition(":")
  if not (colon and first.isdigit() and last.isdigit()):
    raise UserError(
      f"train.profile_steps: {text!r} is not of the form 10:15 (first step and"
      " the step after the last)"
    )
  if int(first) >= int(last):
    raise UserError(f"train.profile_steps: {text!r} names no step")
  return range(int(first), int(last))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
  if value not in allowed:
    raise UserError(f"{name}: {value!r} is not one of {', '.join(allowed)}")


def _check(name: str, good: bool, value: object, allowed: str) -> None:
  if not good:
    raise UserError(f"train.{name}: {value!r} is not allowed; it is {allowed}")
