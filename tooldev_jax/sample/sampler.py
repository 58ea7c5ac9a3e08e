"""The sampler: many prompts in, n samples of each out.

The host keeps the slots full: it assigns waiting prompts to empty slots, has
them prefilled, has a chunk of tokens decoded, collects what has finished, and
begins again. The device's programs are in `programs`, the assignment of slots
in `schedule`.

**Promise.** Sample j of prompt i depends only on the parameters, the prompt,
its settings, its seed, i and j. It does not depend on other prompts, their
order, slots, chunk lengths or interruptions, bit for bit, for one
SamplerConfig and one mesh. With other buckets, rows or meshes the random keys
are the same and log-probabilities agree to rounding, so a token can differ
only where two were nearly tied. The key of a token is
`fold_in(fold_in(fold_in(key(seed), i), j), token)`.
"""

import collections
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from tooldev_jax.config import SamplerConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.chips import peak_flops
from tooldev_jax.sample.params import RequestOutput, SamplingParams
from tooldev_jax.sample.policy import Policy
from tooldev_jax.sample.programs import Compiled, Lanes, LogitsFn, Programs
from tooldev_jax.sample.schedule import (
  Planner,
  Request,
  Shape,
  Unit,
  finish,
  seats,
)
from tooldev_jax.sample.stats import SampleStats

Queues = dict[Shape, collections.deque[Unit]]


class Tokenizer(Protocol):
  """What the sampler needs of a tokenizer."""

  @property
  def stop_token_ids(self) -> Sequence[int]:
    """The model's own stop tokens."""

  def decode(self, ids: Sequence[int]) -> str:
    """The text of some tokens."""


class Sampler:
  """Samples from one decoder on one mesh.

  Parameters are an argument of each call, so nothing can go stale; programs
  are compiled when first needed and kept.

  Args:
    decoder: the model. Its `lora` must be set for calls with an adapter.
    tokenizer: turns tokens into text and names the model's stop tokens. None
      returns no text, knows no stop strings and stops at
      `SamplingParams.stop_token_ids` alone.
    mesh: the devices; prompts are split over its data and fsdp axes.
    config: shapes and chunk lengths.
    logits_fn: a pure function (lanes, logits [slots, lanes, vocabulary]) ->
      logits that is applied before sampling, as for constrained decoding;
      `lanes.tokens[..., :lanes.count]` is what each sample has so far. First
      tokens are drawn for all samples of a slot, later ones for one wave.

  Attributes:
    stats: what the latest call has cost so far.
  """

  def __init__(
    self,
    decoder: Decoder,
    tokenizer: Tokenizer | None,
    mesh: Mesh,
    config: SamplerConfig | None = None,
    logits_fn: LogitsFn | None = None,
  ):
    self.config = config or SamplerConfig()
    self.decoder = decoder
    self.tokenizer = tokenizer
    self.stats = SampleStats()
    self.programs = Programs(decoder, mesh, self.config, logits_fn)
    self.planner = Planner(self.config, self.programs.shards)
    device = mesh.devices.flat[0]
    ahead = self.config.ahead
    if ahead is None:
      ahead = 0 if device.platform == "cpu" else 1
    self.ahead = ahead
    self._peak_flops = mesh.size * (peak_flops(device.device_kind) or 0.0)

  def generate(
    self,
    params: Any,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingParams | Sequence[SamplingParams],
    *,
    adapter: Any = None,
    indices: Sequence[int] | None = None,
  ) -> list[RequestOutput]:
    """Samples every prompt and returns the outputs in the prompts' order.

    Args:
      params: the base parameters, or parameters with the adapter merged in.
      prompts: token ids.
      sampling: settings for all prompts, or one per prompt.
      adapter: applied unmerged if given.
      indices: the number i of each prompt that its random draws depend on;
        0, 1, 2, ... if None. A process that samples a slice of the prompts
        passes their numbers in the whole, and gets the same samples.

    Raises:
      UserError: a prompt that is empty or does not fit the cache, or settings
        that make no sense; nothing has been sampled then.
    """
    outputs = {
      output.index: output
      for output in self.stream(
        params, prompts, sampling, adapter=adapter, indices=indices
      )
    }
    return [outputs[i] for i in _indices(indices, len(prompts))]

  def stream(
    self,
    params: Any,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingParams | Sequence[SamplingParams],
    *,
    adapter: Any = None,
    indices: Sequence[int] | None = None,
    skip: Collection[int] = (),
  ) -> Iterator[RequestOutput]:
    """Yields each prompt's output as soon as it is complete.

    Args:
      params, prompts, sampling, adapter, indices: as for `generate`.
      skip: indices that an earlier run has finished. (Prompts do not finish in
        order, so one number to continue from would not do.)
    """
    requests = self._requests(prompts, sampling, indices)
    variables = {"params": params}
    if adapter is not None:
      if self.decoder.lora is None:
        raise UserError("an adapter was given, but the decoder has no lora.")
      variables["lora"] = adapter
    queues: Queues = collections.defaultdict(collections.deque)
    for request in requests:
      if request.index not in skip:
        for unit in self.planner.units(request):
          queues[self.planner.shape(unit)].append(unit)
    return self._run(queues, variables)

  def _requests(self, prompts, sampling, indices) -> list[Request]:
    if isinstance(sampling, SamplingParams):
      sampling = [sampling] * len(prompts)
    if len(sampling) != len(prompts):
      raise UserError(
        f"{len(sampling)} sampling settings for {len(prompts)} prompts; give"
        " one for all or one each."
      )
    own = () if self.tokenizer is None else self.tokenizer.stop_token_ids
    requests = []
    for index, prompt, settings in zip(
      _indices(indices, len(prompts)), prompts, sampling, strict=True
    ):
      if settings.stop and self.tokenizer is None:
        raise UserError(
          f"prompt {index} has stop strings, which need a tokenizer."
        )
      stops = dict.fromkeys(() if settings.ignore_eos else own)
      stops |= dict.fromkeys(settings.stop_token_ids)
      ids = tuple(map(int, prompt))
      requests.append(Request(index, ids, settings, tuple(stops)))
    return requests

  def _run(self, queues, variables) -> Iterator[RequestOutput]:
    """Empties the queues, shape by shape."""
    stats = self.stats = SampleStats(peak_flops=self._peak_flops)
    compiles, compile_s = self.programs.compiles, self.programs.compile_s
    start, outside = time.perf_counter(), 0.0
    while any(queues.values()):
      # Samples that outgrow their tail continue with one lane and a longer
      # prompt. Many lanes and short prompts come first, so that they gather.
      shape = min(
        (shape for shape, queue in queues.items() if queue),
        key=lambda shape: (-shape.lanes, shape.prompt, shape.tail),
      )
      phase = _Phase(self, self.programs.get(shape, variables), queues)
      for request in phase.run(variables):
        output = request.output()
        stats.add(self.decoder.config, output)
        stats.compiles = self.programs.compiles - compiles
        stats.compile_s = self.programs.compile_s - compile_s
        stats.wall_s = time.perf_counter() - start - outside
        left = time.perf_counter()
        yield output
        outside += time.perf_counter() - left
    logging.info("sampled: %s", stats)

  def decode_text(self, ids: Sequence[int]) -> str:
    """The text of some tokens; "" without a tokenizer."""
    return "" if self.tokenizer is None else self.tokenizer.decode(list(ids))


class _Phase:
  """The slots of one shape, until its queue is empty and all have finished."""

  def __init__(self, sampler: Sampler, compiled: Compiled, queues: Queues):
    self.sampler = sampler
    self.compiled = compiled
    self.shape = compiled.shape
    self.queues = queues
    self.queue = queues[self.shape]
    self.owners: list[Unit | None] = [None] * self.shape.slots
    self.kill = np.zeros((self.shape.slots, self.shape.samples), bool)

  def run(self, variables: Any) -> Iterator[Request]:
    """Yields requests as they finish."""
    prompt, running = self.compiled.empty()
    pending: collections.deque[tuple[dict, list]] = collections.deque()
    while self.queue or any(self.owners):
      # Wait until empty slots fill a prefill, or hold all that are waiting.
      wanted = min(self.shape.rows, len(self.queue))
      pairs = seats(self.owners, self.shape.rows, self.sampler.programs.shards)
      if wanted and len(pairs) >= wanted:
        prompt, lanes = self.compiled.prefill(
          variables, prompt, running.lanes, *self._seat(pairs[:wanted])
        )
        running = running._replace(lanes=lanes)
        continue
      leave = wanted - len(pairs) if wanted else self.shape.slots
      running, report = self.compiled.decode(
        variables,
        prompt,
        running,
        self.kill.copy(),
        np.int32(leave),
        np.int32(self.sampler.config.chunk),
      )
      pending.append((report, list(self.owners)))
      if len(pending) > self.sampler.ahead:
        yield from self._harvest(*pending.popleft())

  def _seat(self, pairs) -> tuple[Lanes, np.ndarray, np.ndarray]:
    """Assigns waiting units to slots; returns the inputs of their prefill."""
    shape, stats = self.shape, self.sampler.stats
    stop_ids = self.sampler.config.max_stop_ids
    lanes = Lanes.empty(shape.rows, shape, stop_ids)
    tokens = np.zeros((shape.rows, shape.prompt), np.int32)
    slots = np.full(shape.rows, shape.slots, np.int32)
    settings = [SamplingParams()] * shape.rows
    for row, slot in pairs:
      unit = self.owners[slot] = self.queue.popleft()
      request, ids, done = unit.request, unit.tokens, len(unit.done)
      self.kill[slot] = False
      tokens[row, : len(ids)] = ids
      slots[row] = slot
      settings[row] = request.sampling
      lanes.prompt_len[row] = len(ids)
      lanes.stop_ids[row, : len(request.stop_ids)] = request.stop_ids
      lanes.seed[row], lanes.index[row] = request.sampling.seed, request.index
      lanes.number[row, : len(unit.numbers)] = unit.numbers
      lanes.done[row, : len(unit.numbers)] = False
      lanes.first[row] = lanes.count[row] = done
      lanes.limit[row] = min(request.sampling.max_new_tokens, done + shape.tail)
      lanes.tokens[row, :, :done] = unit.done
      lanes.logprobs[row, :, :done] = unit.logprobs
      stats.prefilled_useful += len(ids)
    stats.prefilled += tokens.size
    return lanes._replace(policy=Policy.of(settings)), tokens, slots

  def _harvest(self, report: dict, owners: list[Unit | None]):
    """Collects what a chunk has finished; yields the completed requests."""
    start = time.perf_counter()
    report = jax.device_get(report)
    stats = self.sampler.stats
    stats.waiting_s += time.perf_counter() - start
    lanes = self.shape.slots * self.shape.lanes
    stats.lane_steps += int(report["steps"]) * lanes
    stats.lane_steps_useful += int(report["lane_steps"])
    for slot, unit in enumerate(owners):
      # A slot may have been emptied since the chunk was dispatched.
      if unit is None or self.owners[slot] is not unit:
        continue
      by_sample = lambda name, slot=slot, unit=unit: [
        report[name][slot, s, : report["count"][slot, s]].tolist()
        for s in range(len(unit.numbers))
      ]
      if report["done"][slot].all():
        self.owners[slot] = None
        self._finish(unit, by_sample("tokens"), by_sample("logprobs"))
        if unit.request.finished:
          yield unit.request
      elif stops := unit.request.sampling.stop:
        for s, ids in enumerate(by_sample("tokens")):
          text = self.sampler.decode_text(ids)
          self.kill[slot, s] = any(stop in text for stop in stops)

  def _finish(self, unit: Unit, ids: list, logprobs: list) -> None:
    """Adds a unit's samples to its request, or queues their continuations."""
    decode = self.sampler.decode_text
    samples = zip(unit.numbers, ids, logprobs, strict=True)
    for number, tokens, scores in samples:
      following = finish(unit, number, tokens, scores, decode)
      if following is not None:
        self.sampler.stats.continued += 1
        shape = self.sampler.planner.shape(following)
        self.queues[shape].append(following)


def _indices(indices: Sequence[int] | None, count: int) -> Sequence[int]:
  """The prompts' numbers, checked."""
  if indices is None:
    return range(count)
  if len(indices) != count or len(set(indices)) != count:
    raise UserError(
      f"{len(indices)} indices ({len(set(indices))} different ones) for"
      f" {count} prompts; give each prompt its own."
    )
  return indices
