"""What the devices of a mesh tell each other in a compiled program."""

import math
import re
from typing import NamedTuple

_EXCHANGE = re.compile(
  r" = (\S+|\(.*?\)) "
  r"(all-gather|all-reduce|all-to-all|collective-permute)(?:-start)?\("
  r'(?:.*op_name="([^"]*)")?'
)
_SHAPE = re.compile(r"[a-z]+[0-9]*\[([0-9,]*)\]")


class Exchange(NamedTuple):
  """A collective: its kind, its result's elements, where it comes from."""

  kind: str
  elements: int
  where: str


def exchanges(program: str) -> list[Exchange]:
  """The collectives in a program's text."""
  size = lambda shape: math.prod(map(int, shape.split(","))) if shape else 1
  return [
    Exchange(kind, sum(map(size, _SHAPE.findall(shapes))), where)
    for shapes, kind, where in _EXCHANGE.findall(program)
  ]


def check_that_logits_alone_move(program: str, vocab: int) -> None:
  """Asserts that logits change hands once, and else only sums are made.

  Neither do devices talk in a search for a threshold, nor see each other's
  keys and values.

  Args:
    program: a prefill or a chunk of decoding, on a mesh with a tensor axis.
    vocab: the size of the vocabulary.
  """
  found = exchanges(program)
  (logits,) = (x for x in found if "shard_map" in x.where)
  assert logits.kind in ("all-to-all", "all-gather"), found
  assert logits.elements >= vocab, found
  others = [x for x in found if x != logits]
  assert len([x for x in others if x.kind == "all-reduce"]) > 1, found
  # In a step nothing is gathered but the tokens that were chosen.
  gathered = [x for x in others if x.kind != "all-reduce"]
  in_steps = [x for x in gathered if "while/body" in x.where]
  assert all(x.where.endswith("/sharding_constraint") for x in in_steps), found
