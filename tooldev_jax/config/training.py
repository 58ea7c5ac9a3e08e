"""The model and how it is trained and sampled from."""

import dataclasses
import math
from collections.abc import Iterator

from tooldev_jax.config.inputs import DTYPES
from tooldev_jax.config.settings import Settings, setting
from tooldev_jax.errors import UserError

LINEAR_MODULES = (
  "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
)  # fmt: skip
OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "trapezoid", "constant")
REMAT = ("none", "products", "wide", "attention", "full")
ATTENTION = ("auto", "einsum", "blocked", "splash", "gpu_flash")


@dataclasses.dataclass(frozen=True)
class LoraConfig(Settings):
  """The shape of an adapter."""

  rank: int = setting(16, "inner size of the update", at_least=1)
  alpha: float = setting(32.0, "numerator of the scale", above=0)
  targets: tuple[str, ...] = setting(
    LINEAR_MODULES, "linear maps that get an update", one_of=LINEAR_MODULES
  )
  rank_stabilised: bool = setting(
    False, "scale alpha / sqrt(rank) (arXiv 2312.03732), not alpha / rank"
  )

  def combinations(self) -> Iterator[str]:
    if not self.targets:
      yield f"targets: none; allowed: {', '.join(LINEAR_MODULES)}"

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


@dataclasses.dataclass(frozen=True)
class MeshConfig(Settings):
  """How many ways each axis splits the devices; one may be -1: what is left.

  Another mesh adds numbers up in another order, so the last bits may differ.
  Data keep their order; a step takes a multiple of `data` x `fsdp` rows.
  """

  data: int = setting(1, "replicas of everything but the batch", at_least=-1)
  fsdp: int = setting(
    -1, "ways that weights, optimizer state and batch are split", at_least=-1
  )
  tensor: int = setting(
    1, "ways that heads, MLP width and vocabulary are split", at_least=-1
  )

  def combinations(self) -> Iterator[str]:
    sizes = dataclasses.asdict(self)
    for axis, size in sizes.items():
      if size == 0:
        yield f"{axis}: 0; allowed: a positive number or -1"
    free = [axis for axis, size in sizes.items() if size == -1]
    if len(free) > 1:
      yield f"{' and '.join(free)}: both -1; only one axis can fill"


@dataclasses.dataclass(frozen=True)
class TrainConfig(Settings):
  """How to optimise; defaults are ToolACE's LoRA setting.

  (arXiv 2409.00920, table 5: learning rate 1e-4, warm-up ratio 0.1, cosine.)
  What no source states is chosen here.
  """

  learning_rate: float = setting(
    1e-4, "peak, of AdamW or of Adam's share under muon", above=0
  )
  schedule: str = setting(
    "cosine",
    "after the warm-up: cosine to final_ratio; trapezoid (constant, then a"
    " linear fall); constant",
    one_of=SCHEDULES,
  )
  warmup_ratio: float = setting(
    0.1, "share of the steps in which the rate rises", at_least=0, at_most=1
  )
  decay_ratio: float = setting(
    0.3, "share of the steps in which trapezoid falls", at_least=0, at_most=1
  )
  final_ratio: float = setting(
    0.0, "rate at the last step, as a share of the peak", at_least=0, at_most=1
  )
  optimizer: str = setting(
    "adamw",
    "muon, for full training of small models: Muon on block matrices, Adam on"
    " everything else",
    one_of=OPTIMIZERS,
  )
  muon_learning_rate: float = setting(
    0.02, "Muon's peak; its updates do not scale with the gradient", above=0
  )
  weight_decay: float = setting(
    0.0, "of matrices; never of norms, biases and embeddings", at_least=0
  )
  beta1: float = setting(0.9, "Adam's", at_least=0, below=1)
  beta2: float = setting(0.999, "Adam's", at_least=0, below=1)
  epsilon: float = setting(1e-8, "Adam's", above=0)
  clip_norm: float = setting(
    1.0, "largest global gradient norm; 0: no clipping", at_least=0
  )
  compute_dtype: str = setting(
    "bfloat16",
    "of activations and of the base in the step; what is trained is float32",
    one_of=DTYPES,
  )
  remat: str = setting(
    "products",
    "what the backward pass keeps, from most memory (none) to least (full)",
    one_of=REMAT,
    decides="nothing",
  )
  attention: str = setting(
    "auto", "a backend of models.attention", one_of=ATTENTION, decides="nothing"
  )
  loss_chunk: int = setting(
    512,
    "trained positions of a batch shard whose logits exist at once",
    at_least=1,
    decides="nothing",
  )
  checkpoint_every: int = setting(
    200, "steps; 0 saves on SIGTERM only", at_least=0, decides="nothing"
  )
  keep: int = setting(
    2,
    "newest checkpoints to keep, beside the one with the lowest loss",
    at_least=1,
    decides="nothing",
  )
  log_every: int = setting(
    10, "steps between lines on the terminal", at_least=1, decides="nothing"
  )
  profile_steps: str = setting(
    "", '"10:15" writes a trace of steps 10 to 14', decides="nothing"
  )

  def combinations(self) -> Iterator[str]:
    try:
      profile_range(self.profile_steps)
    except UserError as e:
      yield f"profile_steps: {e}"


@dataclasses.dataclass(frozen=True)
class StageConfig(Settings):
  """One stage of training; the rest of its settings are `train`'s."""

  epochs: int = setting(
    3, "passes over its data; 0 skips the stage", at_least=0
  )
  learning_rate: float = setting(
    0.0, "peak; 0 takes train.learning_rate", at_least=0
  )
  batch_examples: int = setting(48, "examples a step", at_least=1)
  micro_batches: int = setting(
    1,
    "parts of a step whose gradients are accumulated",
    at_least=1,
    decides="nothing",
  )
  max_targets: int = setting(
    0,
    "trained tokens that a packed row holds at most; 0: what the data needs",
    at_least=0,
  )


@dataclasses.dataclass(frozen=True)
class SamplerConfig(Settings):
  """Shapes of the sampler; a sample does not depend on what is beside it.

  Each (prompt bucket, tail bucket, lanes) in use is compiled once, so a few
  buckets are better than many.
  """

  prompt_buckets: tuple[int, ...] = setting(
    (256, 512, 1024, 2048, 4096),
    "lengths that prompts are padded to; longer ones are skipped",
    at_least=1,
    decides="evaluate",
  )
  tail_buckets: tuple[int, ...] = setting(
    (64, 256, 1024), "new tokens that a lane may hold", at_least=1
  )
  rows: int = setting(256, "lanes that decode together", at_least=1)
  max_lanes: int = setting(
    16, "most samples of a prompt that decode side by side", at_least=1
  )
  prefill_tokens: int = setting(
    16384,
    "most prompt tokens prefilled at once, unless one prompt has more",
    at_least=1,
  )
  max_stop_ids: int = setting(
    8, "most stop tokens of a prompt, the model's included", at_least=1
  )
  unroll: bool | None = setting(
    None, "unroll layers in decoding; none: on CPU only"
  )
  chunk: int = setting(
    32, "decode steps between two looks by the host", at_least=1
  )
  ahead: int | None = setting(
    None, "chunks dispatched ahead; none: 0 on CPU, else 1", at_least=0
  )

  def combinations(self) -> Iterator[str]:
    for name in ("prompt_buckets", "tail_buckets"):
      sizes = getattr(self, name)
      if not sizes or list(sizes) != sorted(set(sizes)):
        yield f"{name}: {sizes}; allowed: one or more lengths, ascending"


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
      f"{text!r} is not of the form 10:15 (first step and the step after the"
      " last)"
    )
  if int(first) >= int(last):
    raise UserError(f"{text!r} names no step")
  return range(int(first), int(last))
