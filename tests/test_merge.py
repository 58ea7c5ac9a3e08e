"""The command that merges an adapter into its base."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from launch import merge
from tests.models.tiny import config
from tooldev_jax.config import LoraConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models.checkpoint import load_model, save_model
from tooldev_jax.models.lora import merge as merged_params
from tooldev_jax.models.parameters import init_adapter, init_params
from tooldev_jax.models.peft import save_adapter

CONFIG = config("qwen2")
LORA = LoraConfig(rank=2, alpha=4)


@pytest.fixture
def folders(tmp_path):
  """(base, adapter, out), and the merged parameters that are to come out."""
  params = init_params(CONFIG, jax.random.key(0))
  adapter = init_adapter(CONFIG, LORA, jax.random.key(1))
  adapter = jax.tree.map(lambda x: x + 0.05, adapter)
  base, place, out = (str(tmp_path / x) for x in ("base", "adapter", "out"))
  made = save_model(params, CONFIG, base)
  (tmp_path / "base" / "generation_config.json").write_text("{}")
  save_adapter(adapter, LORA, CONFIG, place, base, made)
  return (base, place, out), merged_params(params, adapter, LORA)


def test_the_command_writes_the_merged_model_and_says_so(folders):
  (base, adapter, out), wanted = folders
  command = [sys.executable, "-m", "launch.merge", f"--base={base}"]
  command += [f"--adapter={adapter}", f"--out={out}"]
  told = subprocess.run(command, capture_output=True, text=True, check=True)
  assert "largest difference of a logit" in told.stdout
  assert "copied beside it: generation_config.json" in told.stdout
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
    load_model(out).params,
    wanted,
  )


def test_neither_another_base_nor_the_base_itself_is_written_over(folders):
  (base, adapter, out), wanted = folders
  before = load_model(base).fingerprint
  with pytest.raises(UserError, match="is the base itself"):
    merge.merge(base, adapter, base)
  save_model(wanted, CONFIG, out)
  with pytest.raises(UserError, match="the adapter was trained on base"):
    merge.merge(out, adapter, base)
  assert load_model(base).fingerprint == before
