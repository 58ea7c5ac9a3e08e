"""Messages that a set keeps as context and does not want trained."""

import json

import pytest

from tooldev_jax.config import EncodeConfig, ViewConfig
from tooldev_jax.data import encoding, prepare, sources

_UNTRAINED = [
  {"weight": 0}, {"weight": 0.0}, {"train": False}, {"training": False},
  {"trainable": 0}, {"mask": True}, {"masked": 1}, {"loss": False},
  {"loss_mask": 0}, {"ignore_loss": True}, {"isTrained": False},
  {"weight": 1, "train": False},
]  # fmt: skip
_TRAINED = [
  {}, {"weight": 1}, {"weight": None}, {"train": True}, {"mask": False},
  {"mask": 0, "weight": 1.0}, {"lossMask": 1},
]  # fmt: skip
_REFUSED = [
  {"weight": 0.5}, {"weight": "0"}, {"train": "no"}, {"train_detail": []},
  {"mask_prompt": True}, {"loss_weight_scale": 2}, {"trainOnTurn": False},
]  # fmt: skip


def _openai(tmp_path, first, last):
  row = {
    "messages": [
      {"role": "user", "content": "Rain?", "weight": 0},
      {"role": "assistant", "content": "FIRST", **first},
      {"role": "user", "content": "Sure?"},
      {"role": "assistant", "content": "LAST", **last},
    ],
    "tools": [],
  }
  path = tmp_path / "rows.jsonl"
  path.write_text(json.dumps(row))
  return sources.read_examples(path, "openai")


def _hermes(tmp_path, first, last):
  row = {
    "conversations": [
      {"from": "human", "value": "Rain?", "weight": 0},
      {"from": "gpt", "value": "FIRST", **first},
      {"from": "human", "value": "Sure?"},
      {"from": "gpt", "value": "LAST", **last},
    ],
    "tools": "[]",
  }
  path = tmp_path / "rows.jsonl"
  path.write_text(json.dumps(row))
  return sources.read_examples(path, "hermes")


@pytest.mark.parametrize("read", [_openai, _hermes])
@pytest.mark.parametrize("flags", _UNTRAINED)
def test_what_is_not_trained_is_no_answer(tmp_path, read, flags):
  (example,) = read(tmp_path, {}, flags).examples
  assert example.answer == "FIRST"
  (bad,) = read(tmp_path, flags, flags).rejected
  assert bad.reason == "no assistant turn is trained"


@pytest.mark.parametrize("read", [_openai, _hermes])
@pytest.mark.parametrize("flags", _TRAINED)
def test_what_is_trained_is_the_answer(tmp_path, read, flags):
  (example,) = read(tmp_path, {}, flags).examples
  assert example.answer == "LAST"


@pytest.mark.parametrize("read", [_openai, _hermes])
@pytest.mark.parametrize("flags", _REFUSED)
def test_other_flags_are_refused_by_name(tmp_path, read, flags):
  (bad,) = read(tmp_path, {}, flags).rejected
  assert bad.reason.startswith("a flag of training that is not")
  assert next(iter(flags)) in bad.detail


def test_untrained_turns_stay_context_wherever_turns_are_trained(
  tmp_path, chat_tokenizers
):
  chat = chat_tokenizers["qwen25"]
  examples = _openai(tmp_path, {"weight": 0}, {}).examples
  every = EncodeConfig(prompt_style="toolace", turns="all")
  split = prepare.PrepareConfig(
    kinds=("invocation",),
    view=ViewConfig(call_format="hermes", split_turns=True),
  )
  last = EncodeConfig(prompt_style="toolace")
  for options, config in ((every, None), (last, split)):
    encoder = encoding.Encoder(chat, "hermes", options)
    found = prepare.prepare(examples, encoder, config).encoded
    (only,) = [one for one in found if one.kind == "invocation"]
    assert "FIRST" in chat.decode_exact(only.tokens)
    assert "FIRST" not in chat.decode_exact(only.tokens[only.trained])
    assert "LAST" in chat.decode_exact(only.tokens[only.trained])


def test_our_own_rows_keep_what_is_not_trained(tmp_path):
  (example,) = _openai(tmp_path, {"weight": 0}, {}).examples
  sources.records.write(tmp_path / "own.jsonl", [example])
  read = sources.read_examples(tmp_path / "own.jsonl", "records")
  assert read.examples == (example,)
  assert not read.examples[0].messages[1].trained
