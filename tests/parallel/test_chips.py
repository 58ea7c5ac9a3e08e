"""Published figures by kind of device."""

import pytest

from tooldev_jax.parallel.chips import find_chip, peak_flops


@pytest.mark.parametrize(
  "kind, peak",
  [
    ("TPU v5 lite", 197e12),
    ("TPU v5p", 459e12),
    ("TPU v6 lite", 918e12),
    ("NVIDIA H100 80GB HBM3", 989e12),
    ("NVIDIA L40S", None),
    ("cpu", None),
  ],
)
def test_peaks_are_found_by_the_kind_of_device(kind, peak):
  assert peak_flops(kind) == peak


@pytest.mark.parametrize("kind", ["TPU v4", "TPU v5 lite", "TPU v5"])
def test_every_tpu_that_programs_are_compiled_for_has_all_figures(kind):
  chip = find_chip(kind)
  assert min(chip.memory, chip.memory_rate, chip.link_rate) > 1e9
