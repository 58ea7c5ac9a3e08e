"""A model and data so small that a step takes a millisecond."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from tooldev_jax.config import LoraConfig, MeshConfig, TrainConfig
from tooldev_jax.data.encoding import Encoded
from tooldev_jax.data.loader import LoaderConfig, TrainData
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import init_adapter, init_params
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.train.loop import fit
from tooldev_jax.train.result import FitResult

VOCABULARY = 64

CONFIG = DecoderConfig.from_hf(
  {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
  }
)
LORA = LoraConfig(rank=4, alpha=8.0)
TRAIN = TrainConfig(
  learning_rate=1e-2,
  compute_dtype="float32",
  loss_chunk=8,
  checkpoint_every=2,
  log_every=2,
)


@dataclasses.dataclass(frozen=True)
class Base:
  config: DecoderConfig
  params: Any
  fingerprint: str


def make_base(seed: int = 0, config: DecoderConfig = CONFIG) -> Base:
  params = init_params(config, jax.random.key(seed))
  return Base(config, params, f"random {seed}")


def make_data(
  *,
  examples: int = 24,
  seed: int = 0,
  batch_examples: int = 16,
  row_length: int = 32,
  rows: int = 8,
  micro_batches: int = 1,
  epochs: int = 2,
) -> TrainData:
  """Streams whose trained half repeats its first half: something to learn."""
  rng = np.random.default_rng(seed)
  streams = []
  for _ in range(examples):
    half = rng.integers(4, 9)
    tokens = np.tile(rng.integers(1, VOCABULARY, half), 2).astype(np.int32)
    trained = np.arange(2 * half) >= half
    streams.append(Encoded(tokens, trained))
  config = LoaderConfig(
    row_length=row_length,
    batch_examples=batch_examples,
    epochs=epochs,
    seed=seed,
    micro_batches=micro_batches,
    row_multiple=rows // micro_batches,
  )
  return TrainData(streams, config)


class Interrupted:
  """Data that calls `act(step)` before it hands out each batch."""

  def __init__(self, data: TrainData, act: Any):
    self._data, self._act = data, act
    self.num_steps, self.shapes = data.num_steps, data.shapes
    self.fingerprint = data.fingerprint

  def iterate(self, start_step: int, index: int = 0, count: int = 1) -> Any:
    for step, batch in enumerate(
      self._data.iterate(start_step, index, count), start=start_step
    ):
      yield self._act(step, batch) or batch


def run_fit(
  workdir: Any,
  *,
  data: Any = None,
  base: Base | None = None,
  config: TrainConfig = TRAIN,
  lora: LoraConfig | None = LORA,
  initial: Any = None,
  mesh: Mesh | None = None,
  name: str = "stage",
) -> FitResult:
  """`fit` on everything tiny."""
  base = base or make_base()
  if initial is None:
    initial = base.params
    if lora is not None:
      initial = init_adapter(base.config, lora, jax.random.key(1))
  return fit(
    base,
    lora,
    initial,
    data or make_data(),
    config,
    mesh or make_mesh(MeshConfig(), jax.devices()[:1]),
    workdir,
    name,
  )
