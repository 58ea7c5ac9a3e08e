"""What a compiled program does: its FLOPs and collectives, loops counted.

The optimised HLO is read as text. Each matrix product (on TPU a convolution)
is counted by its shapes and multiplied by the trip counts of the loops around
it. Recomputation is in the text, so it is counted. A conditional costs as much
as its most expensive branch.

Why not `compiled.cost_analysis()`: it counts the body of a loop once and a
Pallas kernel not at all, while models here scan over their layers. Measured
with jax 0.10.2, in FLOPs:

  program                                cost_analysis    ideal     here
  CPU, gradient of a scan of 2 products      198,664    393,216    393,216
  the same, of 8 products                    198,664  1,572,864  1,572,864
  v5e:2x2, LoRA step of 2 layers              5.07e10   1.07e11    1.22e11
  the same, of 8 layers                       5.07e10   4.23e11    4.83e11

Nor does JAX say how many bytes collectives move. Its `memory_analysis()` is
right, and used (`fit.capacity`).

A loop without a readable trip count, or a kernel of unknown cost, is an error:
a sum that leaves something out would be wrong without saying so.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

_ITEM_BYTES = {
  "pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2,
  "s32": 4, "u32": 4, "s64": 8, "u64": 8, "bf16": 2, "f16": 2, "f32": 4,
  "f64": 8, "f8e4m3fn": 1, "f8e5m2": 1,
}  # fmt: skip
COLLECTIVES = (
  "all-gather",
  "all-reduce",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
# Custom calls that move, annotate or wait, and multiply nothing.
_NO_FLOPS = re.compile(
  r"AllocateBuffer|AsyncCollective\w+|AssumeGatherIndicesInBound"
  r"|GatherScatterIndicesBitpacked|Sharding|SPMD\w+|MoveTo\w+|annotate_\w+"
  r"|ConcatBitcast|X64\w+|TopK|PartialReduce|ApproxTopK|InspectSharding"
  r"|xla\.sdy\.\w+|BufferAlias|LayoutConstraint|ResultAlias"
)


class UnreadableProgramError(ValueError):
  """Some part of the program cannot be counted."""


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of HLO text.

  Attributes:
    name, opcode: of the instruction.
    shapes: (type, sizes) of its result, several for a tuple.
    operands: names.
    attributes: the rest of the line.
  """

  name: str
  opcode: str
  shapes: tuple[tuple[str, tuple[int, ...]], ...]
  operands: tuple[str, ...]
  attributes: str

  @property
  def bytes(self) -> float:
    """Of the result. The start of a collective also lists its operands."""
    sizes = [_ITEM_BYTES.get(kind, 0) * math.prod(n) for kind, n in self.shapes]
    if self.opcode.endswith("-start"):
      return max(sizes, default=0)
    return sum(sizes)

  @property
  def collective(self) -> str | None:
    """Which of `COLLECTIVES` it is, or begins."""
    kind = self.opcode.removesuffix("-start")
    return kind if kind in COLLECTIVES else None

  def attribute(self, pattern: str) -> str | None:
    """First group of a pattern in the attributes; None without a match."""
    match = re.search(pattern, self.attributes)
    return match.group(1) if match else None

  def called(self, attribute: str) -> str:
    """The computation that an attribute names."""
    name = self.attribute(rf"\b(?:{attribute})=%?([\w.\-]+)")
    if name is None:
      raise UnreadableProgramError(f"{self.opcode} {self.name} calls nothing")
    return name

  def branches(self) -> list[str]:
    """The computations of a conditional."""
    several = self.attribute(r"branch_computations=\{([^}]*)\}")
    if several is not None:
      return [name.strip(" %") for name in several.split(",")]
    return [self.called("true_computation"), self.called("false_computation")]


Computation = Mapping[str, Instruction]
KernelFlops = Callable[[Instruction, Sequence[Instruction]], float | None]

_CALLS = ("fusion", "call", "async-start")


@dataclasses.dataclass(frozen=True)
class Collective:
  """All collectives of one kind.

  Attributes:
    kind: of COLLECTIVES.
    count: how many are run by one chip.
    bytes: of their results on one chip.
  """

  kind: str
  count: int
  bytes: float


class Program:
  """A compiled program, read from `compiled.as_text()`."""

  def __init__(self, text: str):
    self._computations, self._entry = _read(text)

  def instructions(self) -> Iterator[Instruction]:
    """All of them, each once, those of loops and branches too."""
    for computation in self._computations.values():
      yield from computation.values()

  def flops(self, kernel_flops: KernelFlops = lambda call, args: None) -> float:
    """Of one chip and one run.

    Args:
      kernel_flops: FLOPs of a Pallas call given its instruction and operands;
        None if it does not know the kernel.

    Raises:
      UnreadableProgramError: names what has no countable cost.
    """

    @functools.cache
    def total(name: str) -> float:
      computation = self._computations[name]
      return sum(of(x, computation) for x in computation.values())

    def of(x: Instruction, inside: Computation) -> float:
      match x.opcode:
        case "dot":
          return _dot_flops(x, inside)
        case "convolution":
          return _convolution_flops(x, inside)
        case "custom-call":
          return _custom_call_flops(x, inside, kernel_flops)
        case "while":
          return self.trips(x, inside) * total(x.called("body"))
        case "conditional":
          return max(map(total, x.branches()))
        case opcode if opcode in _CALLS:
          return total(x.called("calls|to_apply"))
      return 0.0

    return total(self._entry)

  def collectives(self) -> list[Collective]:
    """By kind, trip counts included.

    TPU splits a collective into pieces fused with computation. The pieces
    share a channel, which counts once a trip.
    """
    channels: dict[tuple[str, str], tuple[float, float]] = {}

    def visit(name: str, times: float) -> None:
      computation = self._computations[name]
      for x in computation.values():
        if (kind := x.collective) is not None:
          key = (kind, x.attribute(r"channel_id=(\d+)") or x.name)
          before = channels.get(key, (0, 0))
          channels[key] = max(before, (times, times * x.bytes))
        elif x.opcode == "while":
          visit(x.called("body"), times * self.trips(x, computation))
        elif x.opcode == "conditional":
          for branch in x.branches():
            visit(branch, times)
        elif x.opcode in _CALLS:
          visit(x.called("calls|to_apply"), times)

    visit(self._entry, 1)
    by_kind = {
      kind: [found for (k, _), found in channels.items() if k == kind]
      for kind in COLLECTIVES
    }
    return [
      Collective(
        kind, round(sum(n for n, _ in found)), sum(b for _, b in found)
      )
      for kind, found in by_kind.items()
      if found
    ]

  def trips(self, loop: Instruction, inside: Computation) -> int:
    """How often a while loop's body runs.

    Raises:
      UnreadableProgramError: it is not a loop from one constant to another.
    """
    known = loop.attribute(r'"known_trip_count":\s*\{"n":"(\d+)"\}')
    if known:
      return int(known)
    condition = self._computations[loop.called("condition")]
    body = self._computations[loop.called("body")]
    test = list(condition.values())[-1]
    if test.opcode == "compare" and "direction=LT" in test.attributes:
      counter, limit = (condition[x] for x in test.operands)
      index = int(counter.attribute(r"index=(\d+)") or -1)
      start = inside.get(loop.operands[0])
      if start is not None and start.opcode == "tuple" and index >= 0:
        first = _constant(inside, start.operands[index])
        last = _constant(condition, limit.name)
        step = _increment(body, index)
        if first is not None and last is not None and step:
          return -(-(last - first) // step)
    raise UnreadableProgramError(f"loop {loop.name} has no readable trip count")


def _constant(inside: Computation, name: str) -> int | None:
  """The integer that a name stands for, through copies."""
  x = inside.get(name)
  while x is not None and x.opcode in ("copy", "bitcast"):
    x = inside.get(x.operands[0])
  if x is None or x.opcode != "constant":
    return None
  value = x.attribute(r"^\((-?\d+)\)")
  return int(value) if value else None


def _increment(body: Computation, index: int) -> int | None:
  """What a loop's body adds to element `index` of its tuple.

  Not always 1: the compiler unrolls the loops it makes of collectives.
  """
  root = list(body.values())[-1]
  total = 0
  x = body.get(root.operands[index]) if root.opcode == "tuple" else None
  while x is not None and x.opcode in ("add", "copy", "bitcast"):
    following = x.operands[0]
    if x.opcode == "add":
      left, right = (_constant(body, name) for name in x.operands)
      if right is None:
        left, right, following = right, left, x.operands[1]
      if right is None:
        return None
      total += right
    x = body.get(following)
  if x is None or x.opcode != "get-tuple-element":
    return None
  return total if x.attribute(r"index=(\d+)") == str(index) else None


def _custom_call_flops(
  x: Instruction, inside: Computation, kernel_flops: KernelFlops
) -> float:
  target = x.attribute(r'custom_call_target="([^"]*)"') or ""
  if _NO_FLOPS.fullmatch(target):
    return 0.0
  flops = kernel_flops(x, [inside[name] for name in x.operands])
  if flops is None:
    raise UnreadableProgramError(
      f"custom call {x.name} ({target}) has no known cost"
    )
  return flops


def _dot_flops(x: Instruction, inside: Computation) -> float:
  left = inside[x.operands[0]].shapes[0][1]
  contracting = x.attribute(r"lhs_contracting_dims=\{([\d,]*)\}") or ""
  depth = math.prod(left[int(d)] for d in contracting.split(",") if d)
  return 2.0 * math.prod(x.shapes[0][1]) * depth


def _convolution_flops(x: Instruction, inside: Computation) -> float:
  """2 FLOPs for every product of two true inputs.

  TPU writes the batch axes of a matrix product as spatial ones, where most
  positions of the window fall into padding or a gap of a dilated input.
  """
  left, right = (inside[name].shapes[0][1] for name in x.operands[:2])
  result = x.shapes[0][1]
  labels = x.attribute(r"dim_labels=(\S+?)(?:,|$)")
  if labels is None:
    raise UnreadableProgramError(f"convolution {x.name} has no labels")
  left_labels, right_labels, out_labels = re.split(r"_|->", labels)
  window = x.attribute(r"window=\{([^}]*)\}") or ""
  spatial = sorted(label for label in out_labels if label.isdigit())
  products = 1.0
  for axis, label in enumerate(spatial):
    products *= _true_products(
      left[left_labels.index(label)],
      right[right_labels.index(label)],
      result[out_labels.index(label)],
      _window(window, axis),
    )
  groups = int(x.attribute(r"batch_group_count=(\d+)") or 1)
  return (
    2.0
    * products
    * right[right_labels.index("i")]
    * result[out_labels.index("f")]
    * (left[left_labels.index("b")] // groups)
  )


def _window(text: str, axis: int) -> dict[str, int]:
  """One axis of "size=2x3 pad=0_0x1_1 lhs_dilate=1x2"; padding at the start."""
  fields = dict(part.split("=") for part in text.split())
  return {
    name: int(value.split("x")[axis].split("_")[0])
    for name, value in fields.items()
  }


def _true_products(
  left: int, right: int, out: int, window: Mapping[str, int]
) -> int:
  """Pairs of output and kernel positions that meet a true input, on one axis.

  Args:
    left, right, out: sizes of the input, the kernel and the output.
    window: as `_window` reads it.
  """
  gap = window.get("lhs_dilate", 1)
  kernel = np.arange(right)[None, :] * window.get("rhs_dilate", 1)
  start = np.arange(out)[:, None] * window.get("stride", 1)
  at = start - window.get("pad", 0) + kernel
  return int(((at % gap == 0) & (at >= 0) & (at // gap < left)).sum())


_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_SHAPE = re.compile(r"([a-z]\w*)\[([\d,]*)\]")


def _read(text: str) -> tuple[dict[str, dict[str, Instruction]], str]:
  """All computations by name, and the name of the entry.

  A kernel's metadata runs over several lines, some of which begin with a
  bracket; only a bracket alone ends a computation.
  """
  computations: dict[str, dict[str, Instruction]] = {}
  entry, current = "", None
  for line in text.splitlines():
    header = _HEADER.match(line)
    if header:
      current = computations.setdefault(header.group(2), {})
      entry = header.group(2) if header.group(1) else entry
    elif line.rstrip() == "}":
      current = None
    elif current is not None and (match := _LINE.match(line)):
      x = _instruction(*match.groups())
      current[x.name] = x
  if not entry:
    raise UnreadableProgramError("the program has no entry")
  return computations, entry


def _instruction(name: str, rest: str) -> Instruction:
  """Reads `shape opcode(operands), attributes`."""
  end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
  shapes = tuple(
    (kind, tuple(int(d) for d in sizes.split(",") if d))
    for kind, sizes in _SHAPE.findall(re.sub(r"\{[^{}]*\}", "", rest[:end]))
  )
  rest = rest[end:].lstrip()
  start = rest.index("(")
  stop = _closing(rest, start)
  inner = rest[start + 1 : stop]
  opcode = rest[:start]
  attributes = rest[stop + 1 :]
  if opcode == "constant":
    attributes = f"({inner}){attributes}"
  operands = tuple(re.findall(r"%([\w.\-]+)", inner))
  return Instruction(name, opcode, shapes, operands, attributes)


def _closing(text: str, start: int) -> int:
  """Index of the bracket that closes the one at `start`."""
  depth = 0
  for i in range(start, len(text)):
    depth += {"(": 1, ")": -1}.get(text[i], 0)
    if depth == 0:
      return i
  raise UnreadableProgramError(f"unbalanced brackets in {text[:80]!r}")
