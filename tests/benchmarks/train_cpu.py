"""Examples a second on CPU, beside transformers + peft doing the same.

    python -m tests.benchmarks.train_cpu [--steps 8] [--out out.json]

The same 400 genuine ToolACE, xLAM and Hammer samples, tokens, tiny Llama,
vocabulary, rank and float32 on both sides. Ours packs rows; torch trains
padded batches grouped by length, as `Trainer(group_by_length=True)` makes
them. Ours splits the CPU into a device a core and gives each one row at a
time, as `launch.run` does with the settings in docs/performance.md. Steps are
taken in turns, so that both meet the same machine. An epoch is 25 steps of 10
to 20 seconds a side; some of them are timed: of ours the first, whose rows are
shuffled, of torch's, whose batches go from long to short, as many evenly spread
ones. Examples are counted in real tokens, by the mean of all samples, so that
it does not matter which are met. Needs requirements-parity.txt.
"""

import argparse
import dataclasses
import gzip
import json
import math
import os
import pathlib
import time
from collections.abc import Iterator

import jax
import numpy as np
import peft
import tokenizers
import torch
import transformers

from tests.benchmarks import data_machine
from tooldev_jax.config import (
  LINEAR_MODULES,
  LoraConfig,
  MeshConfig,
  TrainConfig,
)
from tooldev_jax.data.encoding import Encoded
from tooldev_jax.data.loader import LoaderConfig, TrainData
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import init_adapter, init_params
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES
from tooldev_jax.train.feed import Feed, put_like
from tooldev_jax.train.step import make_train_step

FILE = "calls/toolace_xlam_hammer_400.jsonl.gz"
VOCABULARY = 8192
MODEL = {
  "model_type": "llama",
  "vocab_size": VOCABULARY,
  "hidden_size": 256,
  "intermediate_size": 704,
  "num_hidden_layers": 6,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "head_dim": 64,
  "tie_word_embeddings": True,
}
RANK, BATCH, ROW = 16, 16, 2048


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--examples", type=int, default=400)
  parser.add_argument("--steps", type=int, default=8, help="of each side")
  parser.add_argument("--out", type=pathlib.Path)
  options = parser.parse_args()
  jax.config.update("jax_num_cpu_devices", os.cpu_count())
  streams = _streams()[: options.examples]
  sides = {
    "ours": _ours(streams, options.steps),
    "torch": _torch(streams, options.steps),
  }
  start = time.perf_counter()
  for side in sides.values():
    next(side)  # compiles, warms up
  warm_up = time.perf_counter() - start
  tokens, places = dict.fromkeys(sides, 0), dict.fromkeys(sides, 0)
  seconds = dict.fromkeys(sides, 0.0)
  for _ in range(options.steps):
    for name, side in sides.items():
      start = time.perf_counter()
      real, computed = next(side)
      seconds[name] += time.perf_counter() - start
      tokens[name] += real
      places[name] += computed
  lengths = [len(x.tokens) for x in streams]
  mean = float(np.mean(lengths))
  rates = {name: tokens[name] / mean / seconds[name] for name in sides}
  result = {
    "examples": len(streams),
    "steps": options.steps,
    "mean_tokens": mean,
    "trained_share": sum(x.num_trained for x in streams) / sum(lengths),
    "examples_per_s": rates,
    "ours_over_torch": rates["ours"] / rates["torch"],
    # Where it comes from: the product of these two is the line above.
    "places_per_s_ours_over_torch": (places["ours"] / seconds["ours"])
    / (places["torch"] / seconds["torch"]),
    "real_share_ours_over_torch": (tokens["ours"] / places["ours"])
    / (tokens["torch"] / places["torch"]),
    "padding_share": {
      name: 1 - tokens[name] / count for name, count in places.items()
    },
    "seconds": seconds,
    "warm_up_seconds": warm_up,
    "threads": torch.get_num_threads(),
    "devices": jax.device_count(),
  }
  data_machine.write(result, options.out)


def _streams() -> list[Encoded]:
  """The samples as tokens of a tokenizer trained on them."""
  with gzip.open(data_machine.DATA / FILE, "rt", encoding="utf-8") as f:
    rows = [json.loads(line) for line in f]
  texts = [(f"{x['instruction']}\n{x['input']}\n", x["output"]) for x in rows]
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=VOCABULARY,
    special_tokens=["<pad>", "<end>"],
    initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  tokenizer.train_from_iterator(("".join(pair) for pair in texts), trainer)
  streams = []
  for prompt, target in texts:
    before = tokenizer.encode(prompt).ids
    after = [*tokenizer.encode(target).ids, 1]
    # Both sides get what fits a row; the end is what is trained.
    tokens = np.asarray([*before, *after], np.int32)[-ROW:]
    trained = np.arange(len(tokens)) >= len(tokens) - len(after)
    trained[0] = False
    streams.append(Encoded(tokens, trained))
  return streams


def _ours(streams: list[Encoded], steps: int) -> Iterator[tuple[int, int]]:
  """Yields once after warming up, then real tokens and places of each step.

  Places are what is computed, padding included.
  """
  devices = jax.device_count()
  loader = LoaderConfig(row_length=ROW, batch_examples=BATCH)
  rows = TrainData(streams, loader).rows_wanted
  loader = dataclasses.replace(
    loader, micro_batches=math.ceil(rows / devices), row_multiple=devices
  )
  data = TrainData(streams, loader)
  config = DecoderConfig.from_hf(MODEL)
  lora = LoraConfig(rank=RANK, alpha=2.0 * RANK)
  step = make_train_step(
    config,
    lora,
    TrainConfig(compute_dtype="float32", loss_chunk=256, remat="products"),
    data.shapes,
    data.num_steps,
    make_mesh(MeshConfig(data=devices, fsdp=1)),
    TRAIN_RULES,
    np.float32,
  )
  base = put_like(init_params(config, jax.random.key(0)), step.base)
  adapter = init_adapter(config, lora, jax.random.key(1))
  state = step.init(put_like(adapter, step.state.trained))
  run = step.compile()
  warm, _ = run(step.init(put_like(adapter, step.state.trained)), base,
                put_like(data.batch(0), dict(step.batch)))  # fmt: skip
  jax.block_until_ready(warm)
  feed = Feed(data, step.batch, 0)
  yield 0, 0
  for _ in range(steps):
    rows, batch = feed.next()
    state, _ = run(state, base, batch)
    jax.block_until_ready(state)
    yield int((rows["segment_ids"] > 0).sum()), batch["tokens"].size


def _torch(streams: list[Encoded], steps: int) -> Iterator[tuple[int, int]]:
  """The same with transformers and peft."""
  torch.manual_seed(0)
  fields = {k: v for k, v in MODEL.items() if k != "model_type"}
  model = transformers.LlamaForCausalLM(
    transformers.LlamaConfig(**fields, attn_implementation="sdpa")
  )
  model = peft.get_peft_model(
    model,
    peft.LoraConfig(
      r=RANK, lora_alpha=2 * RANK, target_modules=list(LINEAR_MODULES)
    ),
  )
  trained = [p for p in model.parameters() if p.requires_grad]
  optimizer = torch.optim.AdamW(trained, lr=1e-4)

  def step(batch: list[Encoded]) -> None:
    longest = max(len(x.tokens) for x in batch)
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, x in enumerate(batch):
      tokens = torch.from_numpy(x.tokens.astype(np.int64))
      ids[row, : len(tokens)] = tokens
      mask[row, : len(tokens)] = 1
      where = torch.from_numpy(np.flatnonzero(x.trained))
      labels[row, where] = tokens[where]
    model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()

  order = np.random.default_rng(0).permutation(len(streams))
  # Shuffled groups of 50 batches, longest first inside each.
  groups = [order[i : i + 50 * BATCH] for i in range(0, len(order), 50 * BATCH)]
  grouped = [
    streams[i]
    for group in groups
    for i in sorted(group, key=lambda i: -len(streams[i].tokens))
  ]
  batches = [grouped[i : i + BATCH] for i in range(0, len(grouped), BATCH)]
  # The longest takes the memory that all others then find.
  step(batches[0])
  yield 0, 0
  for number in range(steps):
    batch = batches[int((number + 0.5) * len(batches) / steps)]
    step(batch)
    lengths = [len(x.tokens) for x in batch]
    yield sum(lengths), len(lengths) * max(lengths)


if __name__ == "__main__":
  main()
