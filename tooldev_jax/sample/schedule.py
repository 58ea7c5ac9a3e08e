"""Which prompt takes which slot: bookkeeping on the host, without arrays.

A slot of the cache holds one prompt and the lanes that sample from it side by
side. Where a prompt has more samples than lanes, its slot decodes them in
waves, one after the other.

A `Request` is a prompt with its settings. It is decoded as one or more
`Unit`s, each of which takes a slot; usually one unit has all n samples. A
sample that outgrows its tail becomes a unit of its own, whose prompt is the
old prompt and the sample's tokens so far. Its random keys stay the same.

The `Shape` of a unit, for which programs are compiled, depends on the request
alone and never on other requests. That is half of the sampler's promise.
"""

import dataclasses
from collections.abc import Callable, Sequence

from tooldev_jax.config import SamplerConfig
from tooldev_jax.errors import UserError
from tooldev_jax.sample.params import RequestOutput, Sample, SamplingParams

Decode = Callable[[Sequence[int]], str]

# The most waves of a slot. A prompt with more samples takes several slots, so
# that a few prompts with very many samples do not leave other slots empty.
MAX_WAVES = 4


@dataclasses.dataclass(frozen=True, order=True)
class Shape:
  """What a pair of programs is compiled for.

  Attributes:
    lanes: samples that a slot decodes side by side.
    waves: how many times it does so, one after the other.
    prompt: the prompt bucket.
    tail: the tail bucket.
    slots: prompts that decode together.
    rows: prompts that are prefilled together.
  """

  lanes: int
  waves: int
  prompt: int
  tail: int
  slots: int
  rows: int

  @property
  def samples(self) -> int:
    """Samples of a slot."""
    return self.lanes * self.waves

  @property
  def record(self) -> int:
    """Tokens of a sample that are kept.

    A single sample of a slot may be a continued one. It also keeps the tokens
    from before, which are now part of its prompt.
    """
    return self.tail + (self.prompt if self.samples == 1 else 0)


@dataclasses.dataclass
class Request:
  """One prompt with its settings, and its finished samples.

  Attributes:
    index: the number i that goes into the random keys.
    prompt: token ids.
    sampling: its settings.
    stop_ids: tokens that end a sample, the model's own included.
    samples: the finished ones, by j.
  """

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
    lanes, waves: of its slot, see `Shape`; those beyond `numbers` are empty.
    done: tokens that the one sample of a continued unit has so far.
    logprobs: one per token of `done`.
  """

  request: Request
  numbers: tuple[int, ...]
  lanes: int = 1
  waves: int = 1
  done: tuple[int, ...] = ()
  logprobs: tuple[float, ...] = ()

  @property
  def tokens(self) -> tuple[int, ...]:
    """What is prefilled."""
    return self.request.prompt + self.done


class Planner:
  """Turns requests into units, and units into shapes.

  Args:
    config: the buckets.
    shards: ways the batch is split over devices; slots and rows divide by it.
  """

  def __init__(self, config: SamplerConfig, shards: int):
    self.config = config
    self.shards = shards

  def units(self, request: Request) -> list[Unit]:
    """Spreads n samples evenly over as few slots as hold them.

    Samples of a slot share its prefill, but wait for the longest of their
    wave. So samples that may become twice as long as their prompt get a slot
    each: 256 prompts of 100 tokens with 2 answers of about 400 then take three
    quarters of the time (5M parameters, CPU).

    Raises:
      UserError: the prompt is empty or longer than the largest bucket, or has
        too many stop tokens.
    """
    self._check(request)
    n = request.sampling.n
    tail = self._tail(Unit(request, (0,)))
    apart = tail >= 2 * self._prompt(request.prompt)
    most = self.config.max_lanes
    share = 1 if apart else _even(n, most * MAX_WAVES)
    lanes = _even(share, most)
    waves = -(-share // lanes)
    return [
      Unit(request, tuple(range(j, min(j + share, n))), lanes, waves)
      for j in range(0, n, share)
    ]

  def shape(self, unit: Unit) -> Shape:
    """The programs that run this unit; a function of the unit alone."""
    whole = lambda n: -(-max(n, 1) // self.shards) * self.shards
    prompt = self._prompt(unit.tokens)
    tail = self._tail(unit)
    # A cache longer than the largest bucket has fewer slots, not more memory.
    largest = self.config.prompt_buckets[-1]
    slots = whole(
      self.config.rows * largest // max(prompt, largest) // unit.lanes
    )
    # Empty slots wait until there are enough for a prefill: let that be few.
    rows = whole(min(self.config.prefill_tokens // prompt, slots // 16))
    rows = min(rows, slots)
    return Shape(unit.lanes, unit.waves, prompt, tail, slots, rows)

  def shape_for(self, n: int, prompt: int, new: int) -> Shape:
    """The programs that n samples of `new` tokens of a prompt start with.

    Raises:
      UserError: the prompt is longer than the largest bucket.
    """
    sampling = SamplingParams(n=n, max_new_tokens=new)
    (unit, *_) = self.units(Request(0, (0,) * prompt, sampling, ()))
    return self.shape(unit)

  def _prompt(self, tokens: Sequence[int]) -> int:
    """The smallest bucket that holds these tokens.

    Only a continued sample may be longer than the largest bucket. It gets the
    next multiple of that.
    """
    largest = self.config.prompt_buckets[-1]
    if len(tokens) > largest:
      return -(-len(tokens) // largest) * largest
    return _bucket(self.config.prompt_buckets, len(tokens))

  def _tail(self, unit: Unit) -> int:
    """The tail bucket of a unit.

    It is planned for the expected length, and twice that of a sample that
    outgrew its tail. Where such a sample would not fit the largest prompt
    bucket, it is planned for all tokens that may come, so that there is none.
    """
    sampling, done = unit.request.sampling, len(unit.done)
    left = sampling.max_new_tokens - done
    expected = 2 * done or sampling.expected_new_tokens or left
    tail = _bucket(self.config.tail_buckets, min(left, expected))
    if tail < left and len(unit.tokens) + tail > self.config.prompt_buckets[-1]:
      return _bucket(self.config.tail_buckets, left)
    return tail

  def _check(self, request: Request) -> None:
    """Refuses what cannot be sampled, before anything is."""
    name, size = f"prompt {request.index}", len(request.prompt)
    if not size:
      raise UserError(f"{name} is empty; the sampler needs one token or more.")
    if size > self.config.prompt_buckets[-1]:
      raise UserError(
        f"{name} has {size} tokens; the longest that are accepted are the"
        " largest of SamplerConfig.prompt_buckets,"
        f" {self.config.prompt_buckets}."
      )
    if len(request.stop_ids) > self.config.max_stop_ids:
      raise UserError(
        f"{name} has {len(request.stop_ids)} stop tokens, the model's own"
        f" included; SamplerConfig.max_stop_ids is {self.config.max_stop_ids}."
      )


def seats(
  owners: Sequence[Unit | None], rows: int, shards: int
) -> list[tuple[int, int]]:
  """Pairs of (prefill row, empty slot) that one prefill could fill.

  Slots and rows are split evenly over the shards of the batch, and a row goes
  to a slot of its own shard.

  Args:
    owners: the unit in each slot, None for an empty slot.
    rows: of a prefill.
    shards: ways the batch is split.
  """
  slots, rows = len(owners) // shards, rows // shards
  pairs: list[tuple[int, int]] = []
  for shard in range(shards):
    mine = range(shard * slots, (shard + 1) * slots)
    empty = [slot for slot in mine if owners[slot] is None]
    pairs += zip(range(shard * rows, (shard + 1) * rows), empty, strict=False)
  return pairs


def finish(
  unit: Unit,
  number: int,
  ids: Sequence[int],
  logprobs: Sequence[float],
  decode: Decode,
) -> Unit | None:
  """Adds one sample to its request, or returns the unit that continues it.

  Args:
    unit: the sample's unit.
    number: its j.
    ids: the sample's tokens so far.
    logprobs: one per token.
    decode: token ids to text.

  Returns:
    None if the sample is finished, else the unit that continues it.
  """
  request, sampling = unit.request, unit.request.sampling
  cut = find_stop(ids, sampling.stop, decode)
  by_token = ids[-1] in request.stop_ids
  if cut is not None:
    size, text = cut
    ids, logprobs = ids[:size], logprobs[:size]
  elif by_token or len(ids) >= sampling.max_new_tokens:
    text = decode(ids[:-1] if by_token else ids)
  else:
    return Unit(request, (number,), done=tuple(ids), logprobs=tuple(logprobs))
  request.samples[number] = Sample(
    tuple(ids),
    text,
    "stop" if by_token or cut is not None else "length",
    tuple(logprobs) if sampling.logprobs else None,
  )
  return None


def find_stop(
  ids: Sequence[int], stops: Sequence[str], decode: Decode
) -> tuple[int, str] | None:
  """The fewest tokens whose text has a stop string, and the text before it.

  Looks at every prefix, so the answer does not depend on the chunk length.
  """
  found = lambda text: [text.find(stop) for stop in stops if stop in text]
  if not stops or not found(decode(ids)):
    return None
  for size in range(1, len(ids) + 1):
    text = decode(ids[:size])
    if starts := found(text):
      return size, text[: min(starts)]
  return None


def _even(count: int, most: int) -> int:
  """The size of as few equal parts of `count` as are none above `most`."""
  return -(-count // -(-count // most))


def _bucket(buckets: Sequence[int], size: int) -> int:
  """The smallest that holds `size`, or the largest."""
  return next((bucket for bucket in buckets if bucket >= size), buckets[-1])
