"""A base loaded straight onto several devices, by one process and by two."""

import json

import jax
import numpy as np
import pytest

from tests.models.tiny import config
from tests.multihost.worker import run_processes
from tooldev_jax.models.checkpoint import save_model
from tooldev_jax.models.parameters import init_params
from tooldev_jax.train.identity import named_leaves

CONFIG = config(
  "qwen3", num_hidden_layers=8, hidden_size=128, intermediate_size=768,
  num_attention_heads=4, num_key_value_heads=4, vocab_size=256,
)  # fmt: skip
MESHES = [(1, 4, 1), (2, 1, 2), (1, 2, 2)]
LARGEST = 4 * 8 * 128 * 768  # bytes of a stacked kernel of the MLP
# What Python itself needs meanwhile: headers, names, shardings.
BESIDE = 1 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  """Folder and fingerprint of a model, with its parameters as numpy beside."""
  folder = tmp_path_factory.mktemp("model")
  params = init_params(CONFIG, jax.random.key(0))
  fingerprint = save_model(params, CONFIG, folder, max_shard_bytes=2 << 20)
  leaves = {k: np.asarray(x) for k, x in named_leaves(params).items()}
  np.savez(folder / "whole.npz", **leaves)
  return str(folder), fingerprint, sum(x.nbytes for x in leaves.values())


@pytest.mark.parametrize("processes", [1, 2])
def test_every_shard_is_right_and_memory_stays_within_a_leaf(model, processes):
  folder, fingerprint, size = model
  outputs = run_processes(
    "tests.multihost.load_worker",
    {"folder": folder, "meshes": MESHES},
    devices=4,
    processes=processes,
  )
  for output in outputs:
    for loaded in map(json.loads, output):
      assert loaded["devices"] == 4 and loaded["equal"]
      assert loaded["pieces"] == 4 // processes
      assert loaded["fingerprint"] == fingerprint
      assert loaded["peak"] < 1.2 * LARGEST + BESIDE
  if processes == 2:
    # Of what is split between the two processes each reads its half.
    for output in outputs:
      first = json.loads(output[0])
      assert first["read"] < 0.51 * size
      assert first["peak"] < 0.6 * LARGEST + BESIDE
