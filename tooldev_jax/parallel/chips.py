"""What chips can do: the one table of published figures."""

import dataclasses

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
