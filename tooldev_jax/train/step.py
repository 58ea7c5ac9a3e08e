"""One training step: a pure function of a state and a batch.

    state, metrics = run(state, base, batch)

The same step runs on a laptop CPU, one GPU and a TPU pod, and `launch.fit`
compiles it for chips that are not attached. One tree is trained: the adapter,
or all parameters. Everything else is an argument that gets no gradient.

A batch holds packed rows (see `train.batch`), split into micro-batches. The
step adds up loss and gradients over the micro-batches and makes one update.

Dimensions: K micro-batches, R rows, T time, D width, C trained positions of a
row.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.core import meta
from jax.sharding import Mesh, NamedSharding

from tooldev_jax.config import LoraConfig, TrainConfig
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import abstract, declare
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.sharding import Partition, ShardingRules
from tooldev_jax.train.batch import (
  Batch,
  abstract_batch,
  batch_shards,
  check_rows,
)
from tooldev_jax.train.flops import IdealFlops, ideal_flops
from tooldev_jax.train.loss import selected_token_loss
from tooldev_jax.train.optimizer import make_optimizer, make_schedule


@flax.struct.dataclass
class TrainState:
  """What changes from step to step.

  Attributes:
    step: updates made, int32 scalar; also the position in the data.
    trained: the trained tree, float32.
    optimizer: the optimizer's state.
  """

  step: Any
  trained: Any
  optimizer: Any


@dataclasses.dataclass(frozen=True)
class TrainStep:
  """A step with its shapes and shardings, ready to be compiled.

  Attributes:
    run: the jitted `(state, base, batch) -> (state, metrics)`; donates state.
    init: the jitted `trained -> state`; copies, so `trained` stays usable.
    state, base, batch: trees of ShapeDtypeStruct with shardings, as `run`
      takes them. `base` is the frozen parameters, empty in full training.
    ideal: FLOPs by formula.
  """

  run: Any
  init: Any
  state: TrainState
  base: Any
  batch: Batch
  ideal: IdealFlops

  def compile(self) -> Any:
    """The executable. It takes these shapes alone, so none compiles later."""
    return self.run.lower(self.state, self.base, self.batch).compile()


def make_train_step(
  decoder_config: DecoderConfig,
  lora: LoraConfig | None,
  config: TrainConfig,
  batch_shapes: Mapping[str, tuple[int, ...]],
  num_steps: int,
  mesh: Mesh,
  rules: ShardingRules,
  base_dtype: Any,
) -> TrainStep:
  """Builds the step; nothing is computed or allocated yet.

  Args:
    decoder_config: the model.
    lora: the adapter that is trained; None trains all parameters.
    config: optimisation.
    batch_shapes: of the global batch, as `data.loader` declares them.
    num_steps: length of the schedule.
    mesh: devices, attached or only described.
    rules: which mesh axes split what.
    base_dtype: of the frozen parameters.

  Raises:
    UserError: the mesh does not fit the model or the batch.
  """
  partition = Partition(mesh, rules)
  check_rows(batch_shapes["tokens"][1], partition)
  decoder = Decoder(
    decoder_config,
    lora=lora,
    dtype=jnp.dtype(config.compute_dtype),
    remat=config.remat,
    partition=partition,
  )
  declared = declare(decoder_config, lora)
  collection = "params" if lora is None else "lora"
  trained = abstract(declared[collection], partition, jnp.float32)
  base = {}
  if lora is not None:
    base = abstract(declared["params"], partition, base_dtype)
  optimizer = make_optimizer(
    config, num_steps, logical_axes(declared[collection])
  )
  schedule = make_schedule(config, num_steps, config.learning_rate)
  state = _state_like(trained, optimizer, partition)
  gradient = make_gradient(decoder, config, trains_base=lora is None)

  def run(state, base, batch):
    loss, weight, counts, grads = gradient(state.trained, base, batch)
    with jax.named_scope("optimizer"):
      updates, optimizer_state = optimizer.update(
        grads, state.optimizer, state.trained
      )
      trained = optax.apply_updates(state.trained, updates)
    metrics = {
      "loss": loss,
      "weight": weight,
      "grad_norm": optax.global_norm(grads),
      "learning_rate": schedule(state.step),
      **counts,
    }
    return TrainState(state.step + 1, trained, optimizer_state), metrics

  def init(trained):
    trained = jax.tree.map(lambda x: x.astype(jnp.float32), trained)
    return TrainState(
      jnp.zeros((), jnp.int32), trained, optimizer.init(trained)
    )

  shardings = jax.tree.map(lambda x: x.sharding, state)
  replicated = partition.sharding()
  return TrainStep(
    run=jax.jit(run, donate_argnums=0, out_shardings=(shardings, replicated)),
    init=jax.jit(init, out_shardings=shardings),
    state=state,
    base=base,
    batch=abstract_batch(batch_shapes, partition),
    ideal=ideal_flops(decoder_config, trains_base=lora is None),
  )


def make_gradient(decoder: Decoder, config: TrainConfig, *, trains_base: bool):
  """`(trained, base, batch) -> (loss, weight, counts, gradients)`.

  Loss and gradients are weighted means over the trained tokens of the whole
  batch. Micro-batches are added up as sums and divided once: a mean of means
  would give a token another weight in another micro-batch.
  """

  def loss_sum(trained, base, rows):
    params = trained if trains_base else base
    variables = (
      {"params": params} if trains_base else {"params": params, "lora": trained}
    )
    attend = packed_attention(
      rows["segment_ids"], config.attention, decoder.partition
    )
    hidden_RxTxD, _ = decoder.apply(
      variables, rows["tokens"], rows["positions"], attend
    )
    return selected_token_loss(
      hidden_RxTxD,
      decoder.head_kernel(params).astype(decoder.dtype),
      rows["target_positions"],
      rows["target_ids"],
      rows["target_weights"],
      chunk=config.loss_chunk,
      train_head=trains_base,
      soft_cap=decoder.config.final_soft_cap,
      shards=batch_shards(decoder.partition),
    )

  def sums(trained, base, rows):
    (total, weight), grads = jax.value_and_grad(loss_sum, has_aux=True)(
      trained, base, rows
    )
    return total, weight, _counts(decoder.config, rows), grads

  def gradient(trained, base, batch):
    first = {name: x[0] for name, x in batch.items()}
    if batch["tokens"].shape[0] == 1:
      added = sums(trained, base, first)
    else:

      def add(carry, rows):
        return jax.tree.map(jnp.add, carry, sums(trained, base, rows)), None

      shapes = jax.eval_shape(sums, trained, base, first)
      zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
      added, _ = jax.lax.scan(add, zeros, dict(batch))
    total, weight, counts, grads = added
    grads = jax.tree.map(lambda g: g / weight, grads)
    return total / weight, weight, counts, grads

  return gradient


def _counts(config: DecoderConfig, rows: Batch) -> dict[str, jax.Array]:
  """Real tokens, trained tokens, and (token, key) pairs over all layers."""
  real = rows["segment_ids"] > 0
  seen = rows["positions"] + 1
  attended = jnp.zeros((), jnp.float32)
  windows = [layer.attention.window for layer in config.layers]
  for window in dict.fromkeys(windows):
    keys = seen if window is None else jnp.minimum(seen, window)
    pairs = jnp.where(real, keys, 0).sum(dtype=jnp.float32)
    attended += windows.count(window) * pairs
  return {
    "tokens": real.sum(dtype=jnp.int32),
    "trained_tokens": (rows["target_weights"] > 0).sum(dtype=jnp.int32),
    "attended": attended,
  }


def logical_axes(declared: Any) -> Any:
  """A tree of the axis names of each leaf, as the optimizer wants them."""
  is_box = lambda x: isinstance(x, meta.AxisMetadata)
  return jax.tree.map(lambda x: tuple(x.names), declared, is_leaf=is_box)


def _state_like(
  trained: Any, optimizer: optax.GradientTransformation, partition: Partition
) -> TrainState:
  """The state's shapes; what the optimizer keeps of a leaf is sharded like it.

  Optax names a moment by the path of its parameter, after a prefix of its own.
  """
  leaves = dict(jax.tree_util.tree_flatten_with_path(trained)[0])

  def shard(path: Any, leaf: Any) -> jax.ShapeDtypeStruct:
    sharding: NamedSharding = partition.sharding()
    for start in range(len(path)):
      parameter = leaves.get(path[start:])
      if parameter is not None and parameter.shape == leaf.shape:
        sharding = parameter.sharding
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

  kept = jax.eval_shape(optimizer.init, trained)
  return TrainState(
    step=jax.ShapeDtypeStruct((), jnp.int32, sharding=partition.sharding()),
    trained=trained,
    optimizer=jax.tree_util.tree_map_with_path(shard, kept),
  )
