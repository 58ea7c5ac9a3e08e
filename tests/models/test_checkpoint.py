"""Folders: what goes out comes in, and what does not fit is named."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from tests.models.tiny import config
from tooldev_jax.config import LoraConfig, MeshConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models import export, peft
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.checkpoint import load_model, save_model
from tooldev_jax.models.export import export_merged
from tooldev_jax.models.parameters import init_adapter, init_params
from tooldev_jax.models.peft import load_adapter, save_adapter
from tooldev_jax.models.tensor_file import read_header, write_tensors
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh

CONFIG = config("qwen2", num_hidden_layers=3)


@pytest.fixture(scope="module")
def params():
  return init_params(CONFIG, jax.random.key(0))


def assert_equal_trees(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_one_file_and_many_hold_the_same_model(params, tmp_path):
  one = save_model(params, CONFIG, tmp_path / "one")
  many = save_model(params, CONFIG, tmp_path / "many", max_shard_bytes=4000)
  assert one == many
  files = sorted(path.name for path in (tmp_path / "many").iterdir())
  assert files[:2] == ["config.json", files[1]]
  assert files[1].startswith("model-00001-of-")
  assert files[-1] == "model.safetensors.index.json"
  for folder in ("one", "many"):
    loaded = load_model(tmp_path / folder)
    assert loaded.fingerprint == one
    assert loaded.config.layers == CONFIG.layers
    assert_equal_trees(loaded.params, params)


def test_the_fingerprint_knows_values_dtype_and_config_not_mesh(
  params, tmp_path
):
  first = save_model(params, CONFIG, tmp_path / "a")
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  half = load_model(tmp_path / "a", mesh, dtype=jnp.bfloat16)
  assert half.fingerprint == first
  assert half.params["norm"]["scale"].dtype == jnp.bfloat16
  changed = dict(params, norm={"scale": params["norm"]["scale"] + 1})
  assert save_model(changed, CONFIG, tmp_path / "b") != first
  assert save_model(half.params, half.config, tmp_path / "c") != first
  fields = json.loads((tmp_path / "a" / "config.json").read_text())
  fields["rms_norm_eps"] = 1e-5
  (tmp_path / "a" / "config.json").write_text(json.dumps(fields))
  assert load_model(tmp_path / "a").fingerprint != first


def rewrite(folder, change):
  """Applies `change` to the dict of a folder's tensors."""
  path = epath.Path(folder) / "model.safetensors"
  tensors = {name: entry.read() for name, entry in read_header(path).items()}
  change(tensors)
  write_tensors(path, tensors)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda t: t.pop("model.norm.weight"), "missing: model.norm.weight"),
    (lambda t: t.update(other=np.zeros(1, np.float32)), "extra: other"),
    (
      lambda t: t.update({"model.norm.weight": np.zeros(3, np.float32)}),
      r"mis-shaped: model.norm.weight is \[3\], not \[16\]",
    ),
    (
      lambda t: t.update(
        {"model.layers.1.self_attn.q_proj.bias": np.zeros(16, np.float16)}
      ),
      "self_attn.q_proj.bias and its like are F16, F32",
    ),
  ],
  ids=["missing", "extra", "mis-shaped", "mixed"],
)
def test_tensors_that_do_not_fit_are_named(params, tmp_path, change, message):
  save_model(params, CONFIG, tmp_path)
  rewrite(tmp_path, change)
  with pytest.raises(UserError, match=message):
    load_model(tmp_path)


def test_a_tied_head_may_be_there_if_it_is_the_embedding(tmp_path):
  tied = config(tie_word_embeddings=True)
  params = init_params(tied, jax.random.key(0))
  save_model(params, tied, tmp_path)
  name = "model.embed_tokens.weight"
  rewrite(tmp_path, lambda t: t.update({"lm_head.weight": t[name]}))
  assert_equal_trees(load_model(tmp_path).params, params)
  rewrite(tmp_path, lambda t: t.update({"lm_head.weight": t[name] + 1}))
  with pytest.raises(UserError, match=r"lm_head.weight differs"):
    load_model(tmp_path)


def test_the_single_file_counts_where_a_folder_has_both(params, tmp_path):
  """As for transformers; and a model written in parts leaves no old one."""
  many, one = tmp_path / "many", tmp_path / "one"
  changed = dict(params, norm={"scale": params["norm"]["scale"] + 1})
  save_model(changed, CONFIG, one)
  save_model(params, CONFIG, many, max_shard_bytes=4000)
  (many / "model.safetensors").write_bytes(
    (one / "model.safetensors").read_bytes()
  )
  assert_equal_trees(load_model(many).params, changed)
  save_model(params, CONFIG, many, max_shard_bytes=4000)
  assert not (many / "model.safetensors").exists()
  assert_equal_trees(load_model(many).params, params)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("{", "not an index of safetensors"),
    ("[]", "not an index of safetensors"),
    ('{"weight_map": {"model.norm.weight": 3}}', "not an index of safetens"),
    (
      '{"weight_map": {"model.norm.weight": "model-9.safetensors"}}',
      "model-9.safetensors: no such file",
    ),
  ],
)
def test_a_damaged_index_is_named(params, tmp_path, text, message):
  save_model(params, CONFIG, tmp_path, max_shard_bytes=4000)
  (tmp_path / "model.safetensors.index.json").write_text(text)
  with pytest.raises(UserError, match=message):
    load_model(tmp_path)


def test_a_tensor_in_another_file_than_the_index_says_is_named(
  params, tmp_path
):
  save_model(params, CONFIG, tmp_path, max_shard_bytes=4000)
  index = tmp_path / "model.safetensors.index.json"
  fields = json.loads(index.read_text())
  files = sorted(set(fields["weight_map"].values()))
  here = fields["weight_map"]["model.norm.weight"]
  fields["weight_map"]["model.norm.weight"] = next(
    file for file in files if file != here
  )
  index.write_text(json.dumps(fields))
  with pytest.raises(UserError, match=r"lists model.norm.weight, not in the"):
    load_model(tmp_path)


def test_what_is_no_model_folder_is_named(tmp_path, monkeypatch):
  with pytest.raises(UserError, match="no such folder, and not a hub id"):
    load_model(tmp_path / "nowhere")
  with pytest.raises(UserError, match=r"config.json: no such file"):
    load_model(tmp_path)
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(UserError, match=r"config.json: not JSON"):
    load_model(tmp_path)
  (tmp_path / "config.json").write_text('{"note": NaN}')
  with pytest.raises(
    UserError, match=r"config.json: not JSON .*JSON compliant"
  ):
    load_model(tmp_path)
  (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_hf()))
  with pytest.raises(UserError, match=r"neither model.safetensors nor"):
    load_model(tmp_path)


def test_offline_hub_ids_say_what_to_do(params, monkeypatch, tmp_path):
  """The hub's own client, told that there is no network."""
  from huggingface_hub import constants

  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
  with pytest.raises(UserError, match="hf download nobody/model --local-dir"):
    load_model("nobody/model")
  # What was fetched before is found without it.
  cached = tmp_path / "models--nobody--model"
  (cached / "refs").mkdir(parents=True)
  (cached / "refs" / "main").write_text("a" * 40)
  save_model(params, CONFIG, cached / "snapshots" / ("a" * 40))
  assert_equal_trees(load_model("nobody/model").params, params)


def test_an_index_cannot_reach_outside_its_folder(params, tmp_path):
  save_model(params, CONFIG, tmp_path, max_shard_bytes=4000)
  index = tmp_path / "model.safetensors.index.json"
  fields = json.loads(index.read_text())
  fields["weight_map"]["model.norm.weight"] = "../x.safetensors"
  index.write_text(json.dumps(fields))
  with pytest.raises(UserError, match="not a file name"):
    load_model(tmp_path)


def test_saving_twice_gives_the_same_bytes(params, tmp_path):
  lora = LoraConfig(rank=2, alpha=4, targets=("v_proj",))
  adapter = init_adapter(CONFIG, lora, jax.random.key(1))
  for folder in ("a", "b"):
    save_model(params, CONFIG, tmp_path / folder / "model")
    save_adapter(
      adapter, lora, CONFIG, tmp_path / folder / "adapter", "base", "f"
    )
  for first in sorted((tmp_path / "a").rglob("*.*")):
    second = tmp_path / "b" / first.relative_to(tmp_path / "a")
    assert first.read_bytes() == second.read_bytes()


def test_an_adapter_comes_back_as_it_went(tmp_path):
  lora = LoraConfig(rank=3, alpha=7.5, targets=("q_proj", "up_proj"))
  adapter = init_adapter(CONFIG, lora, jax.random.key(1))
  adapter = jax.tree.map(lambda x: x + 1, adapter)
  save_adapter(adapter, lora, CONFIG, tmp_path, "base", "print")
  again, factors = load_adapter(tmp_path, CONFIG, "print")
  assert again == lora
  assert_equal_trees(factors, adapter)
  with pytest.raises(UserError, match="trained on base print, not on this"):
    load_adapter(tmp_path, CONFIG, "another")


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"use_dora": True}, "use_dora=True is not supported"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save=.* is not supported"),
    ({"lora_of_tomorrow": {"x": 1}}, "lora_of_tomorrow=.* is not supported"),
    ({"r": "2"}, "r='2'; a positive whole number is needed"),
    ({"r": 2.0}, "r=2.0; a positive whole number is needed"),
    ({"lora_alpha": 0}, "lora_alpha=0; a positive number is needed"),
    ({"lora_alpha": float("inf")}, "not JSON .*JSON compliant"),
    ({"use_rslora": "no"}, "use_rslora='no'; true or false is needed"),
    ({"bias": ["none"]}, "bias=.* is not supported"),
    ({"target_modules": {"v_proj": 1}}, "a name or a list of names is needed"),
    ({"target_modules": [3]}, r"target_modules=\[3\]; a name or a list"),
    ({"layers_to_transform": "all"}, "a layer or a list of layers is needed"),
    ({"layers_to_transform": [True]}, "a layer or a list of layers"),
    ({"alpha_pattern": [["v_proj", 3]]}, "alpha_pattern=.*; an object of"),
    ({"rank_pattern": "v_proj"}, "rank_pattern='v_proj'; an object of"),
    ({"rank_pattern": {"v_proj": "2"}}, "of 'v_proj'='2'; a positive whole"),
    ({"alpha_pattern": {"(": 3}}, r"'\(', no regular expression"),
    ({"alpha_pattern": {"*a": 3}}, "alpha_pattern has .*no regular expression"),
    ({"bias": "all", "r": 0}, "2 things are not supported:\n"),
  ],
)
def test_an_adapter_that_is_more_than_lora_is_refused(
  tmp_path, changes, message
):
  lora = LoraConfig(rank=2, alpha=4, targets=("v_proj",))
  adapter = init_adapter(CONFIG, lora, jax.random.key(1))
  save_adapter(adapter, lora, CONFIG, tmp_path, "base")
  path = tmp_path / "adapter_config.json"
  off = {"lora_of_tomorrow": None, "use_dora": False, "rank_pattern": {}}
  fields = json.loads(path.read_text()) | off
  path.write_text(json.dumps(fields))
  assert load_adapter(tmp_path, CONFIG)[0] == lora
  path.write_text(json.dumps(fields | changes))
  with pytest.raises(UserError, match=message):
    load_adapter(tmp_path, CONFIG)


def test_a_pattern_that_takes_for_ever_is_refused(tmp_path, monkeypatch):
  lora = LoraConfig(rank=2, alpha=4, targets=("v_proj",))
  adapter = init_adapter(CONFIG, lora, jax.random.key(1))
  save_adapter(adapter, lora, CONFIG, tmp_path, "base")
  path = tmp_path / "adapter_config.json"
  fields = json.loads(path.read_text())
  # Exponential for Python's own `re`.
  harmless = {"alpha_pattern": {r"([a-z_.0-9]+)+[A-Z]": 3}}
  path.write_text(json.dumps(fields | harmless))
  assert load_adapter(tmp_path, CONFIG)[0] == lora
  monkeypatch.setattr(peft, "_PATTERN_SECONDS", 1e-4)
  slow = {"alpha_pattern": {r"(?:.*,?){60}[A-Z]": 3}}
  path.write_text(json.dumps(fields | slow))
  with pytest.raises(UserError, match=r"alpha_pattern has .* takes more than"):
    load_adapter(tmp_path, CONFIG)


def merged_inputs(params, folder, dtype=jnp.float32):
  """(base, adapter, lora, prompts) with a base that stops at 3."""
  made = jax.tree.map(lambda x: x.astype(dtype), params)
  save_model(made, CONFIG.with_stop_tokens([3], 0), folder)
  lora = LoraConfig(rank=2, alpha=4)
  adapter = init_adapter(CONFIG, lora, jax.random.key(1))
  adapter = jax.tree.map(lambda x: x + 0.05, adapter)
  return load_model(folder), adapter, lora, [[1, 2, 5], list(range(4, 29))]


def test_a_merged_export_reports_what_rounding_changed(params, tmp_path):
  base, adapter, lora, prompts = merged_inputs(params, tmp_path / "base")
  report = export_merged(base, adapter, lora, tmp_path / "same", prompts)
  assert report.fingerprint == load_model(tmp_path / "same").fingerprint
  assert report.fingerprint != base.fingerprint
  assert report.dtype == "float32"
  assert 0 < report.max_logit_difference < 1e-4 < report.max_logit
  assert (report.changed_answers, report.prompts) == (0, 2)


def test_a_base_is_merged_into_a_wider_dtype_without_rounding(params, tmp_path):
  base, adapter, lora, prompts = merged_inputs(
    params, tmp_path / "base", jnp.bfloat16
  )
  write = functools.partial(export_merged, base, adapter, lora)
  rounded = write(tmp_path / "rounded", prompts)
  wide = write(tmp_path / "wide", prompts, "float32")
  assert (rounded.dtype, wide.dtype) == ("bfloat16", "float32")
  assert wide.max_logit_difference < 1e-5 < rounded.max_logit_difference
  assert wide.changed_answers == 0
  for leaf in jax.tree.leaves(load_model(tmp_path / "wide").params):
    assert leaf.dtype == jnp.float32


def test_a_dtype_that_cannot_hold_the_weights_is_refused(params, tmp_path):
  large = dict(params, norm={"scale": params["norm"]["scale"] * 1e6})
  base, adapter, lora, prompts = merged_inputs(large, tmp_path / "base")
  with pytest.raises(UserError, match=r"dtype=float16: .* larger"):
    export_merged(base, adapter, lora, tmp_path / "out", prompts, "float16")


def test_the_compared_answers_are_those_of_the_whole_model():
  """With a cache, filled-up prompts and a window as without any of them."""
  made = config("gemma2", num_hidden_layers=2, sliding_window=5)
  own = {"params": init_params(made, jax.random.key(4))}
  prompts = [[1, 2, 5], [7, 8, 9, 4, 6, 11, 12, 13, 30]]
  answers, _ = export._answers(made, None, own, prompts)
  decoder = Decoder(made)
  # Rows of one length: what follows the last token changes nothing before it.
  rows = np.zeros((2, 40), np.int32)
  for row, prompt, answer in zip(rows, prompts, answers, strict=True):
    assert len(answer) == export._ANSWER
    row[: len(prompt) + len(answer)] = [*prompt, *answer]
  attend = packed_attention(jnp.ones_like(rows), backend="einsum")
  positions = jnp.broadcast_to(jnp.arange(40), (2, 40))
  hidden, _ = jax.jit(decoder.apply, static_argnums=3)(
    own, rows, positions, attend
  )
  likeliest = np.asarray(decoder.unembed(own["params"], hidden).argmax(-1))
  for row, prompt, answer in zip(likeliest, prompts, answers, strict=True):
    first = len(prompt) - 1
    assert row[first : first + len(answer)].tolist() == answer
  stop = answers[0][4]
  stopped, _ = export._answers(
    made.with_stop_tokens([stop], 0), None, own, prompts
  )
  assert stopped[0] == answers[0][: answers[0].index(stop)]


def test_every_folder_names_its_stop_tokens(params, tmp_path):
  path = tmp_path / "generation_config.json"
  told = {"eos_token_id": [7, None], "top_p": 0.9, "_from_model_config": True}
  path.write_text(json.dumps(told))
  save_model(params, CONFIG.with_stop_tokens([5, 3], 2), tmp_path)
  assert json.loads(path.read_text()) == {
    "eos_token_id": [3, 5, 7],
    "pad_token_id": 2,
    "top_p": 0.9,
  }
  fields = json.loads((tmp_path / "config.json").read_text())
  assert (fields["eos_token_id"], fields["pad_token_id"]) == ([3, 5], 2)
  path.write_text("[]")
  with pytest.raises(UserError, match=r"generation_config.json: an object is"):
    save_model(params, CONFIG.with_stop_tokens([5], 2), tmp_path)
