"""The sampler: many prompts in, n samples of each out, as fast as is exact.

The host keeps slots full: it seats waiting prompts, has them prefilled, has a
chunk of tokens decoded, files what has finished, and begins again. What runs
on the device is in `programs`, who sits where in `schedule`.

**Promise.** Sample j of prompt i depends only on the parameters, the prompt,
its settings, its seed, i and j. It does not depend on the other prompts, their
order, slots, chunk lengths or interruptions, bit for bit, for one
SamplerConfig and one mesh. With other buckets, rows or meshes the random
keys are the same and log-probabilities agree to rounding, so a token can
differ only where two were nearly tied.
The key of a token is `fold_in(fold_in(fold_in(key(seed), i), j), token)`.
"""

import collections
import dataclasses
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from tooldev_jax.errors import UserError
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.sample.params import (
  RequestOutput,
  SamplerConfig,
  SamplingParams,
)
from tooldev_jax.sample.policy import Policy
from tooldev_jax.sample.programs import (
  Arrivals,
  Compiled,
  Control,
  Lanes,
  LogitsFn,
  Programs,
  Report,
  place,
)
from tooldev_jax.sample.schedule import (
  Planner,
  Request,
  Shape,
  Slots,
  Unit,
  finish,
)
from tooldev_jax.sample.stats import SampleStats, peak_flops, useful_flops

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
    config: shapes and habits.
    logits_fn: a pure function (lanes, logits [slots, lanes, vocabulary]) ->
      logits that is applied before sampling, as for constrained decoding;
      `lanes.tokens[..., :lanes.count]` is what each lane has so far.

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
    shards = self.programs.shards
    self._planner = Planner(self.config, shards, logits_fn is not None)
    self._ahead = self.config.ahead
    device = mesh.devices.flat[0]
    if self._ahead < 0:
      self._ahead = 0 if device.platform == "cpu" else 1
    self._peak = mesh.size * (self.config.peak_flops or peak_flops(device))

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
    place_of = {
      i: place for place, i in enumerate(_indices(indices, len(prompts)))
    }
    outputs = self.stream(
      params, prompts, sampling, adapter=adapter, indices=indices
    )
    return sorted(outputs, key=lambda output: place_of[output.index])

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
      skip: indices that are not sampled, since an earlier run has finished
        them.
    """
    requests = self._requests(prompts, sampling, indices, frozenset(skip))
    variables = {"params": params}
    if adapter is not None:
      if self.decoder.lora is None:
        raise UserError("an adapter was given, but the decoder has no lora.")
      variables["lora"] = adapter
    queues: Queues = collections.defaultdict(collections.deque)
    for request in requests:
      for unit in self._planner.units(request):
        queues[self._planner.shape(unit)].append(unit)
    return self._run(queues, variables)

  def _requests(self, prompts, sampling, indices, skip) -> list[Request]:
    numbers = _indices(indices, len(prompts))
    if isinstance(sampling, SamplingParams):
      sampling = [sampling] * len(prompts)
    if len(sampling) != len(prompts):
      raise UserError(
        f"{len(sampling)} sampling settings for {len(prompts)} prompts; give"
        " one for all or one each."
      )
    own = () if self.tokenizer is None else self.tokenizer.stop_token_ids
    requests = []
    for place_, (index, prompt, settings) in enumerate(
      zip(numbers, prompts, sampling, strict=True)
    ):
      if settings.stop and self.tokenizer is None:
        raise UserError(
          f"prompt {index} has stop strings, which need a tokenizer."
        )
      if index not in skip:
        stops = (() if settings.ignore_eos else tuple(own)) + tuple(
          settings.stop_token_ids
        )
        stops = tuple(dict.fromkeys(stops))
        requests.append(
          Request(place_, index, tuple(map(int, prompt)), settings, stops)
        )
    return requests

  def _run(self, queues, variables) -> Iterator[RequestOutput]:
    """Works the queues off, shape by shape."""
    stats = self.stats = SampleStats(peak_flops=self._peak)
    compiles, compile_s = self.programs.compiles, self.programs.compile_s
    start, outside = time.perf_counter(), 0.0
    while any(queues.values()):
      # Samples that outgrow their tail go on with one lane and a longer
      # prompt: many lanes and short prompts first lets them gather.
      shape = min(
        (shape for shape, queue in queues.items() if queue),
        key=lambda shape: (-shape.lanes, shape.prompt, shape.tail),
      )
      compiled = self.programs.get(shape, variables)
      for request in _Phase(self, compiled, shape, variables, queues).run():
        output = request.output()
        self._count(request, output)
        stats.compiles = self.programs.compiles - compiles
        stats.compile_s = self.programs.compile_s - compile_s
        stats.wall_s = time.perf_counter() - start - outside
        left = time.perf_counter()
        yield output
        outside += time.perf_counter() - left

  def _decode_text(self, ids: Sequence[int]) -> str:
    return "" if self.tokenizer is None else self.tokenizer.decode(list(ids))

  def _count(self, request: Request, output: RequestOutput) -> None:
    sizes = tuple(len(sample.token_ids) for sample in output.samples)
    self.stats.prompts += 1
    self.stats.samples += len(sizes)
    self.stats.prompt_tokens += output.prompt_len
    self.stats.new_tokens += sum(sizes)
    self.stats.useful_flops += useful_flops(
      self.decoder.config, output.prompt_len, sizes
    )


class _Phase:
  """One shape's slots, from the first unit seated to the last one finished."""

  def __init__(
    self,
    sampler: Sampler,
    compiled: Compiled,
    shape: Shape,
    variables: Any,
    queues: Queues,
  ):
    self.sampler = sampler
    self.compiled = compiled
    self.shape = shape
    self.variables = variables
    self.queues = queues
    self.slots = Slots(shape, sampler.programs.shards)
    self.kill = np.zeros((shape.slots, shape.lanes), bool)

  def run(self) -> Iterator[Request]:
    """Yields requests as they finish."""
    queue = self.queues[self.shape]
    prompt, running = self.compiled.empty()
    pending: collections.deque[tuple[Report, list]] = collections.deque()
    while queue or self.slots.busy:
      if queue and self.slots.room >= self._wanted():
        prompt, running = self._prefill(prompt, running, queue)
        continue
      running, report = self._decode(prompt, running)
      pending.append((report, list(self.slots.owner)))
      if len(pending) > self.sampler._ahead:
        yield from self._harvest(*pending.popleft())

  def _wanted(self) -> int:
    """Arrivals that make a full prefill, or all that wait."""
    return min(self.shape.rows, len(self.queues[self.shape]))

  def _prefill(self, prompt, running, queue):
    seated = self.slots.seat(queue)
    arrivals = _arrivals(self.compiled.arrivals, seated, self.shape)
    prompt, lanes = self.compiled.prefill(
      self.variables, prompt, running.lanes, arrivals
    )
    for _, slot, _ in seated:
      self.kill[slot] = False
    stats = self.sampler.stats
    stats.prefilled += self.shape.rows * self.shape.prompt
    stats.prefilled_useful += sum(len(unit.tokens) for _, _, unit in seated)
    return prompt, dataclasses.replace(running, lanes=lanes)

  def _decode(self, prompt, running):
    # With prompts waiting, leave as soon as a full prefill has room.
    leave = self.shape.slots
    if self.queues[self.shape]:
      leave = max(1, self._wanted() - self.slots.room)
    control = Control(
      kill=self.kill.copy(),
      leave=np.array(leave, np.int32),
      steps=np.array(self.sampler.config.chunk, np.int32),
    )
    control = place(control, self.compiled.control)
    return self.compiled.decode(self.variables, prompt, running, control)

  def _harvest(self, report: Report, owners: list[Unit | None]):
    """Files what a chunk has finished; yields the requests that completed."""
    start = time.perf_counter()
    report = jax.device_get(report)
    stats = self.sampler.stats
    stats.waiting_s += time.perf_counter() - start
    stats.lane_steps += int(report.steps) * self.shape.slots * self.shape.lanes
    stats.lane_steps_useful += int(report.lane_steps)
    for slot, unit in enumerate(owners):
      # A slot may have been emptied since the chunk was dispatched.
      if unit is None or self.slots.owner[slot] is not unit:
        continue
      if report.done[slot].all():
        self.slots.owner[slot] = None
        yield from self._finish(slot, unit, report)
      elif unit.request.sampling.stop:
        self._look_for_stops(slot, unit, report)

  def _finish(self, slot: int, unit: Unit, report: Report):
    for lane, number in enumerate(unit.numbers):
      size = report.count[slot, lane]
      following = finish(
        unit,
        number,
        report.tokens[slot, lane, :size].tolist(),
        report.logprobs[slot, lane, :size].tolist(),
        self.sampler._decode_text,
      )
      if following is not None:
        self.sampler.stats.continued += 1
        shape = self.sampler._planner.shape(following)
        self.queues[shape].append(following)
    if unit.request.finished:
      yield unit.request

  def _look_for_stops(self, slot: int, unit: Unit, report: Report) -> None:
    """Ends lanes whose text has a stop string by now."""
    for lane in range(len(unit.numbers)):
      size = report.count[slot, lane]
      ids = [*unit.prefix, *report.tokens[slot, lane, :size].tolist()]
      text = self.sampler._decode_text(ids)
      if any(stop in text for stop in unit.request.sampling.stop):
        self.kill[slot, lane] = True


def _arrivals(
  like: Arrivals, seated: list[tuple[int, int, Unit]], shape: Shape
) -> Arrivals:
  """The prefill batch for these units; rows beyond them are padding."""
  settings = [SamplingParams()] * shape.rows
  for row, _, unit in seated:
    settings[row] = unit.request.sampling
  stop_ids = like.lanes.stop_ids.shape[1]
  lanes = dataclasses.replace(
    Lanes.empty(shape.rows, shape.lanes, shape.tail, stop_ids),
    policy=Policy.of(settings),
  )
  batch = Arrivals(
    lanes,
    tokens=np.zeros((shape.rows, shape.prompt), np.int32),
    slot=np.full(shape.rows, shape.slots, np.int32),
    seed=np.zeros(shape.rows, np.uint32),
    index=np.zeros(shape.rows, np.uint32),
    number=np.zeros((shape.rows, shape.lanes), np.uint32),
  )
  for row, slot, unit in seated:
    request, ids = unit.request, unit.tokens
    batch.tokens[row, : len(ids)] = ids
    batch.slot[row] = slot
    batch.seed[row] = request.sampling.seed
    batch.index[row] = request.index
    batch.number[row, : len(unit.numbers)] = unit.numbers
    lanes.prompt_len[row] = len(ids)
    lanes.stop_ids[row, : len(request.stop_ids)] = request.stop_ids
    lanes.limit[row] = min(unit.remaining, shape.tail)
    lanes.first[row] = len(unit.prefix)
    lanes.done[row, : len(unit.numbers)] = False
  return place(batch, like)


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
