"""The chunked loss against the loss by the book, at Qwen's vocabulary.

    python -m tests.benchmarks.train_loss [out.json]

For one row of 1,024 tokens and V = 151,936: bytes of temporaries as the
compiler plans them, and seconds for loss and gradient by the hidden states,
the two taken in turns. Shares are of tokens trained: 8 % is an invocation
view's, 84 % a generation view's.
"""

import functools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks import data_machine
from tests.train.plain_loss import plain_loss
from tooldev_jax.train.loss import selected_token_loss

T, D, V = 1024, 256, 151_936
CHUNK = 128
REPEATS = 3


def main() -> None:
  out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
  rows = [_compare(share) for share in (0.08, 0.84)]
  sizes = {"tokens": T, "width": D, "vocabulary": V, "chunk": CHUNK}
  data_machine.write({**sizes, "shares": rows}, out)


def _compare(share: float) -> dict:
  rng = np.random.default_rng(0)
  places = round(share * T)
  hidden = jnp.asarray(rng.normal(size=(1, T, D)), jnp.float32)
  head = jnp.asarray(rng.normal(size=(D, V)) * 0.02, jnp.float32)
  positions = np.sort(rng.choice(T, places, replace=False))[None]
  ids = rng.integers(0, V, (1, places))
  weights = np.ones((1, places), np.float32)
  chunked = functools.partial(
    selected_token_loss, chunk=CHUNK, train_head=False
  )
  programs = {}
  for name, loss in (("plain", plain_loss), ("ours", chunked)):

    def mean(hidden, head, loss=loss):
      total, weight = loss(hidden, head, positions, ids, weights)
      return total / weight

    graded = jax.jit(jax.value_and_grad(mean))
    programs[name] = graded.lower(hidden, head).compile()
  seconds: dict[str, list[float]] = {name: [] for name in programs}
  losses = {}
  for _ in range(REPEATS):
    for name, program in programs.items():
      start = time.perf_counter()
      losses[name] = float(jax.block_until_ready(program(hidden, head))[0])
      seconds[name].append(time.perf_counter() - start)
  np.testing.assert_allclose(losses["ours"], losses["plain"], rtol=1e-5)
  row: dict = {"trained_share": share, "places": places}
  for name, program in programs.items():
    row[name] = {
      "temporary_mib": program.memory_analysis().temp_size_in_bytes / 2**20,
      "seconds": min(seconds[name]),
    }
  for key in ("temporary_mib", "seconds"):
    row[f"plain_over_ours_{key}"] = row["plain"][key] / row["ours"][key]
  return row


if __name__ == "__main__":
  main()
