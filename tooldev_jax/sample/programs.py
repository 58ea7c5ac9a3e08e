"""What runs on the device: prefill a batch of prompts, decode a chunk.

Both are compiled ahead of time, once per `Shape`, and kept. Prefill writes the
prompts' keys and samples each lane's first token; decode runs up to K steps
and leaves early when enough slots have finished.

Dimensions: N slots, R lanes of a slot, A prefilled rows ("arrivals"), P prompt
bucket, S tail bucket, V vocabulary, X stop tokens.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.sharding import SAMPLE_RULES, Partition
from tooldev_jax.sample import cache as segments
from tooldev_jax.sample.params import SamplerConfig
from tooldev_jax.sample.policy import Array, Policy, choose
from tooldev_jax.sample.schedule import Shape

# Named, so that JAX's default cannot change what is sampled.
KEYS = "threefry2x32"

LogitsFn = Callable[["Lanes", jax.Array], jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Lanes:
  """All that a decode step needs beside keys and values.

  Per slot: `prompt_len` [N]; `policy`; `stop_ids` [N, X], filled up with -1;
  `limit` [N], tokens after which a lane ends; `first` [N], how many tokens
  the samples had before this unit.
  Per lane: `key` [N, R, 2], which the draws of a sample are folded from;
  `count` and `done` [N, R]; `tokens` and `logprobs` [N, R, S], of which the
  first `count` are set.
  """

  prompt_len: Array
  policy: Policy
  stop_ids: Array
  limit: Array
  first: Array
  key: Array
  count: Array
  done: Array
  tokens: Array
  logprobs: Array

  @classmethod
  def empty(cls, slots: int, lanes: int, tail: int, stop_ids: int) -> "Lanes":
    """Numpy arrays for `slots` slots in which nothing runs."""
    lane = (slots, lanes)
    return cls(
      prompt_len=np.ones(slots, np.int32),
      policy=Policy(
        temperature=np.ones(slots, np.float32),
        top_p=np.ones(slots, np.float32),
        top_k=np.zeros(slots, np.int32),
        min_p=np.zeros(slots, np.float32),
      ),
      stop_ids=np.full((slots, stop_ids), -1, np.int32),
      limit=np.zeros(slots, np.int32),
      first=np.zeros(slots, np.int32),
      key=np.zeros((*lane, 2), np.uint32),
      count=np.zeros(lane, np.int32),
      done=np.ones(lane, bool),
      tokens=np.zeros((*lane, tail), np.int32),
      logprobs=np.zeros((*lane, tail), np.float32),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Arrivals:
  """A batch of prompts to prefill.

  `lanes` is their state, `done` for lanes that stay empty; `tokens` [A, P] is
  padded on the right; `slot` [A] is where each goes, N or more for a row that
  is padding; `seed` [A], `index` [A] (the prompt's i) and `number` [A, R] (the
  samples' j) make the keys.
  """

  lanes: Lanes
  tokens: Array
  slot: Array
  seed: Array
  index: Array
  number: Array

  def keys(self) -> jax.Array:
    """fold_in(fold_in(key(seed), i), j) for each lane, as data [A, R, 2]."""

    def key(seed, index, number):
      root = jax.random.key(seed, impl=KEYS)
      return jax.random.fold_in(jax.random.fold_in(root, index), number)

    lanes = jax.vmap(jax.vmap(key, (None, None, 0)))
    return jax.random.key_data(lanes(self.seed, self.index, self.number))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Running:
  """The state that decoding updates in place.

  `fresh` is the latest token's keys and values, one column of `tail`. Each
  step writes it before it reads: the other way round nothing but luck in
  scheduling would keep the compiler from copying the tails in every step.
  """

  tail: Any
  fresh: Any
  lanes: Lanes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Control:
  """What the host says to a chunk.

  `kill` [N, R] marks lanes that the host has ended. The chunk ends after
  `steps` steps, or when `leave` more slots have finished than at its start.
  """

  kill: Array
  leave: Array
  steps: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Report:
  """What the host reads after a chunk; copies, so the state can be reused."""

  done: Array
  count: Array
  tokens: Array
  logprobs: Array
  steps: Array
  lane_steps: Array


@dataclasses.dataclass(frozen=True)
class Compiled:
  """The programs of one shape, and what their arguments look like.

  See `Programs.lower` for the signatures.
  """

  prefill: Any
  decode: Any
  arrivals: Arrivals
  prompt: Any
  running: Running
  control: Control

  def empty(self) -> tuple[Any, Running]:
    """A state in which nothing runs: the prompts' segments and the rest."""
    zeros = lambda x: jnp.zeros(x.shape, x.dtype, device=x.sharding)
    slots, lanes, tail = self.running.lanes.tokens.shape
    stop_ids = self.running.lanes.stop_ids.shape[1]
    return jax.tree.map(zeros, self.prompt), Running(
      tail=jax.tree.map(zeros, self.running.tail),
      fresh=jax.tree.map(zeros, self.running.fresh),
      lanes=place(
        Lanes.empty(slots, lanes, tail, stop_ids), self.running.lanes
      ),
    )


def place(tree: Any, like: Any) -> Any:
  """Puts numpy arrays where `like`'s abstract arrays live."""
  return jax.tree.map(lambda x, y: jax.device_put(x, y.sharding), tree, like)


class Programs:
  """Compiles and keeps the programs of a model on a mesh.

  Attributes:
    compiles: programs compiled so far.
    compile_s: seconds that took.
  """

  def __init__(
    self,
    decoder: Decoder,
    mesh: Mesh,
    config: SamplerConfig,
    logits_fn: LogitsFn | None = None,
  ):
    unroll = config.unroll
    if unroll is None:
      unroll = mesh.devices.flat[0].platform == "cpu"
    if mesh.size > 1 and decoder.partition is None:
      decoder = decoder.clone(partition=Partition(mesh, SAMPLE_RULES))
    rules = decoder.partition.rules if decoder.partition else SAMPLE_RULES
    self.decoder = decoder
    self.decode_decoder = decoder.clone(unroll=unroll)
    self.unroll = unroll
    self.partition = Partition(mesh, rules)
    self.shards = shard_count(self.partition)
    self.config = config
    self.logits_fn = logits_fn
    self.compiles = 0
    self.compile_s = 0.0
    self._compiled: dict[Any, Any] = {}

  def get(self, shape: Shape, variables: Any) -> "Compiled":
    """The programs for this shape and for variables like these."""
    key = (
      shape,
      jax.tree.structure(variables),
      tuple(
        (x.shape, x.dtype, getattr(x, "sharding", None))
        for x in jax.tree.leaves(variables)
      ),
    )
    if key not in self._compiled:
      start = time.perf_counter()
      prompt, running = self.abstract_state(shape, variables)
      lowered = self._lower(shape, variables, prompt, running)
      # The two compile side by side: XLA lets go of the interpreter's lock.
      with futures.ThreadPoolExecutor(len(lowered)) as pool:
        prefill, decode = pool.map(lambda x: x.compile(), lowered)
      arrivals, control = self.arrivals(shape), self.control(shape)
      self._compiled[key] = Compiled(
        prefill, decode, arrivals, prompt, running, control
      )
      self.compile_s += time.perf_counter() - start
      self.compiles += 2
    return self._compiled[key]

  def lower(self, shape: Shape, variables: Any) -> tuple[Any, Any]:
    """Prefill and decode, lowered for abstract or concrete variables.

    prefill(variables, prompt, lanes, arrivals) -> (prompt, lanes)
    decode(variables, prompt, running, control) -> (running, report)
    """
    return self._lower(shape, variables, *self.abstract_state(shape, variables))

  def _lower(self, shape: Shape, variables, prompt, running: Running):
    shardings = lambda tree: jax.tree.map(lambda x: x.sharding, tree)
    prefill = jax.jit(
      self._prefill,
      donate_argnums=(1, 2),
      out_shardings=shardings((prompt, running.lanes)),
    ).lower(variables, prompt, running.lanes, self.arrivals(shape))
    whole = self.partition.sharding()
    report = Report(*(whole,) * len(dataclasses.fields(Report)))
    decode = jax.jit(
      self._decode,
      donate_argnums=(2,),
      out_shardings=(shardings(running), report),
    ).lower(variables, prompt, running, self.control(shape))
    return prefill, decode

  def arrivals(self, shape: Shape) -> Arrivals:
    """The abstract batch of a prefill."""
    rows = np.zeros(shape.rows, np.uint32)
    batch = Arrivals(
      lanes=self._lanes(shape, shape.rows),
      tokens=np.zeros((shape.rows, shape.prompt), np.int32),
      slot=rows.astype(np.int32),
      seed=rows,
      index=rows,
      number=np.zeros((shape.rows, shape.lanes), np.uint32),
    )
    return jax.tree.map(lambda x: self._like(x, ("batch",)), batch)

  def control(self, shape: Shape) -> Control:
    """The abstract words of the host."""
    kill = np.zeros((shape.slots, shape.lanes), bool)
    number = self._like(np.zeros((), np.int32), ())
    return Control(self._like(kill, ("batch",)), leave=number, steps=number)

  def abstract_state(self, shape: Shape, variables: Any) -> tuple[Any, Running]:
    """Shapes, dtypes and shardings of the state: the prompts' and the rest."""
    unplaced = jax.tree.map(_abstract, variables)

    def state(variables, arrivals):
      _, prompt = self._run_prompts(variables, arrivals)
      prompt = jax.tree.map(
        lambda x: jnp.zeros((x.shape[0], shape.slots, *x.shape[2:]), x.dtype),
        prompt,
      )
      tail = segments.empty_tail(prompt, shape.lanes, shape.tail)
      fresh = segments.empty_tail(prompt, shape.lanes, 1)
      return tuple(map(self._keep, (prompt, tail, fresh)))

    axes = (*(() if self.unroll else ("blocks",)), "batch", "act_kv_heads")
    prompt, tail, fresh = jax.tree.map(
      lambda x: self._like(x, axes),
      jax.eval_shape(state, unplaced, self.arrivals(shape)),
    )
    lanes = jax.tree.map(
      lambda x: self._like(x, ("batch",)), self._lanes(shape, shape.slots)
    )
    return prompt, Running(tail, fresh, lanes)

  def _keep(self, stacked: Any) -> Any:
    """How caches are kept: split where the layers are unrolled."""
    return segments.split(stacked) if self.unroll else stacked

  def _feed(self, kept: Any) -> Any:
    """How the decoder wants them."""
    return segments.stack(kept) if self.unroll else kept

  def _by_layer(self, function: Callable, variables: Any) -> Any:
    """Applies `_keep` or `_feed` to the parts of variables that are stacked."""
    names = {group.name for group in self.decoder.config.groups}
    return {
      collection: {
        name: function(part) if name in names else part
        for name, part in tree.items()
      }
      for collection, tree in variables.items()
    }

  def _lanes(self, shape: Shape, slots: int) -> Lanes:
    stop_ids = self.config.max_stop_ids
    return Lanes.empty(slots, shape.lanes, shape.tail, stop_ids)

  def _like(self, x: Any, axes: tuple[str, ...]) -> jax.ShapeDtypeStruct:
    spec = self.partition.rules.spec(axes)
    fits = [
      part if size % self._ways(part) == 0 else None
      for size, part in zip(x.shape, spec, strict=False)
    ]
    sharding = NamedSharding(self.partition.mesh, PartitionSpec(*fits))
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

  def _ways(self, part: Any) -> int:
    names = (part,) if isinstance(part, str) else part or ()
    return int(np.prod([self.partition.mesh.shape[name] for name in names]))

  def _run_prompts(self, variables, arrivals: Arrivals):
    """Hidden states [A, P, D] and the prompts' segments."""
    rows, size = arrivals.tokens.shape
    position = jnp.broadcast_to(jnp.arange(size), (rows, size))
    length = arrivals.lanes.prompt_len
    inside = (position < length[:, None]).astype(jnp.int32)
    causal = packed_attention(inside)
    attend = segments.prefill_attention(length, causal)
    return self.decoder.apply(variables, arrivals.tokens, position, attend)

  def _prefill(self, variables, prompt, lanes: Lanes, arrivals: Arrivals):
    hidden_AxPxD, new = self._run_prompts(variables, arrivals)
    last = (arrivals.lanes.prompt_len - 1)[:, None, None]
    hidden_AxD = jnp.take_along_axis(hidden_AxPxD, last, axis=1)[:, 0]
    logits_AxV = self.decoder.unembed(variables["params"], hidden_AxD)
    fresh = dataclasses.replace(arrivals.lanes, key=arrivals.keys())
    logits_AxRxV = jnp.broadcast_to(
      logits_AxV[:, None], (*fresh.count.shape, logits_AxV.shape[-1])
    )
    fresh = self._advance(fresh, logits_AxRxV)

    axis = 0 if self.unroll else 1
    prompt = jax.tree.map(
      lambda old, new: self._seat(old, new, arrivals.slot, axis),
      prompt,
      self._keep(new),
    )
    lanes = jax.tree.map(
      lambda old, new: self._seat(old, new, arrivals.slot, axis=0), lanes, fresh
    )
    return prompt, lanes

  def _seat(self, old, new, slot_A, axis: int):
    """Puts the arrivals' rows of `new` into their slots of `old`.

    The host seats a row in a slot of the same shard of the batch, so each
    device writes its own rows and none has to see another's.
    """
    place = (slice(None),) * axis
    write = lambda old, new, slot: old.at[(*place, slot)].set(new, mode="drop")
    if self.shards == 1:
      return write(old, new, slot_A)
    split = lambda x, axis: x.reshape(
      *x.shape[:axis], self.shards, -1, *x.shape[axis + 1 :]
    )
    olds, news, slots = split(old, axis), split(new, axis), split(slot_A, 0)
    first = jnp.arange(self.shards) * olds.shape[axis + 1]
    write_all = jax.vmap(write, in_axes=(axis, axis, 0), out_axes=axis)
    return write_all(olds, news, slots - first[:, None]).reshape(old.shape)

  def _decode(self, variables, prompt, running: Running, control: Control):
    variables = self._by_layer(self._keep, variables)
    lanes = running.lanes
    lanes = dataclasses.replace(lanes, done=lanes.done | control.kill)
    finished = lambda lanes: jnp.sum(jnp.all(lanes.done, axis=1))
    at_start = finished(lanes)

    def more(carry):
      steps, _, running = carry
      new = finished(running.lanes) - at_start
      alive = ~jnp.all(running.lanes.done)
      return (steps < control.steps) & alive & (new < control.leave)

    def step(carry):
      steps, lane_steps, running = carry
      live = jnp.sum(~running.lanes.done)
      return (
        steps + 1,
        lane_steps + live,
        self._step(variables, prompt, running),
      )

    zero = jnp.int32(0)
    start = (zero, zero, dataclasses.replace(running, lanes=lanes))
    steps, lane_steps, running = jax.lax.while_loop(more, step, start)
    lanes = running.lanes
    report = Report(
      lanes.done, lanes.count, lanes.tokens, lanes.logprobs, steps, lane_steps
    )
    return running, report

  def _step(self, variables, prompt, running: Running) -> Running:
    """One token for every lane; all arguments as they are kept."""
    lanes = running.lanes
    # Prefill has sampled the first token, which is yet to be fed. The lanes
    # of a slot that are not done are all equally far.
    age_N = jnp.maximum(jnp.max(lanes.count, axis=1) - 1, 0)
    token_NxR = jnp.take_along_axis(lanes.tokens, age_N[:, None, None], axis=2)[
      ..., 0
    ]
    position_NxR = jnp.broadcast_to(
      (lanes.prompt_len + age_N)[:, None], token_NxR.shape
    )
    tail = segments.write_column(
      running.tail, running.fresh, jnp.maximum(age_N - 1, 0)
    )
    hidden_Bx1xD, fresh = self.decode_decoder.apply(
      self._by_layer(self._feed, variables),
      token_NxR.reshape(-1, 1),
      position_NxR.reshape(-1, 1),
      segments.decode_attention(lanes.prompt_len, age_N, token_NxR.shape[1]),
      segments.pair(self._feed(prompt), self._feed(tail)),
    )
    logits_BxV = self.decoder.unembed(variables["params"], hidden_Bx1xD[:, 0])
    logits_NxRxV = logits_BxV.reshape(*token_NxR.shape, -1)
    return Running(
      tail=tail,
      fresh=self._keep(fresh),
      lanes=self._advance(lanes, logits_NxRxV),
    )

  def _advance(self, lanes: Lanes, logits_NxRxV: jax.Array) -> Lanes:
    """Samples every lane's next token and files it in those not done."""
    if self.logits_fn is not None:
      logits_NxRxV = self.logits_fn(lanes, logits_NxRxV)
    slots, width = lanes.count.shape
    number = lanes.first[:, None] + lanes.count
    keys = jax.vmap(jax.random.fold_in)(
      jax.random.wrap_key_data(lanes.key.reshape(-1, 2), impl=KEYS),
      number.reshape(-1),
    )
    per_lane = lambda x: jnp.repeat(x, width, axis=0)
    token, logprob = choose(
      logits_NxRxV.reshape(slots * width, -1),
      keys,
      jax.tree.map(per_lane, lanes.policy),
    )
    token, logprob = (x.reshape(slots, width) for x in (token, logprob))
    live = ~lanes.done
    here = live[..., None] & (
      jnp.arange(lanes.tokens.shape[2]) == lanes.count[..., None]
    )
    count = lanes.count + live
    stopped = jnp.any(token[..., None] == lanes.stop_ids[:, None, :], axis=-1)
    ended = stopped | (count >= lanes.limit[:, None])
    return dataclasses.replace(
      lanes,
      count=count,
      done=lanes.done | ended,
      tokens=jnp.where(here, token[..., None], lanes.tokens),
      logprobs=jnp.where(here, logprob[..., None], lanes.logprobs),
    )


def shard_count(partition: Partition) -> int:
  """Ways that the batch is split over the mesh."""
  batch = partition.sharding(("batch",)).spec[0]
  axes = (batch,) if isinstance(batch, str) else batch or ()
  return math.prod(partition.mesh.shape[axis] for axis in axes)


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype)
