"""Every sample is what the definition says, whatever happens around it.

The decoder is a hash of the prefix, so these tests go through prefill, caches,
slots, refills and continued samples, and know each token beforehand.
"""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from tests.sample import hashing
from tooldev_jax import io
from tooldev_jax.config import MeshConfig, SamplerConfig
from tooldev_jax.errors import UnreadableError, UserError
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.sample.files import sample_to_file
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.sample.sampler import Sampler

TABLE = hashing.table()
PARAMS = {"table": TABLE}
STOPS = (1, 2)
CONFIG = SamplerConfig(
  prompt_buckets=(24, 48),
  tail_buckets=(8,),
  rows=9,
  max_lanes=3,
  prefill_tokens=48,
  chunk=5,
)


class Speller:
  """A tokenizer of one letter a token."""

  stop_token_ids = STOPS

  def decode(self, ids) -> str:
    return "".join(chr(65 + i) for i in ids)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  return Sampler(hashing.HashDecoder(), Speller(), mesh, CONFIG)


def with_settings(sampler: Sampler, **settings) -> Sampler:
  """The same programs, driven with another chunk length or depth."""
  config = dataclasses.replace(sampler.config, **settings)
  mesh = sampler.programs.partition.mesh
  other = Sampler(sampler.decoder, sampler.tokenizer, mesh, config)
  other.programs = sampler.programs
  return other


def workload(seed: int, count: int = 30):
  """Prompts of every length, and settings that differ from one to the next."""
  rng = np.random.default_rng(seed)
  prompts, settings = [], []
  for _ in range(count):
    size = int(rng.integers(1, 25))
    prompts.append(rng.integers(0, hashing.VOCAB, size).tolist())
    settings.append(
      SamplingParams(
        # 5 takes two waves of three and leaves one empty, 14 also two slots.
        n=int(rng.choice([1, 3, 5, 6, 14])),
        temperature=float(rng.choice([0.0, 0.7, 1.5])),
        top_k=int(rng.choice([0, 5])),
        top_p=float(rng.choice([1.0, 0.8])),
        max_new_tokens=int(rng.choice([1, 2, 8, 20])),
        expected_new_tokens=int(rng.choice([0, 3])),
        seed=int(rng.integers(5)),
        logprobs=True,
        ignore_eos=bool(rng.choice([False, False, True])),
      )
    )
  return prompts, settings


def check(outputs, prompts, settings, indices=None, window=None):
  indices = range(len(prompts)) if indices is None else indices
  for output, prompt, setting, index in zip(
    outputs, prompts, settings, indices, strict=True
  ):
    assert (output.index, output.prompt_len) == (index, len(prompt))
    assert len(output.samples) == setting.n
    stops = () if setting.ignore_eos else STOPS
    for number, sample in enumerate(output.samples):
      ids, logprobs = hashing.expected(
        TABLE, prompt, setting, index, number, stops, window
      )
      assert list(sample.token_ids) == ids
      np.testing.assert_allclose(sample.logprobs, logprobs, atol=1e-5)
      reason = "stop" if ids[-1] in stops else "length"
      assert sample.finish_reason == reason
      text = Speller().decode(ids[:-1] if reason == "stop" else ids)
      assert sample.text == text


@pytest.mark.parametrize("seed", range(3))
def test_every_sample_is_what_the_definition_says(sampler, seed):
  prompts, settings = workload(seed)
  check(sampler.generate(PARAMS, prompts, settings), prompts, settings)
  assert sampler.stats.continued > 0


def test_prompts_as_long_as_the_largest_bucket_are_sampled_to_their_end(
  sampler,
):
  """They continue in a cache longer than it, and are still exact."""
  rng = np.random.default_rng(2)
  prompts = [
    rng.integers(0, hashing.VOCAB, size).tolist() for size in (41, 47, 48, 48)
  ]
  settings = [
    SamplingParams(
      n=n,
      max_new_tokens=20,
      expected_new_tokens=3,
      logprobs=True,
      ignore_eos=True,
    )
    for n in (1, 3, 4, 1)
  ]
  check(sampler.generate(PARAMS, prompts, settings), prompts, settings)
  assert sampler.stats.continued > 0


def test_a_window_forgets_exactly_what_lies_before_it():
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  decoder = hashing.HashDecoder(window=6)
  config = dataclasses.replace(CONFIG, prompt_buckets=(48,))
  sampler = Sampler(decoder, Speller(), mesh, config)
  prompts, settings = workload(5, count=12)
  outputs = sampler.generate(PARAMS, prompts, settings)
  check(outputs, prompts, settings, window=6)
  shape = sampler.planner.shape_for(n=1, prompt=48, new=8)
  prompt, _ = sampler.programs.abstract_state(shape, {"params": PARAMS})
  # A CPU keeps a list of one array a layer.
  assert [x.shape[-1] for x in prompt.key] == [6]
  assert [x.shape[-2] for x in prompt.value] == [6]


@pytest.mark.parametrize("chunk, ahead", [(1, 0), (3, 1), (50, 2)])
def test_order_chunks_and_depth_change_no_bit(sampler, chunk, ahead):
  prompts, settings = workload(4)
  whole = sampler.generate(PARAMS, prompts, settings)
  other = with_settings(sampler, chunk=chunk, ahead=ahead)
  order = np.random.default_rng(chunk).permutation(len(prompts)).tolist()
  shuffled = other.generate(
    PARAMS,
    [prompts[i] for i in order],
    [settings[i] for i in order],
    indices=order,
  )
  assert shuffled == [whole[i] for i in order]


def test_slices_of_several_processes_make_up_the_whole(sampler):
  prompts, settings = workload(6)
  whole = sampler.generate(PARAMS, prompts, settings)
  union = {}
  for process in range(3):
    mine = range(process, len(prompts), 3)
    for output in sampler.stream(
      PARAMS, prompts[process::3], settings[process::3], indices=mine
    ):
      union[output.index] = output
  assert [union[i] for i in range(len(prompts))] == whole


def test_a_second_call_compiles_nothing(sampler):
  prompts, settings = workload(7)
  sampler.generate(PARAMS, prompts, settings)
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event)
  )
  sampler.generate(PARAMS, prompts, settings)
  assert not [event for event in compiled if "compile" in event]
  assert sampler.stats.compiles == 0
  shapes = {key[0] for key in sampler.programs._compiled}
  assert sampler.programs.compiles == 2 * len(shapes)
  # Prompts as long as the largest bucket continue in one of twice its length.
  buckets = {(24, 8), (48, 8), (96, 8)}
  assert {(s.prompt, s.tail) for s in shapes} <= buckets


def test_nothing_and_the_same_again(sampler):
  assert sampler.generate(PARAMS, [], SamplingParams()) == []
  same = [[3, 4, 5]] * 4
  greedy = SamplingParams(temperature=0, max_new_tokens=8)
  outputs = sampler.generate(PARAMS, same, greedy)
  assert len({output.samples for output in outputs}) == 1
  drawn = sampler.generate(PARAMS, same, SamplingParams(max_new_tokens=8))
  check_settings = dataclasses.replace(greedy, temperature=1.0)
  assert [output.index for output in drawn] == list(range(4))
  for output in drawn:
    ids, _ = hashing.expected(
      TABLE, same[0], check_settings, output.index, 0, STOPS
    )
    assert list(output.samples[0].token_ids) == ids


def test_a_stop_at_the_first_token(sampler):
  settings = SamplingParams(
    n=3, max_new_tokens=8, stop_token_ids=tuple(range(3, 9))
  )
  every = SamplingParams(n=3, max_new_tokens=1)
  prompts, _ = workload(8)
  firsts = sampler.generate(PARAMS, prompts, every)
  outputs = sampler.generate(PARAMS, prompts, settings)
  stopped = 0
  for first, output in zip(firsts, outputs, strict=True):
    for one, sample in zip(first.samples, output.samples, strict=True):
      assert len(one.token_ids) == 1
      assert sample.token_ids[0] == one.token_ids[0]
      if one.token_ids[0] < 9 and one.token_ids[0] > 0:
        assert sample == dataclasses.replace(one, text="", finish_reason="stop")
        stopped += 1
  assert stopped > 5


@pytest.mark.parametrize("chunk", [1, 50])
def test_stop_strings_cut_where_they_begin(sampler, chunk):
  prompts, settings = workload(9)
  stops = ("K", "CD", "XY")
  plain = sampler.generate(PARAMS, prompts, settings)
  outputs = with_settings(sampler, chunk=chunk, ahead=1).generate(
    PARAMS, prompts, [dataclasses.replace(s, stop=stops) for s in settings]
  )
  cut = 0
  samples = lambda outputs: itertools.chain(*(o.samples for o in outputs))
  for free, sample in zip(samples(plain), samples(outputs), strict=True):
    letters = Speller().decode(free.token_ids)
    ends = [letters.find(s) + len(s) for s in stops if s in letters]
    if not ends:
      assert sample == free
      continue
    cut += 1
    assert sample.finish_reason == "stop"
    assert sample.token_ids == free.token_ids[: min(ends)]
    assert sample.logprobs == free.logprobs[: min(ends)]
    assert not any(stop in sample.text for stop in stops)
    assert letters.startswith(sample.text)
  assert cut > 10


def test_a_hook_sees_what_each_lane_has_so_far():
  """Tokens must alternate between even and odd."""

  def alternate(lanes, logits):
    last = jax.numpy.take_along_axis(
      lanes.tokens, jax.numpy.maximum(lanes.count - 1, 0)[..., None], axis=-1
    )
    parity = jax.numpy.where(lanes.count[..., None] == 0, 1, last % 2)
    odd = jax.numpy.arange(logits.shape[-1]) % 2
    return jax.numpy.where(odd != parity, logits, -1e30)

  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  decoder = hashing.HashDecoder()
  sampler = Sampler(decoder, None, mesh, CONFIG, logits_fn=alternate)
  prompts, _ = workload(10)
  settings = SamplingParams(n=3, max_new_tokens=15, expected_new_tokens=3)
  for output in sampler.generate(PARAMS, prompts, settings):
    for sample in output.samples:
      assert [t % 2 for t in sample.token_ids] == [0, 1] * 7 + [0]
  assert sampler.stats.continued == 3 * len(prompts)


def test_single_tokens_and_pairs_follow_the_distribution():
  """4,000 samples of one prompt against the table's probabilities."""
  n = 4000
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  config = dataclasses.replace(
    CONFIG, prompt_buckets=(24,), rows=800, max_lanes=400
  )
  sampler = Sampler(hashing.HashDecoder(), None, mesh, config)
  prompt = [4, 5, 6]
  params = hashing.table(sharpness=1.0)
  (output,) = sampler.generate(
    {"table": params}, [prompt], SamplingParams(n=n, max_new_tokens=2)
  )
  assert len(output.samples) == n
  total = sum(hashing._value(t, p) for p, t in enumerate(prompt))
  softmax = lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum()
  first = softmax(params[total % hashing.STATES])
  pairs = np.array(
    [
      softmax(params[(total + hashing._value(t, 3)) % hashing.STATES])
      for t in range(hashing.VOCAB)
    ]
  )
  drawn = np.array([sample.token_ids for sample in output.samples])
  joint = first[:, None] * pairs
  for counts, expected in (
    (np.bincount(drawn[:, 0], minlength=hashing.VOCAB), first * n),
    (
      np.bincount(
        drawn[:, 0] * hashing.VOCAB + drawn[:, 1], minlength=hashing.VOCAB**2
      ),
      joint.reshape(-1) * n,
    ),
  ):
    big = expected >= 5
    statistic = ((counts - expected)[big] ** 2 / expected[big]).sum()
    freedom = big.sum()
    assert freedom > 20
    assert (statistic - freedom) / np.sqrt(2 * freedom) < 4


class Killed(BaseException):
  """Stands for SIGKILL at a crash point."""


def test_a_killed_run_resumes_to_the_same_bytes(sampler, tmp_path):
  prompts, settings = workload(11, count=6)
  whole = tmp_path / "whole.jsonl"
  outputs = sample_to_file(whole, sampler, PARAMS, prompts, settings)
  check(outputs, prompts, settings)

  points = itertools.count()
  io.observe_crash_points(lambda _: next(points))
  sample_to_file(tmp_path / "count.jsonl", sampler, PARAMS, prompts, settings)
  path = tmp_path / "killed.jsonl"
  for at in range(next(points)):
    left = itertools.count()

    def crash(label, at=at, left=left):
      if next(left) == at:
        raise Killed(label)

    io.observe_crash_points(crash)
    with pytest.raises(Killed):
      sample_to_file(path, sampler, PARAMS, prompts, settings)
    io.observe_crash_points(None)
    before = sampler.stats
    again = sample_to_file(path, sampler, PARAMS, prompts, settings)
    assert again == outputs
    if sampler.stats is not before:
      assert sampler.stats.prompts + at >= len(prompts)
    assert path.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "killed.jsonl.log").exists()
    path.unlink()


def test_finished_prompts_are_not_sampled_again(sampler):
  prompts, settings = workload(12, count=8)
  whole = sampler.generate(PARAMS, prompts, settings)
  rest = list(sampler.stream(PARAMS, prompts, settings, skip={0, 3, 4}))
  assert sampler.stats.prompts == 5
  assert sorted(rest, key=lambda o: o.index) == [
    whole[i] for i in (1, 2, 5, 6, 7)
  ]


def test_files_of_another_job_are_refused(sampler, tmp_path):
  path = tmp_path / "samples.jsonl"
  settings = SamplingParams(max_new_tokens=2)
  sample_to_file(path, sampler, PARAMS, [[1]], settings)
  with pytest.raises(UserError, match="another job"):
    sample_to_file(path, sampler, PARAMS, [[2]], settings)
  with pytest.raises(UserError, match="another job"):
    sample_to_file(path, sampler, PARAMS, [[1]], settings, source="other")


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (b'{"job"', "is damaged"),
    (b'{"job": "x"}\n\xff\xfe', "is damaged"),
    (b"", "another job"),
    (b"7\n", "another job"),
  ],
)
def test_a_damaged_file_is_named_and_left_alone(
  sampler, tmp_path, content, words
):
  path = tmp_path / "samples.jsonl"
  path.write_bytes(content)
  with pytest.raises(UserError, match=rf"(?s)samples\.jsonl.*{words}"):
    sample_to_file(path, sampler, PARAMS, [[1]], SamplingParams())
  assert path.read_bytes() == content


@pytest.mark.parametrize("row", ['{"index": 0}', "[]", "nonsense"])
def test_a_damaged_row_is_named_in_a_file_and_in_a_log(sampler, tmp_path, row):
  path, log = tmp_path / "samples.jsonl", tmp_path / "samples.jsonl.log"
  settings = SamplingParams(max_new_tokens=2)
  sample_to_file(path, sampler, PARAMS, [[1]], settings)
  first = path.read_text().splitlines()[0]
  for file, end in ((path, ""), (log, "\n")):
    content = f"{first}\n{row}{end}\n"
    file.write_text(content)
    with pytest.raises(UserError, match="is damaged"):
      sample_to_file(path, sampler, PARAMS, [[1]], settings)
    assert file.read_text() == content
    file.unlink()


@pytest.mark.parametrize("name", ["samples.jsonl", "samples.jsonl.log"])
def test_samples_that_cannot_be_read_are_left_alone(sampler, tmp_path, name):
  settings = SamplingParams(max_new_tokens=2)
  (tmp_path / name).mkdir()  # Opening it is an error of the system.
  with pytest.raises(UnreadableError, match="could not be read"):
    sample_to_file(tmp_path / "samples.jsonl", sampler, PARAMS, [[1]], settings)
  assert (tmp_path / name).is_dir()


def test_a_file_of_another_job_makes_room_when_the_new_one_is_there(
  sampler, tmp_path
):
  path, said = tmp_path / "samples.jsonl", []
  ask = functools.partial(
    sample_to_file, path, sampler, PARAMS, on_replace=said.append
  )
  settings = SamplingParams(max_new_tokens=2)
  ask([[1]], settings)
  first = path.read_bytes()
  assert ask([[1]], settings) and not said

  def killed(*_):
    raise Killed

  with pytest.raises(Killed):
    ask([[2]], settings, on_output=killed)
  assert not path.exists()
  assert (tmp_path / "samples.jsonl.previous").read_bytes() == first
  # What was half done for the second job is no part of the third.
  (output,) = ask([[3, 4]], settings)
  assert output.prompt_len == 2
  assert [file.name for file in tmp_path.iterdir()] == ["samples.jsonl"]
  assert len(said) == 2 and "samples.jsonl: made again" in said[0]
  assert path.read_bytes() != first


def test_calls_that_make_no_sense_are_refused(sampler):
  settings = SamplingParams()
  with pytest.raises(UserError, match="2 sampling settings for 1 prompts"):
    sampler.generate(PARAMS, [[1]], [settings] * 2)
  with pytest.raises(UserError, match="indices"):
    sampler.generate(PARAMS, [[1], [2]], settings, indices=[4, 4])
  with pytest.raises(UserError, match="no lora"):
    sampler.generate(PARAMS, [[1]], settings, adapter={})
  blind = with_settings(sampler)
  blind.tokenizer = None
  with pytest.raises(UserError, match="need a tokenizer"):
    blind.generate(PARAMS, [[1]], SamplingParams(stop=("x",)))


def test_stats_add_up(sampler):
  prompts, settings = workload(13)
  outputs = sampler.generate(PARAMS, prompts, settings)
  stats, row = sampler.stats, sampler.stats.to_json()
  samples = [sample for output in outputs for sample in output.samples]
  assert stats.prompts == len(prompts)
  assert stats.samples == len(samples)
  assert stats.new_tokens == sum(len(s.token_ids) for s in samples)
  assert stats.prompt_tokens == sum(map(len, prompts))
  for name in ("lane_occupancy", "padding_share", "host_gap_share"):
    assert 0 <= row[name] <= 1
  assert row["useful_mfu"] is None  # the peak of a CPU is not known
  assert row["compiles"] == 0 and row["samples_per_s"] > 0
  assert "useful_mfu unknown, lane_occupancy 0." in str(stats)
