import dataclasses

import numpy as np
import pytest

from tests.data import families
from tests.data.test_encoding import _EXAMPLE, _TALK
from tooldev_jax.config import EncodeConfig, ViewConfig
from tooldev_jax.data import encoding, loader, prepare, views
from tooldev_jax.toolcall.vocabulary import Example, Message


@pytest.fixture
def encoder(chat_tokenizers):
  return encoding.Encoder(chat_tokenizers["qwen25"], "pythonic")


_EXAMPLES = [
  dataclasses.replace(example, id=f"{example.id}-{i}")
  for i in range(40)
  for example in (_EXAMPLE, _TALK)
]
_CONFIG = prepare.PrepareConfig(kinds=views.KINDS, seed=3)


def _same(a, b):
  assert a.report() == b.report()
  assert a.dropped_ids == b.dropped_ids
  for x, y in zip(a.encoded, b.encoded, strict=True):
    np.testing.assert_array_equal(x.tokens, y.tokens)
    np.testing.assert_array_equal(x.trained, y.trained)
    for field in ("weight", "kind", "example_id", "dropped_tools"):
      assert getattr(x, field) == getattr(y, field)


def test_sequences_come_in_order_of_example_and_kind(encoder):
  found = prepare.prepare(_EXAMPLES, encoder, _CONFIG)
  order = [(s.example_id, s.kind) for s in found.encoded]
  assert order == [(e.id, kind) for e in _EXAMPLES for kind in views.KINDS]
  pool = prepare.tool_pool(_EXAMPLES)
  view = views.make_view(_EXAMPLES[53], "invocation", 3, _CONFIG.view, pool)
  np.testing.assert_array_equal(
    found.encoded[53 * 3 + 2].tokens, families.encode(encoder, view).tokens
  )


def test_everything_without_a_stream_is_counted(encoder):
  silent = Example("silent", (Message("user", "Hi."),))
  clash = dataclasses.replace(_EXAMPLE, id="clash", answer="[f(x=1)]")
  found = prepare.prepare([silent, clash, _TALK], encoder, _CONFIG)
  assert found.missing == {"adaption": 1, "generation": 1}
  assert found.dropped_ids == {prepare.UNWRITABLE: ("clash",)}
  assert found.report()["sequences"] == {
    "adaption": 2,
    "generation": 2,
    "invocation": 2,
  }


def test_cache_gives_the_same_set(encoder, tmp_path, monkeypatch):
  first = prepare.prepare(_EXAMPLES, encoder, _CONFIG, cache=tmp_path)
  _same(first, prepare.prepare(_EXAMPLES, encoder, _CONFIG))
  assert len(list(tmp_path.iterdir())) == 1
  monkeypatch.setattr(prepare, "_encode", None)  # must not be needed
  _same(first, prepare.prepare(_EXAMPLES, encoder, _CONFIG, cache=tmp_path))


def test_a_damaged_cache_is_made_again(encoder, tmp_path):
  first = prepare.prepare(_EXAMPLES, encoder, _CONFIG, cache=tmp_path)
  (path,) = tmp_path.iterdir()
  path.write_bytes(path.read_bytes()[:1000])
  _same(first, prepare.prepare(_EXAMPLES, encoder, _CONFIG, cache=tmp_path))


def test_cache_key_follows_all_that_decides_tokens(encoder, chat_tokenizers):
  def key(examples=(_EXAMPLE,), encoder=encoder, pool=(), **config):
    config = dataclasses.replace(_CONFIG, **config)
    return prepare._key(examples, encoder, config, pool)

  other = dataclasses.replace(_EXAMPLE, answer="x")
  shorter = EncodeConfig(max_length=99)
  chat = chat_tokenizers["qwen25"]
  keys = [
    key(),
    key(examples=(other,)),
    key(seed=4),
    key(kinds=("invocation",)),
    key(view=ViewConfig(max_distractors=1)),
    key(pool=_EXAMPLE.tools),
    key(encoder=encoding.Encoder(chat, "pythonic", shorter)),
    key(encoder=encoding.Encoder(chat_tokenizers["qwen3"], "pythonic")),
    key(encoder=encoding.Encoder(chat, "hermes")),
  ]
  assert len(set(keys)) == len(keys)
  assert key() == key()


@pytest.mark.parametrize("library", ["transformers", "tokenizers", "jinja2"])
def test_another_version_of_a_library_has_another_cache(
  encoder, tmp_path, monkeypatch, library
):
  installed = prepare.metadata.version
  prepare.prepare(_EXAMPLES, encoder, _CONFIG, cache=tmp_path)
  monkeypatch.setattr(
    prepare.metadata,
    "version",
    lambda name: "0.0.1" if name == library else installed(name),
  )
  prepare.prepare(_EXAMPLES, encoder, _CONFIG, cache=tmp_path)
  assert len(list(tmp_path.iterdir())) == 2


def test_empty_input_gives_an_empty_set(encoder, tmp_path):
  for cache in (None, tmp_path, tmp_path):
    found = prepare.prepare([], encoder, _CONFIG, cache=cache)
    assert found.encoded == ()


def test_river_runs_from_examples_to_batches(encoder):
  found = prepare.prepare(_EXAMPLES, encoder, _CONFIG)
  config = loader.LoaderConfig(row_length=2048, batch_examples=64)
  data = loader.TrainData(found, config, encoder.tokenizer.pad_id)
  trained = sum(
    int((batch["target_weights"] > 0).sum()) for batch in data.iterate()
  )
  assert trained == found.report()["trained_tokens"]


def test_dialogues_can_be_split_into_turns(encoder, chat_tokenizers):
  options = dataclasses.replace(_CONFIG.view, split_turns=True)
  split = dataclasses.replace(_CONFIG, view=options)
  found = prepare.prepare([_TALK], encoder, split)
  kinds = [(s.example_id, s.kind) for s in found.encoded]
  assert kinds == [
    ("e2#1", "adaption"), ("e2#1", "generation"), ("e2#1", "invocation"),
    ("e2#3", "adaption"), ("e2#3", "invocation"),
    ("e2", "adaption"), ("e2", "generation"), ("e2", "invocation"),
  ]  # fmt: skip
  every = EncodeConfig(turns="all")
  twice = encoding.Encoder(chat_tokenizers["qwen25"], "pythonic", every)
  with pytest.raises(ValueError, match="trained twice"):
    prepare.prepare([_TALK], twice, split)


def test_a_split_turn_does_not_learn_the_last_ones_raw_text(encoder):
  talk = dataclasses.replace(_TALK, provenance={"raw": "[find_flight()]"})
  options = dataclasses.replace(_CONFIG.view, split_turns=True)
  config = prepare.PrepareConfig(("invocation",), 3, options)
  found = prepare.prepare([talk], encoder, config)
  chat = encoder.tokenizer
  raw = ["find_flight()" in chat.decode(s.tokens[s.trained])
         for s in found.encoded]  # fmt: skip
  assert raw == [False, False, True]
