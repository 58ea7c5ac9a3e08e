"""Bookkeeping: shapes, slots, stop strings and what is refused."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tooldev_jax.config import SamplerConfig
from tooldev_jax.errors import UserError
from tooldev_jax.sample.params import RequestOutput, Sample, SamplingParams
from tooldev_jax.sample.schedule import (
  Planner,
  Request,
  find_stop,
  finish,
  seats,
)

CONFIG = SamplerConfig(
  prompt_buckets=(8, 16, 32),
  tail_buckets=(4, 8),
  rows=24,
  max_lanes=4,
  prefill_tokens=32,
)


def request(size: int = 5, stop_ids: tuple[int, ...] = (), **settings):
  return Request(7, tuple(range(size)), SamplingParams(**settings), stop_ids)


def spell(ids) -> str:
  return "".join(chr(97 + i) for i in ids)


def planner(shards: int = 1) -> Planner:
  return Planner(CONFIG, shards)


@pytest.mark.parametrize(
  "n, slots, lanes, waves",
  [
    (1, [1], 1, 1),
    (4, [4], 4, 1),
    (7, [7], 4, 2),
    (9, [9], 3, 3),
    (16, [16], 4, 4),
    (17, [9, 8], 3, 3),
    (40, [14, 14, 12], 4, 4),
  ],
)
def test_samples_are_spread_evenly_over_waves_and_slots(n, slots, lanes, waves):
  units = planner().units(request(n=n, max_new_tokens=4))
  assert [len(unit.numbers) for unit in units] == slots
  assert [j for unit in units for j in unit.numbers] == list(range(n))
  (shape,) = {planner().shape(unit) for unit in units}
  assert (shape.lanes, shape.waves) == (lanes, waves)


@pytest.mark.parametrize(
  "prompt, new, slots", [(8, 8, 1), (16, 8, 1), (9, 4, 1), (4, 16, 4)]
)
def test_samples_much_longer_than_their_prompt_get_a_slot_each(
  prompt, new, slots
):
  config = dataclasses.replace(CONFIG, tail_buckets=(4, 8, 16))
  units = Planner(config, 1).units(request(prompt, n=4, max_new_tokens=new))
  assert len(units) == slots


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_slots_and_rows_divide_over_the_devices(shards):
  shape = planner(shards).shape_for(n=3, prompt=16, new=4)
  assert shape.slots % shards == 0
  assert shape.rows % shards == 0
  assert 0 < shape.rows <= shape.slots


def test_tail_follows_the_hint_and_then_grows():
  plan = planner()
  (unit,) = plan.units(request(max_new_tokens=12, expected_new_tokens=3))
  assert plan.shape(unit).tail == 4
  after = finish(unit, 0, [1, 2, 3, 4], [0.0] * 4, spell)
  assert (plan.shape(after).tail, plan.shape(after).lanes) == (8, 1)
  assert after.tokens == (*range(5), 1, 2, 3, 4)
  assert plan.shape(after).record >= len(after.done) + 8


@given(
  st.integers(1, 32),
  st.integers(1, 100),
  st.integers(0, 100),
  st.integers(1, 40),
  st.sets(st.integers(1, 32), min_size=1, max_size=3),
  st.sets(st.integers(1, 32), min_size=1, max_size=4),
  st.integers(1, 3),
)
def test_every_prompt_of_the_largest_bucket_can_be_sampled_to_its_end(
  size, new, expected, n, prompts, tails, shards
):
  """The longest way: no sample ever stops by itself."""
  config = dataclasses.replace(
    CONFIG,
    prompt_buckets=tuple(sorted(prompts)),
    tail_buckets=tuple(sorted(tails)),
  )
  plan = Planner(config, shards)
  wanted = request(
    min(size, max(prompts)),
    max_new_tokens=new,
    expected_new_tokens=expected,
    n=n,
  )
  waiting, memory = plan.units(wanted), []
  while waiting:
    unit = waiting.pop()
    shape = plan.shape(unit)
    assert 0 < len(unit.tokens) <= shape.prompt
    assert shape.slots % shards == shape.rows % shards == 0
    memory.append((shape.prompt * (shape.slots - shards), shape.lanes))
    tokens = [*unit.done, *[0] * shape.tail][:new]
    for number in unit.numbers:
      following = finish(unit, number, tokens, [0.0] * len(tokens), spell)
      waiting += [following] if following else []
  assert wanted.finished
  assert all(len(x.token_ids) == new for x in wanted.samples.values())
  # No cache of prompts is larger than that of as many prompts of the largest
  # bucket, but for rounding up to the devices.
  most = config.prompt_buckets[-1] * config.rows
  assert all(size * lanes <= most for size, lanes in memory)


@pytest.mark.parametrize(
  ("size", "new", "tail"),
  [
    (24, 12, 4),  # What outgrows 4 continues as a prompt of 28.
    (29, 8, 8),  # It would be one of 33, so the tail is long at once.
    (32, 4, 4),
    (32, 100, 8),  # Longer than any tail: continued beyond the bucket.
  ],
)
def test_the_tail_is_long_enough_where_a_prompt_could_not_grow(size, new, tail):
  plan = planner()
  (unit,) = plan.units(request(size, max_new_tokens=new, expected_new_tokens=3))
  assert plan.shape(unit).tail == tail


def test_what_grows_beyond_the_largest_bucket_has_fewer_slots():
  plan = planner()
  (unit,) = plan.units(request(32, max_new_tokens=100))
  assert (plan.shape(unit).prompt, plan.shape(unit).slots) == (32, 24)
  after = finish(unit, 0, list(range(8)), [0.0] * 8, spell)
  assert (plan.shape(after).prompt, plan.shape(after).slots) == (64, 12)


def test_a_row_is_seated_in_an_empty_slot_of_its_own_shard():
  taken = planner().units(request(max_new_tokens=4))[0]
  owners = [taken, None, None, None, None, taken, taken, None]
  assert seats(owners, rows=4, shards=2) == [(0, 1), (1, 2), (2, 4), (3, 7)]
  assert seats(owners, rows=2, shards=2) == [(0, 1), (1, 4)]
  assert seats(owners, rows=2, shards=1) == [(0, 1), (1, 2)]
  assert seats([taken] * 8, rows=4, shards=2) == []


@pytest.mark.parametrize(
  "broken, words",
  [
    ({"size": 0}, "prompt 7 is empty"),
    ({"size": 33}, "prompt 7 has 33 tokens; the longest .* 32"),
    ({"stop_ids": tuple(range(9))}, "9 stop tokens"),
  ],
)
def test_what_does_not_fit_is_named(broken, words):
  with pytest.raises(UserError, match=words):
    planner().units(request(**broken))


@pytest.mark.parametrize(
  "field, value",
  [
    ("n", 0),
    ("temperature", -1.0),
    ("top_p", 0.0),
    ("min_p", 1.5),
    ("top_k", -1),
    ("max_new_tokens", 0),
    ("stop", "text"),
    ("stop", ("",)),
    ("seed", -1),
  ],
)
def test_settings_that_make_no_sense_are_named(field, value):
  with pytest.raises(UserError, match=field):
    SamplingParams(**{field: value})


@pytest.mark.parametrize(
  "field, value",
  [
    ("prompt_buckets", (8, 4)),
    ("tail_buckets", ()),
    ("tail_buckets", (0, 4)),
    ("rows", 0),
    ("chunk", 0),
    ("ahead", -1),
  ],
)
def test_shapes_that_make_no_sense_are_named(field, value):
  with pytest.raises(UserError, match=field):
    SamplerConfig(**{field: value})


def test_stop_strings_end_at_the_first_token_that_completes_one():
  assert find_stop([0, 1, 2, 3, 1, 2], ["cd", "bc"], spell) == (3, "a")
  assert find_stop([0, 1], ["bc"], spell) is None
  assert find_stop([], ["a"], spell) is None


def filed(tokens, stop_ids=(), **settings) -> Sample | None:
  (unit,) = planner().units(request(stop_ids=stop_ids, **settings))
  following = finish(unit, 0, tokens, [0.5] * len(tokens), spell)
  return None if following else unit.request.samples[0]


def test_how_samples_end():
  long = {"max_new_tokens": 8}
  assert filed([0, 1, 2], (2,), **long) == Sample((0, 1, 2), "ab", "stop")
  assert filed([0, 1, 2, 3], max_new_tokens=4) == Sample(
    (0, 1, 2, 3), "abcd", "length"
  )
  # A stop string wins over the stop token after it, and the overrun is cut.
  assert filed([0, 1, 2, 3], (3,), stop=("b",), logprobs=True, **long) == (
    Sample((0, 1), "a", "stop", (0.5, 0.5))
  )
  assert filed([0, 1, 2, 3], **long) is None


def test_outputs_survive_json():
  output = RequestOutput(
    3, 2, (Sample((1, 2), "ab", "stop", (-0.1, -0.2)), Sample((), "", "length"))
  )
  assert RequestOutput.from_json(output.to_json()) == output
