"""What the devices of a mesh tell each other in a compiled program."""

import math

from tooldev_jax.fit.hlo import Instruction, Program


def check_that_logits_alone_move(text: str, vocab: int) -> None:
  """Asserts that logits change hands once, and else only sums are made.

  Neither do devices talk in a search for a threshold, nor see each other's
  keys and values.

  Args:
    text: of a prefill or a chunk of decoding, on a mesh with a tensor axis.
    vocab: the size of the vocabulary.
  """
  found = [
    (x.collective, x.shapes, x.attribute(r'op_name="([^"]*)"') or "")
    for x in _collectives(text)
  ]
  (logits,) = (x for x in found if "shard_map" in x[2])
  kind, shapes, _ = logits
  assert kind in ("all-to-all", "all-gather"), found
  assert sum(math.prod(sizes) for _, sizes in shapes) >= vocab, found
  others = [x for x in found if x != logits]
  assert len([x for x in others if x[0] == "all-reduce"]) > 1, found
  # In a step nothing is gathered but the tokens that were chosen.
  gathered = [where for kind, _, where in others if kind != "all-reduce"]
  in_steps = [where for where in gathered if "while/body" in where]
  assert all(x.endswith("/sharding_constraint") for x in in_steps), found


def largest_message(text: str) -> int:
  """The numbers in the largest message of a program."""
  return max(
    math.prod(sizes) for x in _collectives(text) for _, sizes in x.shapes
  )


def _collectives(text: str) -> list[Instruction]:
  return [x for x in Program(text).instructions() if x.collective is not None]
