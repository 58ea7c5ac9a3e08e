"""What chips can do and how they can be had: the one table of them.

No JAX here: what is submitted is checked on machines without any.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping

from tooldev_jax.errors import UserError

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """One chip's figures, from the vendors' data sheets.

  Attributes:
    peak_flops: dense bfloat16 FLOP/s.
    memory: bytes of HBM; 0 where it differs by board.
    memory_rate: bytes a second from and to the HBM.
    link_rate: bytes a second to other chips, all links together; 0 if unknown.
  """

  peak_flops: float
  memory: float = 0
  memory_rate: float = 0
  link_rate: float = 0


_V5E = Chip(197e12, 16 * _GIB, 819e9, 200e9)
_V5P = Chip(459e12, 95 * _GIB, 2765e9, 600e9)
_V6E = Chip(918e12, 32 * _GIB, 1640e9, 448e9)

# By `device_kind`. cloud.google.com/tpu/docs/system-architecture-tpu-vm,
# nvidia.com.
_CHIPS = {
  "TPU v4": Chip(275e12, 32 * _GIB, 1228e9, 300e9),
  "TPU v5 lite": _V5E,
  "TPU v5e": _V5E,
  "TPU v5": _V5P,
  "TPU v5p": _V5P,
  "TPU v6 lite": _V6E,
  "TPU v6e": _V6E,
  "NVIDIA A100": Chip(312e12),
  "NVIDIA H100": Chip(989e12),
  "NVIDIA H200": Chip(989e12),
  "NVIDIA L4": Chip(121e12),
}


def find_chip(device_kind: str) -> Chip | None:
  """The figures of a kind of device; None where none are known."""
  if device_kind in _CHIPS:
    return _CHIPS[device_kind]
  # GPUs append the board ("NVIDIA H100 80GB HBM3").
  for name, chip in _CHIPS.items():
    if name.startswith("NVIDIA") and device_kind.startswith(name + " "):
      return chip
  return None


def peak_flops(device_kind: str) -> float | None:
  """Dense bfloat16 FLOP/s of one chip; None where no figure is known."""
  chip = find_chip(device_kind)
  return chip.peak_flops if chip else None


@dataclasses.dataclass(frozen=True)
class TpuFamily:
  """TPU slices that can be had; Google counts cores in some names, not chips.

  Attributes:
    prefixes: what stands before the number in a slice's name; the first is
      the API's own.
    cores: how many of what the name counts make a chip.
    gke: the value of GKE's node label cloud.google.com/gke-tpu-accelerator.
    runtime: the software of a TPU VM; "" where there are no such VMs.
    topologies: chips along each axis, smallest first.
  """

  prefixes: tuple[str, ...]
  cores: int
  gke: str
  runtime: str
  topologies: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class GpuFamily:
  """GPU machines that can be had.

  Attributes:
    gke: the value of GKE's node label cloud.google.com/gke-accelerator.
    machines: machine type by its number of GPUs.
  """

  gke: str
  machines: Mapping[int, str]


@dataclasses.dataclass(frozen=True)
class Slice:
  """Chips that are had together: a TPU slice, or a machine with GPUs.

  Attributes:
    name: as the API knows it: "v5litepod-16", "h100-8".
    gke: value of GKE's node label.
    chips: how many.
    hosts: machines that hold them.
    topology: of a TPU, as "4x4"; "" for GPUs.
    runtime: software of a TPU VM; "" where there is none.
    machine: type of a GPU machine; "" for TPUs.
  """

  name: str
  gke: str
  chips: int
  hosts: int = 1
  topology: str = ""
  runtime: str = ""
  machine: str = ""

  @property
  def is_tpu(self) -> bool:
    return bool(self.topology)

  @property
  def chips_a_host(self) -> int:
    return self.chips // self.hosts


_SQUARES = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = (
  *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
  *("8x8x12", "8x8x16", "8x16x16"),
)

# Names, labels and topologies as in Google's tables (docs.cloud.google.com/tpu,
# docs.cloud.google.com/kubernetes-engine) and in XPK 1.16.0.
TPUS = (
  TpuFamily(("v4",), 2, "tpu-v4-podslice", "tpu-ubuntu2204-base", _CUBES),
  TpuFamily(
    ("v5litepod", "v5e"),
    1,
    "tpu-v5-lite-podslice",
    "v2-alpha-tpuv5-lite",
    _SQUARES,
  ),
  TpuFamily(("v5p",), 2, "tpu-v5p-slice", "v2-alpha-tpuv5", _CUBES),
  TpuFamily(("v6e",), 1, "tpu-v6e-slice", "v2-alpha-tpuv6e", _SQUARES),
  TpuFamily(("tpu7x",), 2, "tpu7x", "", _CUBES[:8]),
)
GPUS = {
  "l4": GpuFamily(
    "nvidia-l4",
    {
      1: "g2-standard-12",
      2: "g2-standard-24",
      4: "g2-standard-48",
      8: "g2-standard-96",
    },
  ),
  "a100-40gb": GpuFamily(
    "nvidia-tesla-a100",
    {n: f"a2-highgpu-{n}g" for n in (1, 2, 4, 8)} | {16: "a2-megagpu-16g"},
  ),
  "a100-80gb": GpuFamily(
    "nvidia-a100-80gb", {n: f"a2-ultragpu-{n}g" for n in (1, 2, 4, 8)}
  ),
  "h100": GpuFamily(
    "nvidia-h100-80gb", {n: f"a3-highgpu-{n}g" for n in (1, 2, 4, 8)}
  ),
  "h100-mega": GpuFamily("nvidia-h100-mega-80gb", {8: "a3-megagpu-8g"}),
  "h200": GpuFamily("nvidia-h200-141gb", {8: "a3-ultragpu-8g"}),
  "b200": GpuFamily("nvidia-b200", {8: "a4-highgpu-8g"}),
}
# A host of a TPU slice holds four chips, that of one chip apart.
_CHIPS_A_HOST = 4


def find_slice(name: str) -> Slice:
  """The slice of a name such as "v6e-16", "v5e-4", "v5p-128" or "h100-8".

  Raises:
    UserError: there is none; says which there are.
  """
  family, _, number = name.rpartition("-")
  for tpu in TPUS:
    if family in tpu.prefixes:
      slices = {x.name: x for x in _slices_of(tpu)}
      found = slices.get(f"{tpu.prefixes[0]}-{number}")
      if found is None:
        own = [x.replace(tpu.prefixes[0], family) for x in slices]
        raise UserError(f"{name!r} does not exist; there are {', '.join(own)}")
      return found
  if family in GPUS:
    gpu = GPUS[family]
    machines = {str(n): machine for n, machine in gpu.machines.items()}
    if number not in machines:
      there = ", ".join(f"{family}-{n}" for n in machines)
      raise UserError(
        f"{name!r} does not exist; one machine has {there}, and several"
        " machines are had with --slices"
      )
    return Slice(name, gpu.gke, int(number), machine=machines[number])
  families = [tpu.prefixes[-1] for tpu in TPUS] + list(GPUS)
  raise UserError(
    f"{name!r} is no accelerator with a number; there are"
    f" {', '.join(f'{x}-…' for x in families)}"
  )


def _slices_of(tpu: TpuFamily) -> Iterator[Slice]:
  for topology in tpu.topologies:
    chips = math.prod(map(int, topology.split("x")))
    yield Slice(
      f"{tpu.prefixes[0]}-{chips * tpu.cores}",
      tpu.gke,
      chips,
      hosts=max(1, chips // _CHIPS_A_HOST),
      topology=topology,
      runtime=tpu.runtime,
    )
