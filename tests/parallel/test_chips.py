"""Peaks by kind of device."""

import pytest

from tooldev_jax.parallel.chips import peak_flops


@pytest.mark.parametrize(
  "kind, peak",
  [
    ("TPU v5 lite", 197e12),
    ("TPU v5p", 459e12),
    ("TPU v6 lite", 918e12),
    ("NVIDIA H100 80GB HBM3", 989e12),
    ("cpu", None),
  ],
)
def test_peaks_are_found_by_the_kind_of_device(kind, peak):
  assert peak_flops(kind) == peak
