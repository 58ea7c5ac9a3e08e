"""Published figures by kind of device, and slices by name."""

import pytest

from tooldev_jax.errors import UserError
from tooldev_jax.parallel.chips import find_chip, find_slice, peak_flops


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


@pytest.mark.parametrize(
  "name, own_name, topology, chips, hosts",
  [
    ("v6e-16", "v6e-16", "4x4", 16, 4),
    ("v5e-1", "v5litepod-1", "1x1", 1, 1),
    ("v5litepod-256", "v5litepod-256", "16x16", 256, 64),
    ("v4-8", "v4-8", "2x2x1", 4, 1),
    ("v5p-128", "v5p-128", "4x4x4", 64, 16),
    ("tpu7x-16", "tpu7x-16", "2x2x2", 8, 2),
  ],
)
def test_tpu_slices_are_found_by_google_names(
  name, own_name, topology, chips, hosts
):
  found = find_slice(name)
  assert found.is_tpu
  assert (found.name, found.topology) == (own_name, topology)
  assert (found.chips, found.hosts) == (chips, hosts)


def test_gpu_machines_are_found_by_the_number_of_their_gpus():
  assert find_slice("h100-8").machine == "a3-highgpu-8g"
  assert find_slice("a100-40gb-16").machine == "a2-megagpu-16g"
  assert find_slice("h100-mega-8").gke == "nvidia-h100-mega-80gb"
  assert not find_slice("l4-1").is_tpu


@pytest.mark.parametrize(
  "name, told",
  [
    ("v5e-12", "there are v5e-1, v5e-4, v5e-8, v5e-16, v5e-32"),
    ("v5p-6", "there are v5p-8, v5p-16"),
    ("h100-16", "one machine has h100-1, h100-2, h100-4, h100-8, and several"),
    ("v9-8", "there are v4-…, v5e-…, v5p-…, v6e-…, tpu7x-…, l4-…"),
    ("v6e", "is no accelerator with a number"),
    ("", "is no accelerator with a number"),
  ],
)
def test_what_cannot_be_had_is_refused_with_what_can(name, told):
  with pytest.raises(UserError) as refused:
    find_slice(name)
  assert told in str(refused.value)
