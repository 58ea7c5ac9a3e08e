"""Compile time of a training gradient at 4 and 32 layers: it must not grow.

    python -m tests.benchmarks.model_compile [--out out.json]

Lowers and compiles the gradient of an adapter through a scanned and through
an unrolled decoder, a small Llama and a small Gemma 3, in one process, in
turns. CPU seconds, the compiler's threads included.
"""

import argparse
import pathlib
import time

import jax
import jax.numpy as jnp
from flax import linen as nn

from tests.benchmarks import data_machine
from tooldev_jax.config import LoraConfig
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import declare
from tooldev_jax.models.transformer import Decoder

SHAPE = {
  "vocab_size": 512,
  "hidden_size": 64,
  "intermediate_size": 128,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "head_dim": 16,
}
# Gemma 3 repeats a block of six: 6 and 36 layers are one and six blocks. (A
# loop that runs once is inlined, which makes the one block cheaper.)
CASES = (("llama", 4), ("llama", 32), ("gemma3_text", 6), ("gemma3_text", 36))


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--out", type=pathlib.Path)
  parser.add_argument("--unrolled", action="store_true")
  options = parser.parse_args()
  _compile("llama", 2, False)  # warms up the compiler itself
  seconds = {
    f"{family}-{layers}{'-unrolled' if unroll else ''}": _compile(
      family, layers, unroll
    )
    for family, layers in CASES
    for unroll in ((False, True) if options.unrolled else (False,))
  }
  growth = {
    "llama": seconds["llama-32"] / seconds["llama-4"],
    "gemma3_text": seconds["gemma3_text-36"] / seconds["gemma3_text-6"],
  }
  result = {"compile_cpu_s": seconds, "growth": growth}
  data_machine.write(result, options.out)


def _compile(family: str, layers: int, unroll: bool) -> float:
  config = DecoderConfig.from_hf(
    SHAPE | {"model_type": family, "num_hidden_layers": layers}
  )
  lora = LoraConfig(rank=4)
  decoder = Decoder(config, lora, remat="products", unroll=unroll)
  shapes = nn.meta.unbox(declare(config, lora))
  row = jax.ShapeDtypeStruct((2, 128), jnp.int32)

  def loss(adapter, params, tokens, positions, segments):
    variables = {"params": params, "lora": adapter}
    attend = packed_attention(segments)
    hidden, _ = decoder.apply(variables, tokens, positions, attend)
    return decoder.unembed(params, hidden).mean()

  start = time.process_time()
  lowered = jax.jit(jax.grad(loss)).lower(
    shapes["lora"], shapes["params"], row, row, row
  )
  lowered.compile()
  return time.process_time() - start


if __name__ == "__main__":
  main()
