"""The command that merges an adapter into its base."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import tooldev_jax
from launch import merge
from tests.models.tiny import config
from tooldev_jax.config import LoraConfig
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.errors import UserError
from tooldev_jax.models.checkpoint import load_model, save_model
from tooldev_jax.models.config import token_ids
from tooldev_jax.models.lora import merge as merged_params
from tooldev_jax.models.parameters import init_adapter, init_params
from tooldev_jax.models.peft import save_adapter

TINY_BASE = pathlib.Path(tooldev_jax.__file__).parent / "assets" / "tiny_base"
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
  (tmp_path / "base" / "README.md").write_text("not needed")
  save_adapter(adapter, LORA, CONFIG, place, base, made)
  return (base, place, out), merged_params(params, adapter, LORA)


def test_the_command_writes_the_merged_model_and_says_so(folders):
  (base, adapter, out), wanted = folders
  command = [sys.executable, "-m", "launch.merge", f"--base={base}"]
  command += [f"--adapter={adapter}", f"--out={out}"]
  told = subprocess.run(command, capture_output=True, text=True, check=True)
  assert "largest difference of a logit" in told.stdout
  assert "copied beside it: generation_config.json\n" in told.stdout
  assert "stop tokens: none, as config.json says" in told.stdout
  assert "greedy answers changed: 0 of 8" in told.stdout
  assert "warning" not in told.stdout
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


@pytest.fixture
def tiny(tmp_path):
  """The shipped base with a second stop, a named template and an adapter."""
  folder, adapter = tmp_path / "tiny", tmp_path / "adapter"
  shutil.copytree(TINY_BASE, folder)
  named = folder / "additional_chat_templates"
  named.mkdir()
  (named / "tool_use.jinja").write_text("{{ tools }}")
  (folder / "generation_config.json").write_text(
    '{"eos_token_id": [2, 5], "temperature": 0.5}'
  )
  base = load_model(folder)
  factors = init_adapter(base.config, LORA, jax.random.key(1))
  factors = jax.tree.map(
    lambda x: x + 0.05 * jax.random.normal(jax.random.key(2), x.shape), factors
  )
  save_adapter(factors, LORA, base.config, adapter, "tiny", base.fingerprint)
  return str(folder), str(adapter)


def test_rounding_that_changes_answers_is_told_with_figures(tiny, tmp_path):
  base, adapter = tiny
  told = merge.merge(base, adapter, str(tmp_path / "rounded"))
  assert "merged in bfloat16" in told
  changed = int(re.search(r"answers changed: (\d+) of 8", told)[1])
  assert changed > 0
  assert "warning: rounding to bfloat16 changes what the model answers" in told
  told = merge.merge(base, adapter, str(tmp_path / "kept"), "float32")
  assert "merged in float32" in told
  assert "greedy answers changed: 0 of 8" in told
  assert "warning" not in told


def test_a_merged_folder_has_all_that_the_tokenizer_reads(tiny, tmp_path):
  base, adapter = tiny
  out = tmp_path / "out"
  (out / "additional_chat_templates").mkdir(parents=True)
  (out / "additional_chat_templates" / "old.jinja").write_text("of before")
  told = merge.merge(base, adapter, str(out))
  assert "additional_chat_templates/tool_use.jinja" in told
  names = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
  for name in [*names, "additional_chat_templates/tool_use.jinja"]:
    assert (out / name).read_bytes() == (tmp_path / "tiny" / name).read_bytes()
  assert not (out / "additional_chat_templates" / "old.jinja").exists()
  assert "stop tokens: [2, 5], those that training used" in told
  generation = json.loads((out / "generation_config.json").read_text())
  wanted = {"eos_token_id": [2, 5], "pad_token_id": 0, "temperature": 0.5}
  assert generation == wanted
  fields = json.loads((out / "config.json").read_text())
  assert (fields["eos_token_id"], fields["pad_token_id"]) == ([2, 5], 0)


def test_the_shipped_base_names_the_stop_tokens_of_training():
  """In both files: readers look into one, the other, or both."""
  stops = ChatTokenizer.load(TINY_BASE).stop_token_ids
  for name in ("config.json", "generation_config.json"):
    fields = json.loads((TINY_BASE / name).read_text())
    assert token_ids(fields["eos_token_id"]) == stops
    assert fields["pad_token_id"] == 0
