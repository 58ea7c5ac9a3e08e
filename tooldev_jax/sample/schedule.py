"""Which prompt goes where: pure bookkeeping on the host, no arrays.

A `Request` is a prompt with its settings. It is decoded as one or more
`Unit`s, each of which takes a slot: usually one unit with all n samples. A
sample that outgrows its tail becomes a unit of its own, whose prompt is the
old prompt and what the sample has so far; its keys go on where they were.

What a unit looks like to the device, its `Shape`, depends on the request
alone, never on its neighbours. That is half of the sampler's promise.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence

from tooldev_jax.errors import UserError
from tooldev_jax.sample.params import (
  RequestOutput,
  Sample,
  SamplerConfig,
  SamplingParams,
)


@dataclasses.dataclass(frozen=True, order=True)
class Shape:
  """A compiled pair of programs.

  Attributes:
    lanes: samples that share a slot.
    prompt: the prompt bucket.
    tail: the tail bucket.
    slots: prompts that decode together.
    rows: prompts that are prefilled together.
  """

  lanes: int
  prompt: int
  tail: int
  slots: int
  rows: int


@dataclasses.dataclass
class Request:
  """One prompt on its way through the sampler.

  Attributes:
    place: in the caller's list.
    index: the number i that goes into the random keys.
    prompt: token ids.
    sampling: its settings.
    stop_ids: tokens that end a sample, the model's own included.
    samples: what is finished, by j.
  """

  place: int
  index: int
  prompt: tuple[int, ...]
  sampling: SamplingParams
  stop_ids: tuple[int, ...]
  samples: dict[int, Sample] = dataclasses.field(default_factory=dict)

  @property
  def finished(self) -> bool:
    """Whether all n samples are there."""
    return len(self.samples) == self.sampling.n

  def output(self) -> RequestOutput:
    """The finished samples, in the order of j."""
    samples = tuple(self.samples[j] for j in range(self.sampling.n))
    return RequestOutput(self.index, len(self.prompt), samples)


@dataclasses.dataclass(frozen=True)
class Unit:
  """Samples of one request that share a slot.

  Attributes:
    request: whose samples they are.
    numbers: the j of each.
    lanes: lanes of its slot; those beyond `numbers` stay empty.
    prefix: what the one sample of a continued unit has so far.
    prefix_logprobs: one per token of `prefix`.
  """

  request: Request
  numbers: tuple[int, ...]
  lanes: int
  prefix: tuple[int, ...] = ()
  prefix_logprobs: tuple[float, ...] = ()

  @property
  def tokens(self) -> tuple[int, ...]:
    """What is prefilled."""
    return self.request.prompt + self.prefix

  @property
  def remaining(self) -> int:
    """New tokens a sample may still have."""
    return self.request.sampling.max_new_tokens - len(self.prefix)

  def continued(
    self, number: int, tokens: Sequence[int], logprobs: Sequence[float]
  ) -> "Unit":
    """The unit that goes on with one sample which outgrew its tail."""
    return Unit(
      self.request,
      (number,),
      1,
      self.prefix + tuple(tokens),
      self.prefix_logprobs + tuple(logprobs),
    )


class Planner:
  """Turns requests into units, and units into shapes.

  Args:
    config: the buckets.
    shards: ways the batch is split over devices; slots and rows divide by it.
    whole_tails: whether tails must hold `max_new_tokens` from the start.
  """

  def __init__(self, config: SamplerConfig, shards: int, whole_tails: bool):
    self.config = config
    self.shards = shards
    self.whole_tails = whole_tails

  def units(self, request: Request) -> list[Unit]:
    """Spreads n samples evenly over as few slots as hold them.

    Raises:
      UserError: the prompt, or what it may grow to, exceeds the cache.
    """
    self._check(request)
    n = request.sampling.n
    lanes = self._lanes(n)
    return [
      Unit(request, tuple(range(j, min(j + lanes, n))), lanes)
      for j in range(0, n, lanes)
    ]

  def shape(self, unit: Unit) -> Shape:
    """The programs that run this unit; a function of the unit alone."""
    prompt = _bucket(self.config.prompt_buckets, len(unit.tokens))
    assert prompt is not None, "checked on arrival"
    tail = self._tail(unit.request.sampling, len(unit.prefix))
    return self.make_shape(unit.lanes, prompt, tail)

  def shape_for(self, n: int, prompt: int, new: int) -> Shape:
    """The programs that n samples of a prompt start with.

    Args:
      n: samples of the prompt.
      prompt: its length.
      new: the new tokens to plan for.

    Raises:
      UserError: no prompt bucket is that long.
    """
    sampling = SamplingParams(n=n, max_new_tokens=new)
    (unit, *_) = self.units(Request(0, 0, (0,) * prompt, sampling, ()))
    return self.shape(unit)

  def _lanes(self, n: int) -> int:
    return -(-n // -(-n // self.config.max_lanes))

  def make_shape(self, lanes: int, prompt: int, tail: int) -> Shape:
    """Fills in how many slots and prefill rows go with these sizes."""
    whole = lambda n: -(-max(n, 1) // self.shards) * self.shards
    slots = whole(self.config.rows // lanes)
    # Empty slots wait until they fill a prefill, so let that be an eighth.
    rows = min(self.config.prefill_tokens // prompt, slots // 8)
    rows = min(whole(rows), slots)
    return Shape(lanes, prompt, tail, slots, rows)

  def _tail(self, sampling: SamplingParams, done: int) -> int:
    """The tail bucket for a sample that has `done` tokens already."""
    want = sampling.max_new_tokens - done
    if not self.whole_tails:
      hint = 2 * done or sampling.expected_new_tokens or want
      want = min(want, hint)
    buckets = self.config.tail_buckets
    return _bucket(buckets, want) or buckets[-1]

  def _check(self, request: Request) -> None:
    """Walks the longest way the request can go."""
    buckets, sampling = self.config.prompt_buckets, request.sampling
    name, size = f"prompt {request.index}", len(request.prompt)
    if not size:
      raise UserError(f"{name} is empty; the sampler needs one token or more.")
    if size > buckets[-1]:
      raise UserError(
        f"{name} has {size} tokens, more than the cache holds; the largest of"
        f" SamplerConfig.prompt_buckets is {buckets[-1]}."
      )
    if len(request.stop_ids) > self.config.max_stop_ids:
      raise UserError(
        f"{name} has {len(request.stop_ids)} stop tokens, the model's own"
        f" included; SamplerConfig.max_stop_ids is {self.config.max_stop_ids}."
      )
    done = self._tail(sampling, 0)
    while done < sampling.max_new_tokens:
      if size + done > buckets[-1] or self.whole_tails:
        raise UserError(
          f"{name} has {size} tokens and may have {sampling.max_new_tokens}"
          f" new ones; after {done} of them it outgrows its cache. Add a tail"
          f" bucket that holds them (tail_buckets are"
          f" {self.config.tail_buckets}) or a larger prompt bucket"
          f" (prompt_buckets are {buckets})."
        )
      done += self._tail(sampling, done)


class Slots:
  """Who sits in which slot of one shape.

  Slots and prefill rows are split evenly over the shards of the batch, and a
  row is seated in a slot of its own shard.
  """

  def __init__(self, shape: Shape, shards: int):
    self.shape = shape
    self.shards = shards
    self.owner: list[Unit | None] = [None] * shape.slots

  @property
  def room(self) -> int:
    """Units that one prefill could seat."""
    return len(self._pairs())

  @property
  def busy(self) -> bool:
    """Whether any slot is taken."""
    return any(unit is not None for unit in self.owner)

  def seat(self, queue: collections.deque[Unit]) -> list[tuple[int, int, Unit]]:
    """Takes units off the queue's front; returns (row, slot, unit) each."""
    seated = []
    for row, slot in self._pairs()[: len(queue)]:
      unit = queue.popleft()
      self.owner[slot] = unit
      seated.append((row, slot, unit))
    return seated

  def _pairs(self) -> list[tuple[int, int]]:
    """Prefill rows with an empty slot for each."""
    rows = self.shape.rows // self.shards
    slots = self.shape.slots // self.shards
    pairs = []
    for shard in range(self.shards):
      mine = range(shard * slots, (shard + 1) * slots)
      empty = [slot for slot in mine if self.owner[slot] is None]
      pairs += [(shard * rows + i, slot) for i, slot in enumerate(empty[:rows])]
    return pairs


def finish(
  unit: Unit,
  number: int,
  tokens: Sequence[int],
  logprobs: Sequence[float],
  decode: Callable[[Sequence[int]], str],
) -> Unit | None:
  """Files one lane's tokens as a finished sample, or returns its next unit.

  Args:
    unit: the lane's unit.
    number: its sample's j.
    tokens: what the lane generated in this unit.
    logprobs: one per token.
    decode: token ids to text.

  Returns:
    None if the sample is finished, else the unit that continues it.
  """
  request, sampling = unit.request, unit.request.sampling
  ids = [*unit.prefix, *tokens]
  scores = [*unit.prefix_logprobs, *logprobs]
  cut = find_stop(ids, sampling.stop, decode)
  by_token = ids[-1] in request.stop_ids
  if cut is not None:
    size, text = cut
    ids, scores = ids[:size], scores[:size]
  elif by_token or len(ids) >= sampling.max_new_tokens:
    text = decode(ids[:-1] if by_token else ids)
  else:
    return unit.continued(number, tokens, logprobs)
  request.samples[number] = Sample(
    tuple(ids),
    text,
    "stop" if by_token or cut is not None else "length",
    tuple(scores) if sampling.logprobs else None,
  )
  return None


def find_stop(
  ids: Sequence[int],
  stops: Sequence[str],
  decode: Callable[[Sequence[int]], str],
) -> tuple[int, str] | None:
  """The fewest tokens whose text has a stop string, and the text before it.

  Looks at every prefix, so the answer does not depend on when it is asked.
  """
  if not stops:
    return None
  found = lambda text: [text.find(stop) for stop in stops if stop in text]
  if not found(decode(ids)):
    return None
  for size in range(1, len(ids) + 1):
    text = decode(ids[:size])
    if places := found(text):
      return size, text[: min(places)]
  return None


def _bucket(buckets: Sequence[int], size: int) -> int | None:
  return next((bucket for bucket in buckets if bucket >= size), None)
