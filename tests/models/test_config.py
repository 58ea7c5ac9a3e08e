"""config.json: what is read, what is written back, what is refused."""

import json

import pytest

from tests.models.tiny import ARCHITECTURES, config, fields
from tooldev_jax.errors import UserError
from tooldev_jax.models.config import DecoderConfig

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
    ({"quantization_config": {"bits": 4}}, "field 'quantization_config'"),
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


def test_a_field_that_is_off_is_no_obstacle():
  """Newer files carry switches of other features, turned off."""
  off = config(some_new_feature=False, another=None, pruned_heads={})
  assert off == config()


def test_null_heads_of_keys_are_those_of_queries():
  """Whatever the family's default is where the field is left out."""
  made = config("qwen2", num_attention_heads=6, num_key_value_heads=None)
  assert made.num_kv_heads == 6


def test_what_is_no_object_is_named():
  with pytest.raises(UserError, match=r"x.json: an object is needed, not \[1"):
    DecoderConfig.from_hf([1, 2], "x.json")
