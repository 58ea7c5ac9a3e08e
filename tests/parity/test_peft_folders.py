"""Adapters against real `peft` on real `transformers` models, both ways."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch
import transformers

import tooldev_jax
from tooldev_jax.config import LINEAR_MODULES, LoraConfig
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.data.tokenizer_files import copy_tokenizer_files
from tooldev_jax.errors import UserError
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.checkpoint import load_model, save_model
from tooldev_jax.models.config import token_ids
from tooldev_jax.models.export import export_merged
from tooldev_jax.models.parameters import init_adapter
from tooldev_jax.models.peft import load_adapter, save_adapter
from tooldev_jax.models.transformer import Decoder

pytestmark = pytest.mark.parity

TINY_BASE = pathlib.Path(tooldev_jax.__file__).parent / "assets" / "tiny_base"
TOLERANCE = 1e-4
SHAPE = {
  "vocab_size": 101,
  "hidden_size": 48,
  "intermediate_size": 80,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "initializer_range": 0.1,
}
TOKENS = np.random.default_rng(0).integers(0, 101, (2, 19)).astype(np.int32)


def make_base(kind, folder, **fields):
  """A random base: its folder, and ours loaded from it."""
  torch.manual_seed(0)
  config = getattr(transformers, f"{kind}Config")(**SHAPE, **fields)
  transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
  return folder, load_model(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
  return make_base(
    "Qwen2", tmp_path_factory.mktemp("qwen"), num_hidden_layers=3
  )


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
  """Seven layers in two groups: a block of six, then one more."""
  return make_base(
    "Gemma3Text",
    tmp_path_factory.mktemp("gemma"),
    num_hidden_layers=7,
    head_dim=16,
  )


def torch_base(folder):
  return transformers.AutoModelForCausalLM.from_pretrained(
    folder, attn_implementation="eager", dtype=torch.float32
  ).eval()


def torch_logits(model):
  with torch.no_grad():
    return model(torch.tensor(TOKENS, dtype=torch.long)).logits.numpy()


def our_logits(loaded, lora, adapter):
  decoder = Decoder(loaded.config, lora)
  tokens, segments = jnp.asarray(TOKENS), jnp.ones_like(TOKENS)
  positions = jnp.broadcast_to(jnp.arange(TOKENS.shape[1]), TOKENS.shape)

  @jax.jit
  def run(params, adapter):
    variables = {"params": params, "lora": adapter}
    attend = packed_attention(segments)
    hidden, _ = decoder.apply(variables, tokens, positions, attend)
    return decoder.unembed(params, hidden)

  return np.asarray(run(loaded.params, adapter))


def random_adapter(config, lora, seed=1):
  """Both factors random, so that the adapter does something."""
  adapter = init_adapter(config, lora, jax.random.key(seed))
  leaves, tree = jax.tree.flatten(adapter)
  keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
  noisy = [
    x + 0.1 * jax.random.normal(key, x.shape)
    for x, key in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, noisy)


@pytest.mark.parametrize(
  "lora",
  [
    LoraConfig(rank=4, alpha=8),
    LoraConfig(rank=3, alpha=5.5, targets=("q_proj", "v_proj", "down_proj")),
    LoraConfig(rank=4, alpha=4, targets=("o_proj",), rank_stabilised=True),
  ],
  ids=["all", "some", "rank-stabilised"],
)
def test_peft_loads_ours(base, lora, tmp_path):
  folder, loaded = base
  adapter = random_adapter(loaded.config, lora)
  save_adapter(
    adapter, lora, loaded.config, tmp_path, str(folder), loaded.fingerprint
  )
  model = torch_base(folder)
  plain = torch_logits(model)
  theirs = torch_logits(peft.PeftModel.from_pretrained(model, tmp_path))
  ours = our_logits(loaded, lora, adapter)
  assert np.abs(theirs - plain).max() > 0.1
  np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
  again, factors = load_adapter(tmp_path, loaded.config, loaded.fingerprint)
  assert again == lora
  jax.tree.map(np.testing.assert_array_equal, factors, adapter)


def test_transformers_loads_a_merged_export(base, tmp_path):
  folder, loaded = base
  lora = LoraConfig(rank=4, alpha=8)
  adapter = random_adapter(loaded.config, lora)
  report = export_merged(
    loaded, adapter, lora, tmp_path, TOKENS.tolist(), max_shard_bytes=50000
  )
  assert (tmp_path / "model.safetensors.index.json").exists()
  theirs = torch_logits(torch_base(tmp_path))
  ours = our_logits(loaded, lora, adapter)
  assert np.abs(theirs - torch_logits(torch_base(folder))).max() > 0.1
  np.testing.assert_allclose(theirs, ours, atol=TOLERANCE, rtol=0)
  assert report.max_logit_difference < TOLERANCE


def test_layers_in_blocks_of_six_find_their_names(gemma, tmp_path):
  """Out to peft and in again where a layer's place is not its index."""
  folder, loaded = gemma
  fields = {"r": 2, "target_modules": ["k_proj", "down_proj"]}
  patterns = {r"layers\.[36]\..*": 3}
  theirs = peft_adapter(folder, tmp_path, rank_pattern=patterns, **fields)
  lora, adapter = load_adapter(tmp_path, loaded.config)
  ours = our_logits(loaded, lora, adapter)
  np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
  save_adapter(adapter, lora, loaded.config, tmp_path / "out", str(folder))
  again = peft.PeftModel.from_pretrained(torch_base(folder), tmp_path / "out")
  np.testing.assert_allclose(torch_logits(again), theirs, atol=TOLERANCE)


def answer(folder, adapter=None, **given):
  """Greedy tokens of transformers.generate, with nothing told beside."""
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  model = torch_base(folder)
  if adapter is not None:
    model = peft.PeftModel.from_pretrained(model, adapter)
  prompt = tokenizer.apply_chat_template(
    [{"role": "user", "content": "book a table"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
  )
  made = model.generate(**prompt, max_new_tokens=60, do_sample=False, **given)
  return made[0, prompt["input_ids"].shape[1] :].tolist()


class StopAfter(transformers.LogitsProcessor):
  """Lets a model say `count` other tokens, then one stop token for ever."""

  def __init__(self, count, stop):
    self.count, self.stop, self.calls = count, stop, 0

  def __call__(self, input_ids, scores):
    self.calls += 1
    if self.calls <= self.count:
      return scores.index_fill(1, torch.tensor([self.stop]), -torch.inf)
    return torch.full_like(scores, -torch.inf).index_fill(
      1, torch.tensor([self.stop]), 0.0
    )


def test_the_shipped_base_stops_by_itself():
  stops = ChatTokenizer.load(TINY_BASE).stop_token_ids
  model = torch_base(TINY_BASE)
  for config in (model.config, model.generation_config):
    assert token_ids(config.eos_token_id) == stops
    assert config.pad_token_id == 0
  told = answer(TINY_BASE, logits_processor=[StopAfter(4, stops[0])])
  assert told[-1] == stops[0]
  assert len(told) == 5


def test_an_adapter_and_a_merged_model_stop_where_training_stopped(tmp_path):
  """Whatever the stop tokens are: here one that the answer comes to early."""
  base = load_model(TINY_BASE)
  lora = LoraConfig(rank=2, alpha=2)
  adapter = random_adapter(base.config, lora)
  adapter = jax.tree.map(lambda x: 0.1 * x, adapter)
  save_adapter(adapter, lora, base.config, tmp_path / "adapter", "base")
  endless = answer(TINY_BASE, tmp_path / "adapter", eos_token_id=-1)
  assert len(endless) == 60
  stop = endless[1]
  wanted = endless[: endless.index(stop) + 1]
  assert stop != 2
  stopping = dataclasses.replace(
    base, config=base.config.with_stop_tokens([2, stop], 0)
  )
  for folder in ("base", "merged"):
    copy_tokenizer_files(TINY_BASE, tmp_path / folder)
  save_model(stopping.params, stopping.config, tmp_path / "base")
  prompts = [[1, 5, 30, 6]]
  merged = tmp_path / "merged"
  export_merged(stopping, adapter, lora, merged, prompts, "float32")
  assert answer(tmp_path / "base", tmp_path / "adapter") == wanted
  assert answer(merged) == wanted
  generation = transformers.GenerationConfig.from_pretrained(merged)
  assert generation.eos_token_id == sorted([2, stop])


def peft_adapter(folder, out, **fields):
  """A random adapter made and saved by `peft` itself, and its logits."""
  torch.manual_seed(2)
  model = peft.get_peft_model(
    torch_base(folder), peft.LoraConfig(task_type="CAUSAL_LM", **fields)
  )
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if "lora_B" in name:
        parameter.normal_(std=0.1)
  model.save_pretrained(out)
  return torch_logits(model.eval())


@pytest.mark.parametrize(
  "fields",
  [
    {"r": 4, "target_modules": list(LINEAR_MODULES)},
    {"r": 4, "lora_alpha": 3, "target_modules": "all-linear"},
    {"r": 8, "target_modules": ["k_proj", "up_proj"], "use_rslora": True},
    {
      "r": 4,
      "lora_alpha": 16,
      "target_modules": ["q_proj", "v_proj", "gate_proj"],
      "rank_pattern": {"layers.1.self_attn.q_proj": 7, "v_proj": 2},
      "alpha_pattern": {r"layers.[02].*\.gate_proj": 5},
    },
    {
      "r": 2,
      "target_modules": ["q_proj", "o_proj"],
      "layers_to_transform": [1],
    },
    {
      "r": 4,
      "lora_alpha": 6,
      "target_modules": r"model\.layers\.[02]\..*(q|up|down)_proj",
      "exclude_modules": r".*\.2\.mlp\.up_proj",
      "use_rslora": True,
      "rank_pattern": {r"^model\.layers\.0\.mlp\.down_proj": 9},
      "alpha_pattern": {"q_proj": 2},
    },
  ],
  ids=["all", "all-linear", "rslora", "patterns", "one-layer", "regex"],
)
def test_ours_loads_peft(base, fields, tmp_path):
  folder, loaded = base
  theirs = peft_adapter(folder, tmp_path, **fields)
  lora, adapter = load_adapter(tmp_path, loaded.config, loaded.fingerprint)
  ours = our_logits(loaded, lora, adapter)
  np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
  # And out again: peft still says the same of what we made of it.
  save_adapter(adapter, lora, loaded.config, tmp_path / "out", str(folder))
  model = peft.PeftModel.from_pretrained(torch_base(folder), tmp_path / "out")
  np.testing.assert_allclose(
    torch_logits(model), theirs, atol=TOLERANCE, rtol=0
  )


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"use_dora": True}, "use_dora=True is not supported"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save=.*lm_head.* is not"),
    ({"bias": "all"}, "bias='all' is not supported"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa' is not"),
  ],
)
def test_refuses_what_is_not_plain_lora(base, fields, message, tmp_path):
  folder, loaded = base
  peft_adapter(folder, tmp_path, target_modules=["q_proj"], **fields)
  with pytest.raises(UserError, match=message):
    load_adapter(tmp_path, loaded.config)


def test_refuses_embeddings_and_heads_by_name(base, tmp_path):
  folder, loaded = base
  peft_adapter(folder, tmp_path, target_modules=["q_proj", "embed_tokens"])
  with pytest.raises(UserError, match=r"embed_tokens.*not part of plain LoRA"):
    load_adapter(tmp_path, loaded.config)


def test_refuses_another_base_rank_or_shape(base, tmp_path):
  folder, loaded = base
  lora = LoraConfig(rank=2, alpha=2, targets=("q_proj",))
  adapter = init_adapter(loaded.config, lora, jax.random.key(0))
  save_adapter(adapter, lora, loaded.config, tmp_path, str(folder), "abc")
  with pytest.raises(UserError, match="trained on base abc, not on this one"):
    load_adapter(tmp_path, loaded.config, loaded.fingerprint)
  path = tmp_path / "adapter_config.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 3}))
  with pytest.raises(UserError, match=r"has rank 2, but .* says 3"):
    load_adapter(tmp_path, loaded.config)
