"""LoRA tokens a second on one GPU, beside transformers + peft doing the same.

    python -m tests.benchmarks.train_gpu [--out out.json] [--tiny]

Llama-3.1-8B's shape, random bfloat16 weights, rows of 4,096 tokens, rank 16 on
all linear layers, three eighths of the tokens trained. Our rows are packed from
segments of 768 tokens; theirs are one segment each, which spares them a mask.
Each side runs in a process of its own, one after the other, so that neither
holds memory of the other, and takes the first of its settings that fits: fewer
rows, then (torch) blocks that are computed twice. MFU is by the same formula
for both (4N a token and causal attention within segments). `--tiny` is a model
for a CPU: it shows that the script runs and measures nothing. Needs
requirements-parity.txt, and builds of jax and torch for the GPU.
"""

import argparse
import gc
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks import data_machine

SHAPE = pathlib.Path(__file__).parents[2] / "configs/shapes/llama3_1_8b.json"
TINY = {
  "vocab_size": 512,
  "hidden_size": 64,
  "intermediate_size": 128,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
}
RANK, SEGMENT, TRAINED = 16, 768, 3 / 8


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--out", type=pathlib.Path)
  parser.add_argument("--tiny", action="store_true")
  parser.add_argument("--length", type=int, default=4096)
  parser.add_argument(
    "--rows", type=int, default=4, help="of ours, at once, at most"
  )
  parser.add_argument("--remat", default="products")
  parser.add_argument("--torch_rows", type=int, default=2)
  parser.add_argument("--steps", type=int, default=10)
  parser.add_argument("--side", choices=tuple(SIDES))
  options = parser.parse_args()
  if options.side:
    print(json.dumps(SIDES[options.side](options)))
    return
  sides = {}
  for side in SIDES:
    command = [sys.executable, "-m", "tests.benchmarks.train_gpu"]
    # JAX takes three quarters of a GPU's memory unless it is told otherwise.
    environment = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95", **os.environ}
    run = subprocess.run(
      [*command, *sys.argv[1:], "--side", side], stdout=subprocess.PIPE,
      text=True, check=True, env=environment,
    )  # fmt: skip
    sides[side] = json.loads(run.stdout.splitlines()[-1])
    # At once: the other side may fail.
    print(side, json.dumps(sides[side]), file=sys.stderr, flush=True)
  rates = {side: found["tokens_per_s"] for side, found in sides.items()}
  ratio = rates["ours"] / rates["torch"]
  data_machine.write({**sides, "ours_over_torch": ratio}, options.out)


def _shape(options: argparse.Namespace) -> dict[str, Any]:
  shape = json.loads(SHAPE.read_text())
  return shape | TINY if options.tiny else shape


def _timed(step: Callable[[], None], steps: int) -> float:
  """Seconds a step; `step` returns when the device has done it."""
  for _ in range(2):
    step()
  start = time.perf_counter()
  for _ in range(steps):
    step()
  return (time.perf_counter() - start) / steps


def _figures(
  options: argparse.Namespace, rows: int, segment: int, seconds: float
) -> dict[str, Any]:
  """Rates of steps of so many rows, by the formula that training reports."""
  import jax

  from tooldev_jax.models.config import DecoderConfig
  from tooldev_jax.parallel.chips import peak_flops
  from tooldev_jax.train.flops import ideal_flops

  config = DecoderConfig.from_hf(_shape(options))
  tokens = rows * options.length
  flops = ideal_flops(config, trains_base=False).of(
    tokens, TRAINED * tokens, len(config.layers) * tokens * (segment + 1) / 2
  )
  device = jax.devices()[0].device_kind
  peak = peak_flops(device)
  return {
    "device": device,
    "rows": rows,
    "seconds_a_step": seconds,
    "tokens_per_s": tokens / seconds,
    "mfu": flops / seconds / peak if peak else None,
  }


def _ours(options: argparse.Namespace) -> dict[str, Any]:
  """Packed rows, fewer of them if they do not fit."""
  import jax

  rows = options.rows
  while True:
    try:
      return _our_steps(options, rows)
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error) or rows == 1:
        raise
    rows //= 2
    # Frames of what failed hold arrays.
    gc.collect()


def _our_steps(options: argparse.Namespace, rows: int) -> dict[str, Any]:
  import jax
  import jax.numpy as jnp

  from tooldev_jax.config import LoraConfig, MeshConfig, TrainConfig
  from tooldev_jax.models.config import DecoderConfig
  from tooldev_jax.models.parameters import init_adapter, init_params
  from tooldev_jax.parallel.mesh import make_mesh
  from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
  from tooldev_jax.train.feed import put_like
  from tooldev_jax.train.metrics import device_memory
  from tooldev_jax.train.step import make_train_step

  config = DecoderConfig.from_hf(_shape(options))
  lora = LoraConfig(rank=RANK)
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  batch = _batch(options, rows, config.vocab_size)
  step = make_train_step(
    config,
    lora,
    TrainConfig(remat=options.remat),
    {name: x.shape for name, x in batch.items()},
    1000,
    mesh,
    TRAIN_RULES,
    jnp.bfloat16,
  )
  run = step.compile()
  partition = Partition(mesh, TRAIN_RULES)
  base = init_params(config, jax.random.key(0), jnp.bfloat16, partition)
  adapter = init_adapter(config, lora, jax.random.key(1), partition)
  state = [step.init(adapter)]
  placed = put_like(batch, dict(step.batch))

  def once() -> None:
    state[0], metrics = run(state[0], base, placed)
    jax.block_until_ready((state[0], metrics))

  segment = min(SEGMENT, options.length)
  seconds = _timed(once, options.steps)
  figures = _figures(options, rows, segment, seconds)
  return {**figures, "remat": options.remat, "peak_bytes": device_memory()}


def _batch(
  options: argparse.Namespace, rows: int, vocabulary: int
) -> dict[str, np.ndarray]:
  """One micro-batch of random rows, as the loader lays them out."""
  rng = np.random.default_rng(0)
  places = np.arange(options.length, dtype=np.int32)
  targets = int(TRAINED * options.length)
  whole = (1, rows, options.length)
  trained = (1, rows, targets)
  # Trained are the ends of segments, as answers are.
  segment = min(SEGMENT, options.length)
  ends = places[places % segment >= (1 - TRAINED) * segment][:targets]
  columns = np.zeros(targets, np.int32)
  columns[: len(ends)] = ends - 1
  weights = (np.arange(targets) < len(ends)).astype(np.float32)
  return {
    "tokens": rng.integers(0, vocabulary, whole, np.int32),
    "segment_ids": np.broadcast_to(places // segment + 1, whole),
    "positions": np.broadcast_to(places % segment, whole),
    "target_positions": np.broadcast_to(columns, trained),
    "target_ids": rng.integers(0, vocabulary, trained, np.int32),
    "target_weights": np.broadcast_to(weights, trained),
  }


def _torch(options: argparse.Namespace) -> dict[str, Any]:
  """The same as its users run it; recomputes blocks only if it must."""
  os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
  import torch

  rows = options.torch_rows
  for fewer, recompute in ((rows, False), (1, False), (rows, True), (1, True)):
    try:
      return _torch_steps(options, fewer, recompute)
    except torch.OutOfMemoryError:
      pass
    # Only now nothing holds the tensors of the step that failed.
    gc.collect()
    torch.cuda.empty_cache()
  raise MemoryError("torch: a row does not fit; take a smaller --length")


def _torch_steps(
  options: argparse.Namespace, rows: int, recompute: bool
) -> dict[str, Any]:
  import peft
  import torch
  import transformers

  from tooldev_jax.config import LINEAR_MODULES

  device = "cuda" if torch.cuda.is_available() else "cpu"
  shape = _shape(options)
  fields = {k: v for k, v in shape.items() if k != "model_type"}
  config = transformers.LlamaConfig(**fields, attn_implementation="sdpa")
  torch.set_default_dtype(torch.bfloat16)
  with torch.device(device):
    model = transformers.LlamaForCausalLM(config)
  torch.set_default_dtype(torch.float32)
  if recompute:
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
  targets = list(LINEAR_MODULES)
  model = peft.get_peft_model(
    model, peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets)
  )
  trained = [p for p in model.parameters() if p.requires_grad]
  optimizer = torch.optim.AdamW(trained, lr=1e-4)
  size = (rows, options.length)
  tokens = torch.randint(0, shape["vocab_size"], size, device=device)
  labels = tokens.clone()
  labels[:, : int((1 - TRAINED) * options.length)] = -100

  def once() -> None:
    with torch.autocast(device, torch.bfloat16):
      loss = model(input_ids=tokens, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    if device == "cuda":
      torch.cuda.synchronize()

  seconds = _timed(once, options.steps)
  figures = _figures(options, rows, options.length, seconds)
  peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
  return {**figures, "recomputes_blocks": recompute, "peak_bytes": peak}


SIDES = {"ours": _ours, "torch": _torch}


if __name__ == "__main__":
  main()
