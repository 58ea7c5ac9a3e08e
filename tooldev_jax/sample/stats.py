"""What a run of the sampler cost, and what of it was useful."""

import dataclasses
from typing import Any

import jax

from tooldev_jax.models.config import DecoderConfig

# Dense bfloat16 FLOP/s of one device, from the makers' data sheets.
PEAK_FLOPS = {
  "NVIDIA A100": 312e12,
  "NVIDIA H100": 989e12,
  "NVIDIA H200": 989e12,
  "TPU v4": 275e12,
  "TPU v5 lite": 197e12,
  "TPU v5p": 459e12,
  "TPU v6 lite": 918e12,
}


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

  @property
  def run_s(self) -> float:
    """Seconds without compiling."""
    return self.wall_s - self.compile_s

  def to_json(self) -> dict[str, Any]:
    """Rates and shares; those that are not known are None."""
    share = lambda part, whole: part / whole if whole else None
    mfu = None
    if self.peak_flops:
      mfu = share(self.useful_flops, self.run_s * self.peak_flops)
    return {
      "prompts": self.prompts,
      "samples": self.samples,
      "prompt_tokens": self.prompt_tokens,
      "new_tokens": self.new_tokens,
      "continued": self.continued,
      "prompts_per_s": share(self.prompts, self.run_s),
      "samples_per_s": share(self.samples, self.run_s),
      "new_tokens_per_s": share(self.new_tokens, self.run_s),
      "useful_gflops_per_s": share(self.useful_flops / 1e9, self.run_s),
      "useful_mfu": mfu,
      "lane_occupancy": share(self.lane_steps_useful, self.lane_steps),
      "padding_share": share(
        self.prefilled - self.prefilled_useful, self.prefilled
      ),
      # Without chunks dispatched ahead the device idles while the host does
      # not wait for it; with them this is an upper bound.
      "host_gap_share": share(self.run_s - self.waiting_s, self.run_s),
      "wall_s": self.wall_s,
      "compile_s": self.compile_s,
      "compiles": self.compiles,
    }

  def __str__(self) -> str:
    row = self.to_json()
    percent = lambda name: (
      "unknown" if row[name] is None else f"{100 * row[name]:.1f} %"
    )
    rate = lambda name: f"{row[name] or 0:.1f}"
    return (
      f"{self.prompts} prompts, {self.samples} samples,"
      f" {self.new_tokens} new tokens in {self.wall_s:.1f} s"
      f" ({self.compiles} programs compiled in {self.compile_s:.1f} s):"
      f" {rate('prompts_per_s')} prompts/s,"
      f" {rate('samples_per_s')} samples/s,"
      f" {rate('new_tokens_per_s')} tokens/s,"
      f" useful MFU {percent('useful_mfu')},"
      f" lanes busy {percent('lane_occupancy')},"
      f" padding {percent('padding_share')},"
      f" host gap {percent('host_gap_share')}"
    )


def useful_flops(
  config: DecoderConfig, prompt: int, new: tuple[int, ...]
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
  head_uses = 1 + fed
  total = 2.0 * config.hidden_size * config.vocab_size * head_uses
  for layer in config.layers:
    window = layer.attention.window
    seen = _seen(prompt, window) + sum(
      _seen(prompt + size - 1, window) - _seen(prompt, window) for size in new
    )
    total += 2.0 * per_layer * (prompt + fed) + 4.0 * heads * seen
  return total


def _seen(tokens: int, window: int | None) -> int:
  """Pairs of a token and one that it sees, itself included."""
  full = min(tokens, window or tokens)
  return full * (full + 1) // 2 + (tokens - full) * full


def peak_flops(device: jax.Device) -> float:
  """Of one device, a second; 0 if its kind is not in the table."""
  kinds = sorted(PEAK_FLOPS, key=len, reverse=True)
  matching = (kind for kind in kinds if device.device_kind.startswith(kind))
  kind = next(matching, None)
  return PEAK_FLOPS[kind] if kind else 0.0
