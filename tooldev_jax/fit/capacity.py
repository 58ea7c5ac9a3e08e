"""Programs compiled for TPU chips that are not attached, and what they need.

The compiler of the package `libtpu` runs on any machine and knows the chips'
memory. The very programs of training and sampling are compiled for a described
topology, and the compiler itself says what does not fit. Bytes, FLOPs and
collectives are read from the result, so recomputation, padding and gathered
weights are included.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from tooldev_jax.config import MeshConfig
from tooldev_jax.errors import UserError
from tooldev_jax.fit.hlo import Collective, Instruction, Program
from tooldev_jax.parallel.chips import Chip, find_chip
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import bytes_per_chip


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A program as the compiler made it; bytes and FLOPs are of one chip.

  Attributes:
    arguments: (kind, bytes) of what it is given.
    activations: bytes beside the arguments at the peak. (The compiler's sum of
      temporaries counts memory that is used again.)
    code: bytes of the program itself.
    program: what it consists of.
  """

  arguments: tuple[tuple[str, float], ...]
  activations: float
  code: float
  program: Program

  @property
  def total(self) -> float:
    """Bytes a chip needs."""
    given = sum(size for _, size in self.arguments)
    return given + self.activations + self.code

  @functools.cached_property
  def flops(self) -> float:
    """Of one run, recomputation included.

    Raises:
      UnreadableProgramError: some part cannot be counted, such as a loop whose
        end depends on data.
    """
    return self.program.flops(splash_flops)

  @functools.cached_property
  def collectives(self) -> list[Collective]:
    """By kind; raises as `flops` does."""
    return self.program.collectives()


@dataclasses.dataclass(frozen=True)
class TooBig:
  """The compiler's verdict that a program does not fit.

  Attributes:
    used, limit: bytes of HBM; 0 where its message does not say.
  """

  used: float
  limit: float


@dataclasses.dataclass(frozen=True)
class Roofline:
  """Lower bounds of a run's seconds, by what limits it.

  Attributes:
    compute: FLOPs at the chip's bfloat16 peak.
    memory: arguments read once a pass, activations written and read once, at
      the HBM's rate.
    network: results of collectives at the rate of all links (an all-reduce
      moves its bytes twice).
  """

  compute: float
  memory: float
  network: float

  @property
  def overlapped(self) -> float:
    """The bound if all three overlap."""
    return max(self.compute, self.memory, self.network)

  @property
  def apart(self) -> float:
    """The bound if nothing overlaps."""
    return self.compute + self.memory + self.network


_NO_CHIPS = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_ACCELERATOR_TYPE": "v5litepod-1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def describe_topology(
  name: str | None, mesh: MeshConfig, *, own: bool = False
) -> Mesh:
  """A mesh of chips that are not attached.

  Args:
    name: such as "v5e:4x4", "v6e:8x8", "v5p:4x4x4" or "v4:4x4x4".
    mesh: axis sizes.
    own: takes only the chips of one process, as sampling does where there are
      several; `mesh` then says their tensor axis.

  Raises:
    UserError: libtpu is missing or does not know the topology.
  """
  # No chip is used, so no metadata server need answer, and several processes
  # may compile at the same time.
  for key, value in _NO_CHIPS.items():
    os.environ.setdefault(key, value)
  name = name or ""
  options = {"chip_config_name": "megacore"} if name.startswith("v4") else {}
  try:
    topology = topologies.get_topology_desc(
      topology_name=name, platform="tpu", **options
    )
  except Exception as error:
    raise UserError(
      f"topology {name!r} could not be described ({str(error)[:200]}). Names"
      " are like v5e:4x4, v6e:8x8, v5p:4x4x4 and v4:4x4x4, and"
      " requirements-tpu.txt must be installed"
    ) from error
  devices: list[Any] = list(topology.devices)
  if own and len({device.process_index for device in devices}) > 1:
    mine = [device.coords for device in devices if device.process_index == 0]
    # The compiler takes whole slices only: describe one of that size.
    sizes = [max(axis) - min(axis) + 1 for axis in zip(*mine, strict=True)]
    kind, _, whole = name.partition(":")
    part = "x".join(map(str, sizes[: whole.count("x") + 1]))
    return describe_topology(f"{kind}:{part}", MeshConfig(tensor=mesh.tensor))
  return make_mesh(mesh, devices)


def compile_for(
  lowered: Any, arguments: Sequence[tuple[str, Any]]
) -> Compiled | TooBig:
  """Compiles and reads a program.

  Args:
    lowered: what `jit(...).lower(...)` gave for shapes on a described mesh.
    arguments: (kind, tree of ShapeDtypeStruct) that it was lowered for.
  """
  try:
    executable = lowered.compile()
  except Exception as error:
    if "HbmOom" in str(error) or "RESOURCE_EXHAUSTED" in str(error):
      return too_big(str(error))
    raise
  memory = executable.memory_analysis()
  return Compiled(
    arguments=tuple((kind, bytes_per_chip(tree)) for kind, tree in arguments),
    activations=memory.peak_memory_in_bytes - memory.argument_size_in_bytes,
    code=memory.generated_code_size_in_bytes,
    program=Program(executable.as_text()),
  )


def chip_of(mesh: Mesh) -> Chip:
  """The figures of a described mesh's chips."""
  kind = mesh.devices.flat[0].device_kind
  chip = find_chip(kind)
  if chip is None or not chip.memory:
    raise UserError(f"no figures are known of chips of kind {kind!r}")
  return chip


def roofline(compiled: Compiled, chip: Chip, passes: int) -> Roofline:
  """The bound of a program on a kind of chip.

  Args:
    compiled: the program.
    chip: what it runs on.
    passes: how often the arguments are read (forward, backward, recomputed).
  """
  moved = sum(
    x.bytes * (2 if x.kind == "all-reduce" else 1) for x in compiled.collectives
  )
  given = sum(size for _, size in compiled.arguments)
  return Roofline(
    compute=compiled.flops / chip.peak_flops,
    memory=(passes * given + 2 * compiled.activations) / chip.memory_rate,
    network=moved / chip.link_rate,
  )


# Matrix products a tile. Forward: scores, values. Backward, in both kernels:
# scores, the gradients of weights and values; and that of keys or of queries.
# Or all five in one kernel.
_SPLASH_PRODUCTS = {"fwd": 2, "dkv": 4, "dq": 3, "fused": 5}


def splash_flops(
  call: Instruction, operands: Sequence[Instruction]
) -> float | None:
  """FLOPs of a splash-attention kernel; None for any other.

  The kernel skips tiles that the causal mask or a window hides, and computes
  the others whole; segments hide no tile. Its first operand has the shape of
  its grid of (square) tiles, shrunk where a window hides the rest. Its first
  operand of floats is the queries [..., length, width].
  """
  match = re.match(r"splash_m[qh]a_(fwd|dkv|dq)", call.name)
  if not match:
    return None
  grid = sorted(operands[0].shapes[0][1][-2:])
  floats = [x.shapes[0] for x in operands if "f" in x.shapes[0][0]]
  *lead, length, width = floats[0][1]
  tiles = sum(min(row + 1, grid[0]) for row in range(grid[1]))
  side = length // grid[1]
  # A single backward kernel also returns the queries' gradients, a part for
  # each column of tiles.
  fused = any(len(sizes) > len(floats[0][1]) for _, sizes in call.shapes)
  products = _SPLASH_PRODUCTS["fused" if fused else match.group(1)]
  return 2.0 * float(np.prod(lead)) * tiles * side**2 * width * products


def too_big(message: str) -> TooBig:
  """Reads the two forms of the compiler's message."""
  size = r"([\d.]+)([KMG])"
  match = re.search(rf"[Uu]sed {size} of {size} hbm", message) or re.search(
    rf"\({size}\) exceeds available HBM \({size}\)", message
  )
  if not match:
    return TooBig(0, 0)
  scale = {"K": 2**10, "M": 2**20, "G": 2**30}
  used, used_unit, limit, limit_unit = match.groups()
  return TooBig(
    float(used) * scale[used_unit], float(limit) * scale[limit_unit]
  )
