"""The sampler against a lockstep loop and transformers, on two workloads.

  python -m tests.benchmarks.sample_workloads --size=5M \\
    --workload=invocation --growth --out=sample_5M_invocation.json

*invocation*: 256 prompts with the lengths of the 400-sample file of ToolACE,
xLAM and Hammer dialogues (mean about 750), n = 8, call-like lengths (mean 25,
99 % under 60). *generation*: 256 prompts of about 100 tokens, n = 2, lengths
around 400. Weights are random, so the length of each sample is drawn
beforehand and forced on everyone alike; token choice is temperature 0.8,
top-k 50 for all. Programs are compiled before the clock starts.

All run once, in this one process. Each core is a device of JAX: the sampler
spreads its lanes over all of them, the lockstep loop is tried with its rows on
one and on all, and the best of what a contender tried is what counts. The
sampler gets all prompts; the slower contenders get every few of them in the
order of length, so the figure that is compared is samples a second. Growth is
measured on prompts of one bucket.
"""

import dataclasses
import json
import os
import platform
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from tests.benchmarks.sample_lockstep import make_lockstep, run_lockstep
from tooldev_jax import io
from tooldev_jax.config import MeshConfig, SamplerConfig
from tooldev_jax.models.checkpoint import save_model
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import init_params
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import SAMPLE_RULES, Partition
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.sample.sampler import Sampler
from tooldev_jax.sample.schedule import Request, Unit

_SIZE = flags.DEFINE_enum("size", "5M", ["1M", "5M", "15M"], "The model.")
_WORKLOAD = flags.DEFINE_enum(
  "workload", "invocation", ["invocation", "generation"], "The prompts."
)
_PROMPTS = flags.DEFINE_integer("prompts", 256, "How many the sampler gets.")
_OTHERS = flags.DEFINE_integer("others", 32, "How many the others get.")
_ROWS = flags.DEFINE_integer("rows", 64, "Lanes of the sampler.")
_LOCKSTEP = flags.DEFINE_list("lockstep", ["64"], "Rows of the lockstep loop.")
_TRANSFORMERS = flags.DEFINE_list(
  "transformers", ["16", "64"], "Rows that transformers tries."
)
_GROWTH = flags.DEFINE_integer(
  "growth_prompts", 48, "Prompts whose number is doubled for --growth."
)
_GROW = flags.DEFINE_bool("growth", False, "Also 2 x prompts and 4 x n.")
_OUT = flags.DEFINE_string("out", "", "Where the JSON goes; prints if empty.")

VOCAB = 4096
STOP = 2
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
  """What is sampled; new tokens are lognormal with this mean and spread.

  `buckets` are the prompts' for all contenders, `config` is the sampler's.
  """

  n: int
  prompt_quantiles: list[int]
  new_mean: float
  new_sigma: float
  max_new_tokens: int
  expected_new_tokens: int
  buckets: tuple[int, ...]
  config: SamplerConfig

  def ends(self, prompts: int, n: int) -> np.ndarray:
    """The length of each sample, int32[prompts, n]."""
    normal = np.random.default_rng(1).normal(size=(1024, 64))[:prompts, :n]
    middle = np.log(self.new_mean) - self.new_sigma**2 / 2
    ends = np.round(np.exp(middle + self.new_sigma * normal))
    return np.clip(ends, 1, self.max_new_tokens).astype(np.int32)


WORKLOADS = {
  "invocation": Workload(
    *(8, PROMPT_QUANTILES, 25, 0.41, 96, 96, (576, 768, 1024, 2304)),
    SamplerConfig((576, 768, 1024, 2304), (96,)),
  ),
  # Prompts are cheap beside answers, so no sample shares a slot and none waits
  # for another. One in eight is longer than 512 and goes on in a longer cache.
  "generation": Workload(
    *(2, list(range(80, 122, 2)), 400, 0.25, 768, 512, (128,)),
    SamplerConfig((128, 640), (256, 512)),
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

  def __init__(self, decoder, params, workload):
    self.name, self.workload = "sampler", workload
    table = jnp.asarray(workload.ends(1024, 64))

    def end(lanes, logits):
      ends = table[lanes.index[:, None], lanes.number]
      last = lanes.count + 1 >= ends
      return logits.at[..., STOP].set(jnp.where(last, 1e9, -1e9))

    config = dataclasses.replace(workload.config, rows=_ROWS.value)
    partition = _partition(len(jax.devices()))
    self.params = jax.device_put(params, partition.sharding())
    self.sampler = Sampler(decoder, None, partition.mesh, config, logits_fn=end)

  def _settings(self, n: int) -> SamplingParams:
    return SamplingParams(
      n=n,
      temperature=0.8,
      top_k=50,
      max_new_tokens=self.workload.max_new_tokens,
      expected_new_tokens=self.workload.expected_new_tokens,
      stop_token_ids=(STOP,),
    )

  def compile(self, prompts, n) -> None:
    """Compiles what these prompts may need, continued samples included."""
    planner, shapes = self.sampler.planner, set()
    for prompt in prompts:
      request = Request(0, tuple(prompt), self._settings(n), (STOP,))
      first = planner.shape(planner.units(request)[0])
      shapes.add(first)
      if first.tail < self.workload.max_new_tokens:
        done = (0,) * first.tail
        shapes.add(planner.shape(Unit(request, (0,), done=done)))
    for shape in sorted(shapes):
      self.sampler.programs.get(shape, {"params": self.params})

  def __call__(self, prompts, n) -> dict[str, Any]:
    """Samples everything; returns the stats."""
    self.sampler.generate(self.params, prompts, self._settings(n))
    return self.sampler.stats.to_json()


class LockstepRun:
  """The baseline in JAX."""

  def __init__(self, decoder, params, workload, batch, devices):
    self.name = f"lockstep, {batch} rows, {devices} devices"
    partition = _partition(devices)
    self.rows = partition.sharding(("batch",))
    self.variables = jax.device_put({"params": params}, partition.sharding())
    self.workload, self.batch = workload, batch
    self.programs = {
      size: make_lockstep(decoder, size, workload.max_new_tokens)
      for size in workload.buckets
    }

  def compile(self, prompts, n) -> None:
    """Runs one short row of every bucket."""
    del prompts, n
    for size in self.workload.buckets:
      self._run([([1] * size, 1)])

  def __call__(self, prompts, n) -> dict[str, Any]:
    ends = self.workload.ends(len(prompts), n)
    return {
      "new_tokens": self._run(
        [
          (prompt, int(end))
          for prompt, row in zip(prompts, ends, strict=True)
          for end in row
        ]
      )
    }

  def _run(self, rows) -> int:
    return run_lockstep(
      self.programs,
      self.variables,
      rows,
      self.batch,
      self.workload.buckets,
      SamplingParams(temperature=0.8, top_k=50),
      self.rows,
    )


class TransformersRun:
  """`generate(num_return_sequences=n)` on the same weights."""

  def __init__(self, decoder, params, workload, batch):
    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)
    self.name = f"transformers, {batch} rows"
    self.torch, self.workload, self.batch = torch, workload, batch
    with tempfile.TemporaryDirectory() as folder:
      save_model(params, decoder.config, folder)
      self.model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32
      ).eval()

  def compile(self, prompts, n) -> None:
    """Nothing is compiled; the first call is as fast as the others."""

  def __call__(self, prompts, n) -> dict[str, Any]:
    torch = self.torch
    ends = self.workload.ends(len(prompts), n)
    ordered = sorted(zip(prompts, ends, strict=True), key=lambda x: len(x[0]))
    per = max(1, self.batch // n)
    for start in range(0, len(ordered), per):
      part = ordered[start : start + per]
      size = max(len(prompt) for prompt, _ in part)
      ids = torch.zeros((len(part), size), dtype=torch.long)
      mask = torch.zeros_like(ids)
      for row, (prompt, _) in enumerate(part):
        ids[row, size - len(prompt) :] = torch.tensor(prompt)
        mask[row, size - len(prompt) :] = 1
      lengths = torch.tensor(np.concatenate([row for _, row in part]))
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
          eos_token_id=STOP,
          pad_token_id=0,
          logits_processor=[self._end(size, lengths)],
        )
    return {"new_tokens": int(ends.sum())}

  def _end(self, size, ends):
    """Ends each row at its drawn length, as the sampler's hook does."""

    def process(input_ids, scores):
      last = input_ids.shape[1] - size + 1 >= ends
      scores[:, STOP] = self.torch.where(last, 1e9, -1e9)
      return scores

    return process


def measure(run, prompts, n) -> dict[str, Any]:
  """One timed run."""
  start, cpu = time.perf_counter(), time.process_time()
  stats = run(prompts, n)
  seconds = time.perf_counter() - start
  print(f"{run.name}: {len(prompts)} prompts, {seconds:.1f} s", flush=True)
  return {
    "prompts": len(prompts),
    "n": n,
    "seconds": seconds,
    "cpu_seconds": time.process_time() - cpu,
    "samples_per_s": len(prompts) * n / seconds,
    "new_tokens_per_s": stats["new_tokens"] / seconds,
    "stats": stats,
  }


def ratios(results: dict[str, dict[str, Any]], of: str) -> dict[str, float]:
  """Samples per second of the sampler, over the best of each other kind."""
  rate = {
    name: result["prompts"] * result["n"] / result[of]
    for name, result in results.items()
  }
  kinds = {name: name.split(",")[0] for name in rate if name != "sampler"}
  return {
    kind: rate["sampler"] / max(rate[n] for n in kinds if kinds[n] == kind)
    for kind in dict.fromkeys(kinds.values())
  }


def grow(run, workload, prompts) -> dict[str, float]:
  """Time for twice the prompts and for four times n, over the plain time."""
  largest = workload.buckets[min(1, len(workload.buckets) - 1)]
  smallest = workload.buckets[0] if len(workload.buckets) > 1 else 0
  fitting = [p for p in prompts if smallest < len(p) <= largest]
  few = (fitting * 2)[: _GROWTH.value]
  run.compile(few, 4 * workload.n)
  plain = measure(run, few, workload.n)["seconds"]
  return {
    "prompts": len(few),
    "twice_the_prompts": measure(run, few * 2, workload.n)["seconds"] / plain,
    "four_times_n": measure(run, few, 4 * workload.n)["seconds"] / plain,
  }


def _partition(devices: int) -> Partition:
  """Rows over so many devices, weights whole on each."""
  config = MeshConfig(data=devices, fsdp=1)
  return Partition(make_mesh(config, jax.devices()[:devices]), SAMPLE_RULES)


def _decoder() -> Decoder:
  width, layers, heads, kv_heads, mlp = SIZES[_SIZE.value]
  return Decoder(
    DecoderConfig.from_hf(
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
  )


def main(_) -> None:
  jax.config.update("jax_num_cpu_devices", os.cpu_count())
  decoder = _decoder()
  params = init_params(decoder.config, jax.random.key(0))
  workload = WORKLOADS[_WORKLOAD.value]
  prompts = make_prompts(workload, _PROMPTS.value)
  some = make_prompts(workload, min(_OTHERS.value, len(prompts)))
  sampler = SamplerRun(decoder, params, workload)
  others = [
    *(
      LockstepRun(decoder, params, workload, int(batch), devices)
      for batch in _LOCKSTEP.value
      for devices in sorted({1, len(jax.devices())})
    ),
    *(
      TransformersRun(decoder, params, workload, int(b))
      for b in _TRANSFORMERS.value
    ),
  ]
  results = {}
  for run, given in [(sampler, prompts), *((run, some) for run in others)]:
    run.compile(given, workload.n)
    results[run.name] = measure(run, given, workload.n)
  report = {
    "machine": f"{platform.processor() or platform.machine()},"
    f" {os.cpu_count()} cores, {jax.devices()[0].device_kind}",
    "load_average": os.getloadavg()[0],
    "size": _SIZE.value,
    "workload": _WORKLOAD.value,
    "compared": "samples a second; the sampler on all prompts, the others on"
    " as many as their `prompts` say, spread over the same lengths",
    "ratio": ratios(results, "seconds"),
    # Where other programs take turns on the cores, this is the fairer one.
    "ratio_by_cpu_seconds": ratios(results, "cpu_seconds"),
    "runs": results,
  }
  if _GROW.value:
    report["growth"] = grow(sampler, workload, prompts)
  if _OUT.value:
    io.write_json(_OUT.value, report)
  print(json.dumps(report, indent=2))


if __name__ == "__main__":
  app.run(main)
