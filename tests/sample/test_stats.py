"""What counts as useful, against sums written out token by token."""

import pytest

from tests.sample import hashing
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.sample.params import RequestOutput, Sample
from tooldev_jax.sample.stats import SampleStats, useful_flops


def flops_by_token(config: DecoderConfig, prompt: int, new: list[int]) -> float:
  """Every token that is fed, one at a time, and every use of the head."""
  heads, kv_heads = config.num_heads, config.num_kv_heads
  matrices = config.hidden_size * config.head_dim * 2 * (heads + kv_heads)
  matrices += 3 * config.hidden_size * config.intermediate_size
  head = 2 * config.hidden_size * config.vocab_size

  def fed(position: int) -> float:
    total = 0.0
    for layer in config.layers:
      seen = min(position + 1, layer.attention.window or position + 1)
      total += 2 * matrices + 4 * heads * config.head_dim * seen
    return total

  total = sum(map(fed, range(prompt))) + head
  for size in new:
    # The last token is sampled but never fed.
    total += sum(fed(prompt + i) + head for i in range(size - 1))
  return total


@pytest.mark.parametrize("window", [None, 5, 100])
@pytest.mark.parametrize("prompt, new", [(1, [1]), (7, [3, 1]), (20, [9] * 4)])
def test_useful_flops_are_those_of_each_token_once(window, prompt, new):
  changes = {}
  if window:
    changes = {
      "model_type": "mistral",
      "architectures": ["MistralForCausalLM"],
      "sliding_window": window,
    }
  config = hashing.config(**changes)
  assert config.layers[0].attention.window == window
  expected = flops_by_token(config, prompt, new)
  assert useful_flops(config, prompt, new) == pytest.approx(expected, rel=1e-12)


def test_rates_leave_compiling_out_and_shares_are_of_what_ran():
  stats = SampleStats(
    peak_flops=1e9,
    wall_s=5.0,
    compile_s=3.0,
    waiting_s=1.5,
    compiles=2,
    prefilled=200,
    prefilled_useful=150,
    lane_steps=40,
    lane_steps_useful=30,
  )
  config = hashing.config()
  samples = (Sample((1, 2), "", "length"), Sample((3,), "", "stop"))
  stats.add(config, RequestOutput(0, 9, samples))
  row = stats.to_json()
  assert row["prompts_per_s"] == 0.5
  assert row["samples_per_s"] == 1.0
  assert row["new_tokens_per_s"] == 1.5
  assert row["useful_mfu"] == useful_flops(config, 9, [2, 1]) / 2e9
  assert row["lane_occupancy"] == 0.75
  assert row["padding_share"] == 0.25
  assert row["host_gap_share"] == 0.25
  assert row["compiles"] == 2


def test_nothing_ran_and_nothing_is_known():
  row = SampleStats().to_json()
  assert row["samples_per_s"] is row["useful_mfu"] is None
  assert row["lane_occupancy"] is row["padding_share"] is None
