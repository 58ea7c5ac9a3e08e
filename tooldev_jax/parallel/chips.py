"""What chips can compute."""

# Dense bfloat16 peak of one chip, FLOP/s, by `device_kind`: the vendors' data
# sheets (cloud.google.com/tpu/docs/system-architecture-tpu-vm, nvidia.com).
_PEAKS = {
  "TPU v4": 275e12,
  "TPU v5 lite": 197e12,
  "TPU v5e": 197e12,
  "TPU v5": 459e12,
  "TPU v5p": 459e12,
  "TPU v6 lite": 918e12,
  "TPU v6e": 918e12,
  "NVIDIA A100": 312e12,
  "NVIDIA H100": 989e12,
  "NVIDIA H200": 989e12,
  "NVIDIA L4": 121e12,
}


def peak_flops(device_kind: str) -> float | None:
  """Dense bfloat16 FLOP/s of one chip; None where no figure is published."""
  if device_kind in _PEAKS:
    return _PEAKS[device_kind]
  # GPUs append the board ("NVIDIA H100 80GB HBM3").
  matches = [
    name
    for name in _PEAKS
    if name.startswith("NVIDIA") and device_kind.startswith(name + " ")
  ]
  return _PEAKS[matches[0]] if matches else None
