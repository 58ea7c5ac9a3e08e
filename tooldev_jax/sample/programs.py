"""What runs on the device: prefill a batch of prompts, decode a chunk.

Both are compiled ahead of time, once a `Shape`, and kept. Prefill writes the
prompts' keys and values and draws each sample's first token. Decode takes up
to a given number of steps and stops early when enough slots have finished.

Dimensions: N slots, J samples of a slot, R lanes that it decodes side by side
in each wave, A prefilled rows, P prompt bucket, T recorded tokens of a sample,
V vocabulary, X stop tokens.
"""

import functools
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from tooldev_jax.config import SamplerConfig
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.sharding import SAMPLE_RULES, Partition
from tooldev_jax.sample import cache as segments
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.sample.policy import Array, Policy, choose
from tooldev_jax.sample.schedule import Shape

# Named, so that JAX's default cannot change what is sampled.
KEYS = "threefry2x32"

LogitsFn = Callable[["Lanes", jax.Array], jax.Array]


class Lanes(NamedTuple):
  """Everything that a decode step needs beside keys and values.

  All samples of a slot are kept; a step sees those of the present wave, with R
  in the place of J.

  Attributes:
    prompt_len: tokens of each slot's prompt, [N].
    policy: how to choose a token, [N].
    stop_ids: [N, X], filled up with -1.
    seed, index: parts of a slot's random keys, [N].
    number: j, the sample's part of the keys, [N, J].
    first: tokens that the samples had before this unit, [N].
    limit: tokens at which this unit ends at the latest, [N].
    count: tokens that each sample has, [N, J].
    done: whether it is finished, [N, J].
    tokens, logprobs: [N, J, T]; the first `count` are set.
  """

  prompt_len: Array
  policy: Policy
  stop_ids: Array
  seed: Array
  index: Array
  number: Array
  first: Array
  limit: Array
  count: Array
  done: Array
  tokens: Array
  logprobs: Array

  @classmethod
  def empty(cls, slots: int, shape: Shape, stop_ids: int) -> "Lanes":
    """Numpy arrays for `slots` slots in which nothing runs."""
    sample = (slots, shape.samples)
    return cls(
      prompt_len=np.ones(slots, np.int32),
      policy=Policy.of([SamplingParams()] * slots),
      stop_ids=np.full((slots, stop_ids), -1, np.int32),
      seed=np.zeros(slots, np.uint32),
      index=np.zeros(slots, np.uint32),
      number=np.zeros(sample, np.uint32),
      first=np.zeros(slots, np.int32),
      limit=np.zeros(slots, np.int32),
      count=np.zeros(sample, np.int32),
      done=np.ones(sample, bool),
      tokens=np.zeros((*sample, shape.record), np.int32),
      logprobs=np.zeros((*sample, shape.record), np.float32),
    )

  def wave(self, lanes: int) -> jax.Array:
    """The wave [N] that each slot is in: the first that is not all done."""
    done = self.done.reshape(len(self.done), -1, lanes)
    return jnp.argmin(jnp.all(done, axis=2), axis=1)

  def of_wave(self, lanes: int, wave_N: jax.Array) -> "Lanes":
    """The same, with the samples of one wave only."""
    if self.count.shape[1] == lanes:  # the only wave; saves a gather a step
      return self

    def pick(x):
      waves = x.reshape(len(x), -1, lanes, *x.shape[2:])
      return jax.vmap(lambda x, wave: x[wave])(waves, wave_N)

    return self._replace(
      **{name: pick(getattr(self, name)) for name in PER_SAMPLE}
    )

  def with_wave(self, wave_N: jax.Array, now: "Lanes") -> "Lanes":
    """All samples, with those of a wave replaced."""
    if self.count.shape == now.count.shape:
      return now

    def put(x, new):
      waves = x.reshape(len(x), -1, *new.shape[1:])
      chosen = jnp.arange(waves.shape[1]) == wave_N[:, None]
      chosen = chosen.reshape(*chosen.shape, *(1,) * (new.ndim - 1))
      return jnp.where(chosen, new[:, None], waves).reshape(x.shape)

    return self._replace(
      **{n: put(getattr(self, n), getattr(now, n)) for n in PER_SAMPLE}
    )

  def keys(self) -> jax.Array:
    """The key of each sample's next token, [N, J]; see `sampler`."""

    def key(seed, index, number, count):
      root = jax.random.key(seed, impl=KEYS)
      sample = jax.random.fold_in(jax.random.fold_in(root, index), number)
      return jax.random.fold_in(sample, count)

    slot = jax.vmap(key, (None, None, 0, 0))
    return jax.vmap(slot)(self.seed, self.index, self.number, self.count)


# The fields that have one value for each sample.
PER_SAMPLE = ("number", "count", "done", "tokens", "logprobs")


class Running(NamedTuple):
  """The state that decoding updates in place.

  `fresh` is the latest token's keys and values, one column of `tail`. Each step
  writes it before it reads the tail. In the other order, the compiler may have
  to copy the tails in every step.
  """

  tail: Any
  fresh: Any
  lanes: Lanes


class Compiled(NamedTuple):
  """The programs of one shape, as `Programs.lower` says, and their state."""

  shape: Shape
  prefill: Any
  decode: Any
  prompt: Any
  running: Running

  def empty(self) -> tuple[Any, Running]:
    """A state in which nothing runs: the prompts' segments and the rest."""
    zeros = lambda x: jnp.zeros(x.shape, x.dtype, device=x.sharding)
    like = self.running.lanes
    lanes = Lanes.empty(self.shape.slots, self.shape, like.stop_ids.shape[1])
    put = lambda x, like: jax.device_put(x, like.sharding)
    return jax.tree.map(zeros, self.prompt), Running(
      tail=jax.tree.map(zeros, self.running.tail),
      fresh=jax.tree.map(zeros, self.running.fresh),
      lanes=jax.tree.map(put, lanes, like),
    )


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
    self.unroll = config.unroll
    if self.unroll is None:
      self.unroll = mesh.devices.flat[0].platform == "cpu"
    if mesh.size > 1 and decoder.partition is None:
      decoder = decoder.clone(partition=Partition(mesh, SAMPLE_RULES))
    rules = decoder.partition.rules if decoder.partition else SAMPLE_RULES
    self.decoder = decoder
    self.decode_decoder = decoder.clone(unroll=self.unroll)
    self.partition = Partition(mesh, rules)
    self.shards = self.partition.ways("batch")
    self.config = config
    self.logits_fn = logits_fn
    self.compiles = 0
    self.compile_s = 0.0
    self._compiled: dict[Any, Compiled] = {}

  def get(self, shape: Shape, variables: Any) -> Compiled:
    """The programs for this shape and for variables like these."""
    like = lambda x: (x.shape, x.dtype, getattr(x, "sharding", None))
    leaves, structure = jax.tree.flatten(variables)
    key = (shape, structure, tuple(map(like, leaves)))
    if key not in self._compiled:
      start = time.perf_counter()
      lowered = self.lower(shape, variables)
      # Both compile at the same time: XLA releases the interpreter's lock.
      with futures.ThreadPoolExecutor(len(lowered)) as pool:
        prefill, decode = pool.map(lambda x: x.compile(), lowered)
      prompt, running = self.abstract_state(shape, variables)
      self._compiled[key] = Compiled(shape, prefill, decode, prompt, running)
      self.compile_s += time.perf_counter() - start
      self.compiles += len(lowered)
    return self._compiled[key]

  def lower(self, shape: Shape, variables: Any) -> tuple[Any, Any]:
    """Prefill and decode, lowered for abstract or concrete variables.

    prefill(variables, prompt, lanes, arrivals, tokens [A, P], slot [A])
      -> (prompt, lanes): puts the arrivals, `Lanes` of A rows, into their
      slots. A row whose slot is N or more is padding.
    decode(variables, prompt, running, kill [N, J], leave, steps)
      -> (running, report): marks killed samples as done, then takes `steps`
      steps, or fewer once `leave` more slots have finished. The report for the
      host has the `steps` taken, the `lane_steps` of lanes that were not done,
      and copies of the samples' `done`, `count`, `tokens` and `logprobs`.
    """
    prompt, running = self.abstract_state(shape, variables)
    shardings = lambda tree: jax.tree.map(lambda x: x.sharding, tree)
    prefill = jax.jit(
      self._prefill,
      donate_argnums=(1, 2),
      out_shardings=shardings((prompt, running.lanes)),
    ).lower(variables, prompt, running.lanes, *self._arrivals(shape))
    kill = np.zeros((shape.slots, shape.samples), bool)
    number = self._like(np.int32(0), ())
    decode = jax.jit(
      functools.partial(self._decode, shape.lanes),
      donate_argnums=(2,),
      out_shardings=(shardings(running), self.partition.sharding()),
    ).lower(variables, prompt, running, self._like(kill), number, number)
    return prefill, decode

  def abstract_state(self, shape: Shape, variables: Any) -> tuple[Any, Running]:
    """Shapes, dtypes and shardings of the state: the prompts' and the rest."""

    def state(variables, arrivals, tokens):
      _, prompt = self._run_prompts(variables, arrivals.prompt_len, tokens)
      prompt = jax.tree.map(
        lambda x: jnp.zeros((x.shape[0], shape.slots, *x.shape[2:]), x.dtype),
        prompt,
      )
      tail = segments.empty_tail(prompt, shape.lanes, shape.tail)
      fresh = segments.empty_tail(prompt, shape.lanes, 1)
      return tuple(map(self._keep, (prompt, tail, fresh)))

    unsharded = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype)
    *arrivals, _ = self._arrivals(shape)
    axes = (*(() if self.unroll else ("blocks",)), "batch", "act_kv_heads")
    prompt, tail, fresh = self._like(
      jax.eval_shape(state, *jax.tree.map(unsharded, (variables, *arrivals))),
      axes,
    )
    lanes = Lanes.empty(shape.slots, shape, self.config.max_stop_ids)
    return prompt, Running(tail, fresh, self._like(lanes))

  def _arrivals(self, shape: Shape) -> tuple[Lanes, Any, Any]:
    """The abstract batch of a prefill: lanes, tokens, slots."""
    lanes = Lanes.empty(shape.rows, shape, self.config.max_stop_ids)
    tokens = np.zeros((shape.rows, shape.prompt), np.int32)
    return self._like((lanes, tokens, np.zeros(shape.rows, np.int32)))

  def _like(self, tree: Any, axes: tuple[str, ...] = ("batch",)) -> Any:
    """Abstract arrays like these, whose first axes have these names."""
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(
        x.shape, x.dtype, sharding=self.partition.sharding(axes)
      ),
      tree,
    )

  def _keep(self, stacked: Any) -> Any:
    """Caches as they are kept: split where layers are unrolled."""
    return segments.split(stacked) if self.unroll else stacked

  def _feed(self, kept: Any) -> Any:
    """Caches as the decoder takes them."""
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

  def _run_prompts(self, variables, length_A, tokens_AxP):
    """Hidden states [A, P, D] and the prompts' segments."""
    position = jnp.broadcast_to(
      jnp.arange(tokens_AxP.shape[1]), tokens_AxP.shape
    )
    inside = (position < length_A[:, None]).astype(jnp.int32)
    causal = packed_attention(inside, partition=self.partition)
    attend = segments.prefill_attention(length_A, causal)
    return self.decoder.apply(variables, tokens_AxP, position, attend)

  def _prefill(self, variables, prompt, lanes, arrivals, tokens_AxP, slot_A):
    length_A = arrivals.prompt_len
    hidden_AxPxD, new = self._run_prompts(variables, length_A, tokens_AxP)
    last = (length_A - 1)[:, None, None]
    hidden_AxD = jnp.take_along_axis(hidden_AxPxD, last, axis=1)[:, 0]
    logits_AxV = self.decoder.unembed(variables["params"], hidden_AxD)
    logits_AxJxV = jnp.broadcast_to(
      logits_AxV[:, None], (*arrivals.count.shape, logits_AxV.shape[-1])
    )
    arrivals = self._advance(arrivals, logits_AxJxV)

    def seat(axis, olds, news):
      put = lambda old, new: self._seat(old, new, slot_A, axis)
      return jax.tree.map(put, olds, news)

    prompt = seat(0 if self.unroll else 1, prompt, self._keep(new))
    return prompt, seat(0, lanes, arrivals)

  def _seat(self, old, new, slot_A, axis: int):
    """Puts the rows of `new` into their slots of `old`.

    The host chooses a slot of the same batch shard for each row, so devices
    write their own rows and exchange nothing.
    """
    lead = (slice(None),) * axis
    write = lambda old, new, slot: old.at[(*lead, slot)].set(new, mode="drop")
    if self.shards == 1:
      return write(old, new, slot_A)
    split = lambda x, axis: x.reshape(
      *x.shape[:axis], self.shards, -1, *x.shape[axis + 1 :]
    )
    olds, news, slots = split(old, axis), split(new, axis), split(slot_A, 0)
    first = jnp.arange(self.shards) * olds.shape[axis + 1]
    write_all = jax.vmap(write, in_axes=(axis, axis, 0), out_axes=axis)
    return write_all(olds, news, slots - first[:, None]).reshape(old.shape)

  def _decode(self, width, variables, prompt, running, kill_NxJ, leave, steps):
    variables = self._by_layer(self._keep, variables)
    lanes = running.lanes
    lanes = lanes._replace(done=lanes.done | kill_NxJ)
    finished = lambda lanes: jnp.sum(jnp.all(lanes.done, axis=1))
    enough = jnp.minimum(finished(lanes) + leave, lanes.done.shape[0])

    def more(carry):
      taken, _, running = carry
      return (taken < steps) & (finished(running.lanes) < enough)

    def step(carry):
      taken, lane_steps, running = carry
      running, live = self._step(width, variables, prompt, running)
      return taken + 1, lane_steps + live, running

    zero = jnp.int32(0)
    start = (zero, zero, running._replace(lanes=lanes))
    taken, lane_steps, running = jax.lax.while_loop(more, step, start)
    lanes = running.lanes
    report = {"steps": taken, "lane_steps": lane_steps}
    for name in ("done", "count", "tokens", "logprobs"):
      report[name] = getattr(lanes, name)
    return running, report

  def _step(self, width: int, variables, prompt, running: Running):
    """One token for each lane: the new state, and how many were not done."""
    wave_N = running.lanes.wave(width)
    lanes = running.lanes.of_wave(width, wave_N)
    # Prefill has drawn the first token, which is still to be fed. All lanes of
    # a slot that are not done have the same number of tokens.
    last_N = jnp.maximum(jnp.max(lanes.count, axis=1) - 1, lanes.first)
    age_N = last_N - lanes.first
    token_NxR = jnp.take_along_axis(
      lanes.tokens, last_N[:, None, None], axis=2
    )[..., 0]
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
    following = running.lanes.with_wave(
      wave_N, self._advance(lanes, logits_NxRxV)
    )
    running = Running(tail, self._keep(fresh), following)
    return running, jnp.sum(~lanes.done)

  def _advance(self, lanes: Lanes, logits_NxRxV: jax.Array) -> Lanes:
    """Draws every lane's next token; records it where the lane is not done."""
    if self.logits_fn is not None:
      logits_NxRxV = self.logits_fn(lanes, logits_NxRxV)
    slots, width = lanes.count.shape
    token, logprob = self._choose(
      logits_NxRxV.reshape(slots * width, -1),
      lanes.keys().reshape(-1),
      jax.tree.map(lambda x: jnp.repeat(x, width, axis=0), lanes.policy),
    )
    token, logprob = (x.reshape(slots, width) for x in (token, logprob))
    live = ~lanes.done
    here = live[..., None] & (
      jnp.arange(lanes.tokens.shape[2]) == lanes.count[..., None]
    )
    count = lanes.count + live
    stopped = jnp.any(token[..., None] == lanes.stop_ids[:, None, :], axis=-1)
    ended = stopped | (count >= lanes.limit[:, None])
    return lanes._replace(
      count=count,
      done=lanes.done | ended,
      tokens=jnp.where(here, token[..., None], lanes.tokens),
      logprobs=jnp.where(here, logprob[..., None], lanes.logprobs),
    )

  def _choose(self, logits_BxV: jax.Array, key_B, policy: Policy):
    """`choose`, with the rows divided among all devices.

    This exchanges the logits once. If they stayed sharded over the vocabulary,
    every round of the searches for a threshold would be an exchange.
    """
    mesh, keep = self.partition.mesh, self.partition.constrain
    rows = jax.P(mesh.axis_names)
    if len(logits_BxV) % mesh.size:
      rows = self.partition.rules.spec(("batch",))
    by_row = jax.shard_map(
      choose, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False
    )
    # Before and after, so that nothing else is sharded in this way.
    logits_BxV = keep(logits_BxV, ("batch", "vocab"))
    key_B, policy = jax.tree.map(lambda x: keep(x, ("batch",)), (key_B, policy))
    return tuple(keep(x, ("batch",)) for x in by_row(logits_BxV, key_B, policy))
