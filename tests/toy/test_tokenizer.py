"""The shipped tokenizer: words stay whole, and text comes back as it went."""

import pathlib

from hypothesis import given
from hypothesis import strategies as st

import tooldev_jax
from tests.data import families
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.toy import tokenizer, world

BASE = pathlib.Path(tooldev_jax.__file__).parent / "assets" / "tiny_base"
TOKENIZER = ChatTokenizer.load(BASE)
# Words, spaces and marks in every order, and anything else but NUL, which no
# text it was trained on holds.
TEXTS = st.text(st.sampled_from("ab Z09_.\"'{}:é日\n")) | st.text(
  st.characters(min_codepoint=1, codec="utf-8")
)


@given(TEXTS)
def test_decoding_gives_the_text_back(text):
  assert TOKENIZER.decode(families.text_ids(TOKENIZER, text)) == text


def test_a_value_is_the_same_token_in_document_query_and_call():
  (word,) = families.text_ids(TOKENIZER, "Lisbon")
  for text in ("in Lisbon on", 'city="Lisbon")', '"Lisbon"', "Lisbon, then"):
    assert word in families.text_ids(TOKENIZER, text), text


def test_nearly_every_word_of_both_worlds_is_one_token():
  words = tokenizer.practice_words()
  whole = [len(families.text_ids(TOKENIZER, word)) == 1 for word in words]
  assert sum(whole) > 0.97 * len(words)


def test_a_space_between_words_takes_no_token():
  examples = world.examples(world.EndlessWorld(), "base", 50, seed=1)
  for example in examples:
    words = example.query.split()
    assert len(families.text_ids(TOKENIZER, example.query)) < 1.6 * len(words)
