"""config.json: what is read, what is written back, what is refused."""

import dataclasses
import json
import logging

import pytest
from transformers import CONFIG_MAPPING

from tests.models.tiny import ARCHITECTURES, config, fields
from tooldev_jax.errors import UserError
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.families import FAMILIES

LLAMA3 = {
  "rope_type": "llama3",
  "factor": 8.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 32,
}


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_reading_what_we_write_changes_nothing(model_type):
  first = config(model_type, bos_token_id=1, transformers_version="5.0.0")
  written = json.loads(json.dumps(first.to_hf()))
  assert DecoderConfig.from_hf(written) == first
  assert hash(DecoderConfig.from_hf(written)) == hash(first)
  assert written["bos_token_id"] == 1


def test_rope_is_read_as_transformers_4_and_5_write_it():
  new = config(rope_parameters={"rope_theta": 5e5} | LLAMA3)
  old = config(rope_theta=5e5, rope_scaling=LLAMA3)
  older = config(
    rope_theta=5e5, rope_scaling={"type": LLAMA3["rope_type"], **LLAMA3}
  )
  assert new.layers == old.layers == older.layers
  assert new.layers[0].rope.theta == 5e5
  assert new.layers[0].rope.factor == 8.0


def test_gemma3_has_a_rope_a_layer_type_in_both_writings():
  new = config(
    "gemma3_text",
    num_hidden_layers=6,
    rope_parameters={
      "full_attention": {
        "rope_type": "linear",
        "factor": 8.0,
        "rope_theta": 1e6,
      },
      "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    },
  )
  old = config(
    "gemma3_text",
    num_hidden_layers=6,
    rope_theta=1e6,
    rope_local_base_freq=1e4,
    rope_scaling={"rope_type": "linear", "factor": 8.0},
  )
  assert new.layers == old.layers
  assert [layer.rope.kind for layer in new.layers] == ["default"] * 5 + [
    "linear"
  ]


@pytest.mark.parametrize(
  ("made", "groups"),
  [
    (config(num_hidden_layers=32), [(0, 32, 1)]),
    (config("gemma3_text", num_hidden_layers=26), [(0, 4, 6), (24, 2, 1)]),
    (config("gemma3_text", num_hidden_layers=4), [(0, 4, 1)]),
    (config("gemma2", num_hidden_layers=6), [(0, 3, 2)]),
    (
      config(
        "qwen2",
        num_hidden_layers=5,
        use_sliding_window=True,
        max_window_layers=3,
      ),
      [(0, 3, 1), (3, 2, 1)],
    ),
  ],
  ids=["llama", "gemma3", "gemma3-short", "gemma2", "qwen2-late"],
)
def test_layers_are_grouped_into_repeating_blocks(made, groups):
  found = [(g.first, g.repeats, len(g.layers)) for g in made.groups]
  assert found == groups
  unrolled = [
    layer for g in made.groups for _ in range(g.repeats) for layer in g.layers
  ]
  assert tuple(unrolled) == made.layers


def test_windows_follow_the_family():
  windows = lambda made: [x.attention.window for x in made.layers]
  assert windows(config("mistral", sliding_window=9)) == [9, 9]
  assert windows(config("mistral", sliding_window=None)) == [None, None]
  assert windows(config("qwen2", sliding_window=9)) == [None, None]
  assert windows(
    config(
      "qwen3",
      layer_types=["full_attention", "sliding_attention"],
      use_sliding_window=True,
    )
  ) == [None, 4096]
  # As transformers reads them: without a size, or switched off, no window.
  off = {"sliding_window": None, "max_window_layers": 0}
  assert windows(config("qwen2", use_sliding_window=True, **off)) == [None] * 2


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]},
      "MixtralForCausalLM .* not supported; supported: Gemma2ForCausalLM",
    ),
    (
      {"architectures": ["LlamaForSequenceClassification"]},
      "LlamaForSequenceClassification .* is not supported",
    ),
    (
      {"quantization_config": {"bits": 4}},
      "quantization_config={'bits': 4}: weights that are quantised",
    ),
    ({"text_config": {"hidden_size": 8}}, "a model of several parts"),
    ({"sliding_window": 16}, "sliding_window=16: transformers would limit"),
    ({"per_layer_config": [{}]}, "layers of different shapes"),
    ({"is_encoder_decoder": True}, "is_encoder_decoder=True .* False"),
    ({"num_hidden_layers": 10**6}, "num_hidden_layers=1000000; at most 1000"),
    ({"hidden_size": 10**40}, "hidden_size=1000.*; a positive whole number"),
    ({"rms_norm_eps": float("inf")}, "rms_norm_eps=inf; a positive number"),
    ({"head_dim": None, "hidden_size": 17}, "17 is not a multiple of .*=2"),
    ({"rope_scaling": {"rope_type": ["linear"]}}, "rope_type .* not supported"),
    (
      {"model_type": "granite", "residual_multiplier": 0.5},
      "model_type 'granite'. is not supported",
    ),
    ({"model_type": ["llama"]}, "is not supported; supported: Gemma2"),
    ({"architectures": 3}, "3 .model_type 'llama'. is not supported"),
    ({"hidden_act": "relu"}, "hidden_act='relu' .* silu"),
    ({"pretraining_tp": 2}, "pretraining_tp=2 is not supported .* 1"),
    ({"attention_dropout": 0.1}, "attention_dropout=0.1 is not supported"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "'yarn' .* llama3"),
    ({"rope_scaling": {"rope_type": "linear"}}, "lack .*factor"),
    (
      {"rope_parameters": {"rope_type": "default", "mscale": 2}},
      "unknown .*mscale",
    ),
    (
      {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}},
      "llama has one of all layers",
    ),
    (
      {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        "rope_scaling": LLAMA3,
      },
      "rope_scaling and rope_parameters have different factor",
    ),
    ({"rope_scaling": "llama3"}, "rope_scaling='llama3'; an object is needed"),
    (
      {"rope_scaling": LLAMA3 | {"factor": "8"}},
      "factor='8'; a positive number",
    ),
    (
      {"rope_scaling": LLAMA3 | {"high_freq_factor": 1.0}},
      "high_freq_factor=1.0; the first must be the smaller",
    ),
    ({"model_type": "qwen2"}, r"LlamaForCausalLM \(model_type 'qwen2'\)"),
    ({"tie_word_embeddings": "no"}, "tie_word_embeddings='no'; true or false"),
    ({"rms_norm_eps": "small"}, "rms_norm_eps='small'; a positive number"),
    ({"head_dim": 7}, "head_dim=7; RoPE needs it even"),
    (
      {
        "model_type": "qwen3",
        "architectures": None,
        "layer_types": ["sliding_attention"] * 2,
      },
      "sliding_window is null or use_sliding_window is false",
    ),
    ({"num_key_value_heads": 3}, "not a multiple of num_key_value_heads=3"),
    ({"hidden_size": -1}, "hidden_size=-1; a positive whole number"),
    ({"vocab_size": "many"}, "vocab_size='many'"),
  ],
)
def test_refuses_by_name(changes, message):
  with pytest.raises(UserError, match=message) as caught:
    DecoderConfig.from_hf(fields() | changes, "there/config.json")
  assert str(caught.value).startswith("there/config.json")


UNKNOWN = {
  # As converters and newer libraries leave them.
  "_model_name_or_path": "SmolLM2",
  "unk_token_id": 0,
  "residual_multiplier": 0.22,
  "temperature": 0.6,
  "unsloth_version": "2025.1",
  "mlp_layer_kinds": {"a": 1},
  "some_new_feature": False,
  "another": None,
  "pruned_heads": {},
}


def test_what_transformers_does_not_know_is_passed_on_and_told_once(caplog):
  told = fields() | UNKNOWN | {"pad_token_id": 3, "torch_dtype": "float32"}
  with caplog.at_level(logging.WARNING):
    made = DecoderConfig.from_hf(told, "there/config.json")
    assert DecoderConfig.from_hf(told, "there/config.json") == made
  (message,) = caplog.messages
  assert message.startswith("there/config.json: transformers' LlamaConfig")
  assert all(name in message for name in UNKNOWN)
  assert "pad_token_id" not in message
  assert dataclasses.replace(made, extra="{}") == config()
  assert UNKNOWN.items() <= made.to_hf().items()


def test_code_that_a_config_brings_is_neither_run_nor_passed_on(caplog):
  code = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}
  with caplog.at_level(logging.WARNING):
    made = DecoderConfig.from_hf(fields() | code, "code/config.json")
  assert "auto_map" in caplog.text
  assert "never run" in caplog.text
  assert made.to_hf() == config().to_hf()


def test_known_fields_may_have_the_default_of_their_class():
  same = {"pretraining_tp": 1, "attention_dropout": 0, "mlp_bias": None}
  assert config(**same) == config()
  off = {"attn_logit_softcapping": None, "use_bidirectional_attention": None}
  assert config("gemma3_text", **off) == config("gemma3_text")


def test_all_that_is_wrong_is_told_in_one_message():
  wrong = {
    "hidden_act": "relu",
    "pretraining_tp": 2,
    "vocab_size": "many",
    "num_key_value_heads": 3,
    "rope_scaling": {"rope_type": "yarn"},
    "quantization_config": {"bits": 4},
  }
  with pytest.raises(UserError) as caught:
    config(**wrong)
  message = str(caught.value)
  assert message.startswith("config.json: 6 things are not supported:")
  assert [x for x in wrong if x not in message] == ["rope_scaling"]
  assert "'yarn'" in message


def test_every_field_that_a_family_names_is_one_of_its_class():
  """Else a field would be read that transformers leaves alone."""
  for family in FAMILIES.values():
    known = {
      x.name for x in dataclasses.fields(CONFIG_MAPPING[family.model_type])
    }
    named = {
      *(family.qkv_bias, family.out_bias, family.mlp_bias, family.activation),
      *(family.query_scalar, *family.soft_caps),
    }
    assert {x for x in named if isinstance(x, str)} <= known


def test_stop_tokens_are_written_as_readers_know_them():
  made = config(eos_token_id=7).with_stop_tokens([9, 5, 9], 3)
  assert made.to_hf()["eos_token_id"] == [5, 9]
  assert made.to_hf()["pad_token_id"] == 3
  assert made.stop_token_ids == (5, 9)
  one = config().with_stop_tokens([4], None)
  assert (one.to_hf()["eos_token_id"], one.to_hf()["pad_token_id"]) == (4, 4)
  assert config().stop_token_ids == ()
  assert config(eos_token_id=[1, None, "x"]).stop_token_ids == (1,)


def test_null_heads_of_keys_are_those_of_queries():
  """Whatever the family's default is where the field is left out."""
  made = config("qwen2", num_attention_heads=6, num_key_value_heads=None)
  assert made.num_kv_heads == 6


def test_what_is_no_object_is_named():
  with pytest.raises(UserError, match=r"x.json: an object is needed, not \[1"):
    DecoderConfig.from_hf([1, 2], "x.json")
