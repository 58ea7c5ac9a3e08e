"""JSON files of a checkpoint, changed at random: a sentence or a model."""

import json

import jax
import pytest

from tests.models.tiny import config, fields
from tests.toolcall.mutations import mutated
from tooldev_jax.config import LoraConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models.model_folder import read_config, write_generation_config
from tooldev_jax.models.parameters import init_adapter
from tooldev_jax.models.peft import load_adapter, save_adapter

COUNT = 200
CONFIGS = (
  fields(
    rope_theta=5e5,
    rope_scaling={"rope_type": "linear", "factor": 2.0},
    eos_token_id=[1, 2],
    id2label={"0": "a"},
  ),
  config("gemma3_text", num_hidden_layers=6, sliding_window_pattern=3).to_hf(),
  config("qwen2", use_sliding_window=True, max_window_layers=1).to_hf(),
)


def outcome(run):
  """Whether it was refused; any error but a UserError goes through."""
  try:
    run()
  except UserError as error:
    assert "\n" not in str(error) or "things are not supported" in str(error)
    return True
  return False


@pytest.mark.parametrize("wanted", CONFIGS, ids=["llama", "gemma3", "qwen2"])
def test_a_mutated_config_is_read_or_refused(wanted, tmp_path):
  def run():
    made = read_config(tmp_path)
    assert made.groups
    json.dumps(made.to_hf(), allow_nan=False)

  refused = 0
  for seed in range(COUNT):
    (tmp_path / "config.json").write_text(
      mutated(json.dumps(wanted), "json", seed)
    )
    refused += outcome(run)
  assert COUNT / 4 < refused < COUNT


def test_a_mutated_generation_config_is_read_or_refused(tmp_path):
  told = {"eos_token_id": [1, 2], "pad_token_id": 0, "top_p": 0.5, "x": {}}
  made = config().with_stop_tokens([5], 0)
  for seed in range(COUNT):
    path = tmp_path / "generation_config.json"
    path.write_text(mutated(json.dumps(told), "json", seed))
    if not outcome(lambda: write_generation_config(tmp_path, made)):
      stops = json.loads(path.read_text())["eos_token_id"]
      assert stops == 5 or 5 in stops


def test_a_mutated_adapter_config_is_read_or_refused(tmp_path):
  made = config("qwen2")
  lora = LoraConfig(rank=2, alpha=4, targets=("v_proj",))
  adapter = init_adapter(made, lora, jax.random.key(0))
  save_adapter(adapter, lora, made, tmp_path, "base")
  path = tmp_path / "adapter_config.json"
  wanted = json.loads(path.read_text()) | {
    "rank_pattern": {r"layers\.0\.v_proj": 2, "q_proj": 3},
    "alpha_pattern": {"v_proj": 4},
    "layers_to_transform": [0, 1],
    "modules_to_save": None,
  }
  refused = 0
  for seed in range(COUNT):
    path.write_text(mutated(json.dumps(wanted), "json", seed))
    refused += outcome(lambda: load_adapter(tmp_path, made))
  assert COUNT / 4 < refused < COUNT


def test_a_mutated_header_of_tensors_is_read_or_refused(tmp_path):
  made = config("qwen2")
  lora = LoraConfig(rank=2, alpha=4, targets=("v_proj",))
  adapter = init_adapter(made, lora, jax.random.key(0))
  save_adapter(adapter, lora, made, tmp_path, "base")
  path = tmp_path / "adapter_model.safetensors"
  data = path.read_bytes()
  length = int.from_bytes(data[:8], "little")
  header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
  refused = 0
  for seed in range(COUNT):
    text = mutated(json.dumps(header), "json", seed).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + rest)
    refused += outcome(lambda: load_adapter(tmp_path, made))
  assert COUNT / 2 < refused < COUNT
