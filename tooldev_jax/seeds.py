"""The one way to make a seed from the run's seed."""

import hashlib


def fold(seed: int, *names: object) -> int:
  """A seed of 31 bits for one use of randomness.

  Args:
    seed: of the run.
    *names: what the seed is for, as ("round", 2, "calls.jsonl"). Other names
      give an independent seed; the order counts.
  """
  text = "\x1f".join(map(str, (seed, *names)))
  data = text.encode("utf-8", "surrogatepass")
  return int.from_bytes(hashlib.sha256(data).digest()[:4], "big") >> 1
