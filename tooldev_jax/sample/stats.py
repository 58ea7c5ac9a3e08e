"""What a run of the sampler cost, and what of it was useful."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.sample.params import RequestOutput


@dataclasses.dataclass
class SampleStats:
  """Counts of one call of `generate` or `stream`.

  Attributes:
    prompts, samples: finished ones.
    prompt_tokens: of the finished prompts, each counted once.
    new_tokens: generated, in the samples as returned.
    useful_flops: what the returned samples cost at least; see
      `useful_flops`.
    peak_flops: of all devices of the mesh, a second; 0 if not known.
    wall_s: seconds, compiling included.
    compile_s: seconds of compiling.
    waiting_s: seconds in which the host waited for the device.
    compiles: programs compiled.
    prefilled: tokens that went through prefill, padding included.
    prefilled_useful: those of them that were part of a prompt.
    lane_steps: lanes times decode steps, idle lanes included.
    lane_steps_useful: those of them that sampled a token that counts.
    continued: samples that outgrew their tail and were prefilled again.
  """

  prompts: int = 0
  samples: int = 0
  prompt_tokens: int = 0
  new_tokens: int = 0
  useful_flops: float = 0.0
  peak_flops: float = 0.0
  wall_s: float = 0.0
  compile_s: float = 0.0
  waiting_s: float = 0.0
  compiles: int = 0
  prefilled: int = 0
  prefilled_useful: int = 0
  lane_steps: int = 0
  lane_steps_useful: int = 0
  continued: int = 0

  def add(self, config: DecoderConfig, output: RequestOutput) -> None:
    """Counts a finished prompt."""
    sizes = [len(sample.token_ids) for sample in output.samples]
    self.prompts += 1
    self.samples += len(sizes)
    self.prompt_tokens += output.prompt_len
    self.new_tokens += sum(sizes)
    self.useful_flops += useful_flops(config, output.prompt_len, sizes)

  def to_json(self) -> dict[str, Any]:
    """Rates and shares, of time without compiling; None where not known."""
    share = lambda part, whole: part / whole if whole else None
    seconds = self.wall_s - self.compile_s
    return {
      "prompts": self.prompts,
      "samples": self.samples,
      "prompt_tokens": self.prompt_tokens,
      "new_tokens": self.new_tokens,
      "continued": self.continued,
      "prompts_per_s": share(self.prompts, seconds),
      "samples_per_s": share(self.samples, seconds),
      "new_tokens_per_s": share(self.new_tokens, seconds),
      "useful_gflops_per_s": share(self.useful_flops / 1e9, seconds),
      "useful_mfu": share(self.useful_flops, seconds * self.peak_flops),
      "lane_occupancy": share(self.lane_steps_useful, self.lane_steps),
      "padding_share": share(
        self.prefilled - self.prefilled_useful, self.prefilled
      ),
      # Without chunks dispatched ahead the device idles while the host does
      # not wait for it; with them this is an upper bound, and so it is on
      # several CPU devices, where a dispatch waits for the one before.
      "host_gap_share": share(seconds - self.waiting_s, seconds),
      "wall_s": self.wall_s,
      "compile_s": self.compile_s,
      "compiles": self.compiles,
    }

  def __str__(self) -> str:
    show = lambda x: "unknown" if x is None else f"{x:.4g}"
    return ", ".join(f"{k} {show(v)}" for k, v in self.to_json().items())


def useful_flops(
  config: DecoderConfig, prompt: int, new: Sequence[int]
) -> float:
  """FLOPs that n samples of one prompt cost at the very least.

  The prompt goes through the layers once and each new token but the last
  once; the head is used once for the prompt and once for each of those. No
  padding, no prompt twice, no idle lane.

  Args:
    config: the model.
    prompt: tokens of the prompt.
    new: tokens of each sample.
  """
  heads = config.num_heads * config.head_dim
  kv_heads = config.num_kv_heads * config.head_dim
  per_layer = config.hidden_size * (
    2 * heads + 2 * kv_heads + 3 * config.intermediate_size
  )
  fed = sum(size - 1 for size in new)
  total = 2.0 * config.hidden_size * config.vocab_size * (1 + fed)
  for layer in config.layers:
    seen = lambda tokens, window=layer.attention.window: _seen(tokens, window)
    pairs = seen(prompt) + sum(
      seen(prompt + size - 1) - seen(prompt) for size in new
    )
    total += 2.0 * per_layer * (prompt + fed) + 4.0 * heads * pairs
  return total


def _seen(tokens: int, window: int | None) -> int:
  """Pairs of a token and one that it sees, itself included."""
  full = min(tokens, window or tokens)
  return full * (full + 1) // 2 + (tokens - full) * full
