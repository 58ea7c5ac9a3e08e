"""The sampler against a lockstep loop and transformers, on two workloads.

  python -m tests.benchmarks.sample_workloads --size=5M \\
    --workload=invocation --out=sample_5M_invocation.json

*invocation*: 256 prompts with the lengths of the 400-sample file of ToolACE,
xLAM and Hammer dialogues (mean about 750), n = 8, call-like lengths (mean 25,
99 % under 60). *generation*: 256 prompts of about 100 tokens, n = 2, lengths
around 400. Weights are random, so each sample's length is drawn beforehand
from the workload's distribution and forced the same way on everyone; token
choice is temperature 0.8, top-k 50 for all. Programs are compiled before the
clock starts. Each contender runs `--repeats` times, taking turns, in this one
process; the JSON has every time, and ratios of the medians.
"""

import dataclasses
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from tests.benchmarks.sample_lockstep import make_lockstep, run_lockstep
from tooldev_jax import storage
from tooldev_jax.models.checkpoint import save_model
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import init_params
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import MeshConfig, make_mesh
from tooldev_jax.sample.params import SamplerConfig, SamplingParams
from tooldev_jax.sample.sampler import Sampler

_SIZE = flags.DEFINE_enum("size", "5M", ["1M", "5M", "15M"], "The model.")
_WORKLOAD = flags.DEFINE_enum(
  "workload", "invocation", ["invocation", "generation"], "The prompts."
)
_PROMPTS = flags.DEFINE_integer("prompts", 256, "How many.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Runs of each contender.")
_ROWS = flags.DEFINE_integer("rows", 64, "Lanes of the sampler.")
_BATCHES = flags.DEFINE_list(
  "batches", ["32", "64"], "Rows that the other contenders try."
)
_ONLY = flags.DEFINE_list(
  "only", ["sampler", "lockstep", "transformers"], "Contenders."
)
_GROWTH = flags.DEFINE_bool("growth", False, "Also 2 x prompts and 4 x n.")
_OUT = flags.DEFINE_string("out", "", "Where the JSON goes; prints if empty.")

VOCAB = 4096
# width, layers, heads, kv heads, MLP width
SIZES = {
  "1M": (128, 4, 4, 4, 384),
  "5M": (256, 6, 4, 2, 704),
  "15M": (448, 6, 7, 7, 1216),
}
# Every twentieth of the characters of instruction and input, over 4.2.
PROMPT_QUANTILES = [
  *(434, 472, 489, 502, 526, 544, 567, 588, 618, 649, 667),
  *(705, 729, 758, 787, 847, 906, 981, 1092, 1362, 2294),
]


@dataclasses.dataclass(frozen=True)
class Workload:
  """What is sampled; new tokens are lognormal with this mean and spread."""

  n: int
  prompt_quantiles: list[int]
  new_mean: float
  new_sigma: float
  max_new_tokens: int
  prompt_buckets: tuple[int, ...]
  tail_buckets: tuple[int, ...]

  def ends(self, normal: Any, module: Any = np) -> Any:
    """Lengths for standard normal draws."""
    middle = np.log(self.new_mean) - self.new_sigma**2 / 2
    ends = module.exp(middle + self.new_sigma * normal)
    return module.clip(module.round(ends), 1, self.max_new_tokens)


WORKLOADS = {
  "invocation": Workload(
    8, PROMPT_QUANTILES, 25, 0.41, 96, (576, 768, 1024, 2304), (96,)
  ),
  "generation": Workload(
    2, list(range(80, 122, 2)), 400, 0.25, 768, (128,), (768,)
  ),
}


def make_prompts(workload: Workload, count: int) -> list[list[int]]:
  """Random tokens, in lengths that follow the quantiles."""
  rng = np.random.default_rng(0)
  share = (np.arange(count) + 0.5) / count
  grid = np.linspace(0, 1, len(workload.prompt_quantiles))
  sizes = np.interp(share, grid, workload.prompt_quantiles).astype(int)
  return [rng.integers(3, VOCAB, s).tolist() for s in rng.permutation(sizes)]


class SamplerRun:
  """The sampler, with a hook that ends each sample at its drawn length."""

  name = "sampler"

  def __init__(self, decoder, params, workload):
    def end(lanes, logits):
      # A sample's key decides its length, whatever slot it sits in.
      share = (lanes.key[..., 0] >> 8).astype(jnp.float32) * 2.0**-24
      normal = jax.scipy.special.ndtri(jnp.clip(share, 1e-6, 1 - 1e-6))
      last = lanes.count + 1 >= workload.ends(normal, jnp)
      stop = jnp.where(jnp.arange(logits.shape[-1]) == 2, 1e9, -1e9)
      never = logits.at[..., 2].set(-1e9)
      return jnp.where(last[..., None], stop, never)

    config = SamplerConfig(
      prompt_buckets=workload.prompt_buckets,
      tail_buckets=workload.tail_buckets,
      rows=_ROWS.value,
    )
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    self.sampler = Sampler(decoder, None, mesh, config, logits_fn=end)
    self.params, self.workload = params, workload

  def __call__(self, prompts, n) -> dict[str, Any]:
    """Samples everything; returns the stats."""
    settings = SamplingParams(
      n=n,
      temperature=0.8,
      top_k=50,
      max_new_tokens=self.workload.max_new_tokens,
      stop_token_ids=(2,),
    )
    self.sampler.generate(self.params, prompts, settings)
    return self.sampler.stats.to_json()


class LockstepRun:
  """The baseline in JAX."""

  def __init__(self, decoder, params, workload, batch):
    self.name = f"lockstep, {batch} rows"
    self.variables = {"params": params}
    self.workload, self.batch = workload, batch
    self.programs = {
      size: make_lockstep(decoder, size, workload.max_new_tokens)
      for size in workload.prompt_buckets
    }

  def __call__(self, prompts, n) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    ends = self.workload.ends(rng.normal(size=(len(prompts), n))).astype(int)
    rows = [
      (prompt, int(end))
      for prompt, row in zip(prompts, ends, strict=True)
      for end in row
    ]
    tokens = run_lockstep(
      self.programs,
      self.variables,
      rows,
      self.batch,
      self.workload.prompt_buckets,
      SamplingParams(temperature=0.8, top_k=50),
    )
    return {"new_tokens": tokens}


class TransformersRun:
  """`generate(num_return_sequences=n)` on the same weights."""

  def __init__(self, decoder, params, workload, batch):
    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)
    self.name = f"transformers, {batch} rows"
    self.torch, self.transformers = torch, transformers
    self.workload, self.batch = workload, batch
    with tempfile.TemporaryDirectory() as folder:
      save_model(params, decoder.config, folder)
      self.model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32
      ).eval()

  def __call__(self, prompts, n) -> dict[str, Any]:
    torch, rng = self.torch, np.random.default_rng(1)
    ordered = sorted(prompts, key=len)
    per = max(1, self.batch // n)
    tokens = 0
    for start in range(0, len(ordered), per):
      part = ordered[start : start + per]
      size = max(map(len, part))
      ids = torch.zeros((len(part), size), dtype=torch.long)
      mask = torch.zeros_like(ids)
      for row, prompt in enumerate(part):
        ids[row, size - len(prompt) :] = torch.tensor(prompt)
        mask[row, size - len(prompt) :] = 1
      ends = self.workload.ends(rng.normal(size=len(part) * n)).astype(int)
      tokens += int(ends.sum())
      with torch.inference_mode():
        self.model.generate(
          ids,
          attention_mask=mask,
          do_sample=True,
          temperature=0.8,
          top_k=50,
          top_p=1.0,
          num_return_sequences=n,
          max_new_tokens=self.workload.max_new_tokens,
          eos_token_id=2,
          pad_token_id=0,
          logits_processor=[self._end(size, torch.tensor(ends))],
        )
    return {"new_tokens": tokens}

  def _end(self, size, ends):
    """Ends each row at its drawn length, as the sampler's hook does."""

    def process(input_ids, scores):
      last = input_ids.shape[1] - size + 1 >= ends
      scores[:, 2] = -1e9
      scores[last] = -1e9
      scores[last, 2] = 1e9
      return scores

    return process


def measure(run: Callable, prompts, n) -> dict[str, Any]:
  """One timed run."""
  start = time.perf_counter()
  stats = run(prompts, n)
  seconds = time.perf_counter() - start
  return {
    "seconds": seconds,
    "samples_per_s": len(prompts) * n / seconds,
    "new_tokens_per_s": stats["new_tokens"] / seconds,
    "stats": stats,
  }


def main(_) -> None:
  width, layers, heads, kv_heads, mlp = SIZES[_SIZE.value]
  config = DecoderConfig.from_hf(
    {
      "model_type": "llama",
      "architectures": ["LlamaForCausalLM"],
      "vocab_size": VOCAB,
      "hidden_size": width,
      "intermediate_size": mlp,
      "num_hidden_layers": layers,
      "num_attention_heads": heads,
      "num_key_value_heads": kv_heads,
      "max_position_embeddings": 4096,
      "tie_word_embeddings": True,
    }
  )
  decoder = Decoder(config)
  params = init_params(config, jax.random.key(0))
  workload = WORKLOADS[_WORKLOAD.value]
  prompts = make_prompts(workload, _PROMPTS.value)
  batches = [int(batch) for batch in _BATCHES.value]
  kinds = {"lockstep": LockstepRun, "transformers": TransformersRun}
  runs = [SamplerRun(decoder, params, workload)]
  for kind, make in kinds.items():
    if kind in _ONLY.value:
      runs += [make(decoder, params, workload, batch) for batch in batches]
  results: dict[str, list] = {run.name: [] for run in runs}
  for run in runs:
    run(prompts[:: max(1, len(prompts) // 64)], workload.n)  # compile
  for _ in range(_REPEATS.value):
    for run in runs:
      results[run.name].append(measure(run, prompts, workload.n))
      print(run.name, f"{results[run.name][-1]['seconds']:.1f} s", flush=True)
  rate = {
    name: statistics.median(r["samples_per_s"] for r in rows)
    for name, rows in results.items()
  }
  report = {
    "machine": f"{platform.processor() or platform.machine()},"
    f" {os.cpu_count()} cores, {jax.devices()[0].device_kind}",
    "load_average": os.getloadavg()[0],
    "size": _SIZE.value,
    "workload": _WORKLOAD.value,
    "prompts": len(prompts),
    "n": workload.n,
    "samples_per_s": rate,
    "ratio": {
      kind: rate["sampler"]
      / max(r for name, r in rate.items() if name.startswith(kind))
      for kind in kinds
      if kind in _ONLY.value
    },
    "runs": results,
  }
  if _GROWTH.value:
    report["growth"] = _growth(runs[0], prompts, workload)
  if _OUT.value:
    storage.write_json(_OUT.value, report)
  shown = {k: v for k, v in report.items() if k != "runs"}
  print(json.dumps(shown | {"stats": results["sampler"][-1]}, indent=2))


def _growth(run, prompts, workload) -> dict[str, float]:
  """Time for twice the prompts and for four times n, over the plain time."""
  more = make_prompts(workload, 2 * len(prompts))
  run(prompts[:64], 4 * workload.n)  # compile
  plain = measure(run, prompts, workload.n)["seconds"]
  return {
    "twice_the_prompts": measure(run, more, workload.n)["seconds"] / plain,
    "four_times_n": measure(run, prompts, 4 * workload.n)["seconds"] / plain,
  }


if __name__ == "__main__":
  app.run(main)
