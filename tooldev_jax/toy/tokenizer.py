"""The tiny base's tokenizer: byte-level BPE in which words stay whole.

A word must tokenise the same in a document, a query and a call, or a small
model cannot copy it: so punctuation is never glued to a word, and a single
space between two words is no token at all. It is understood, as in WordPiece,
which marks instead the pieces that continue a word. So the token before a
value is a word that says what it is, and texts are a third shorter than with
spaces as tokens. The boilerplate of JSON Schema ("type":"string" and its like)
merges into few tokens.
"""

import itertools
import random
from collections.abc import Iterator

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tooldev_jax.config import ViewConfig
from tooldev_jax.data.views import KINDS, make_view
from tooldev_jax.toy import domains, lexicon, world

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = tuple(
  f"<|{role}|>" for role in ("system", "tools", "user", "assistant", "tool")
)

_CONTROLS = (PAD, BEGIN, END, *ROLES)
# The trainer numbers them first, in this order.
USER_ID = _CONTROLS.index("<|user|>")

_SCHEMA_WORDS = (
  "description|parameters|type|properties|required|enum|items|default|string"
  "|integer|number|boolean|array|object"
)
_JSON_MARKS = r"[{},:\[\]]"
_PIECES = (
  # a run of schema words and the punctuation around them,
  rf'(?:{_JSON_MARKS}|")*"(?:{_SCHEMA_WORDS})"'
  rf'(?:{_JSON_MARKS}*"(?:{_SCHEMA_WORDS})")*{_JSON_MARKS}*"?'
  # a space that is not between two words, a word, other marks with the space
  # after them.
  r"| |[A-Za-z0-9]+|[^ A-Za-z0-9]+ ?"
)
# Marks in pieces and while decoding: control characters, which the byte-level
# alphabet does not contain.
_CONTINUES, _BEGINS = "\x1e", "\x1f"

CHAT_TEMPLATE = (
  "{{- bos_token }}"
  "{%- if messages and messages[0].role == 'system' %}"
  "{{- '<|system|>' + messages[0].content }}"
  "{%- endif %}"
  "{%- if tools %}"
  "{{- '<|tools|>' }}"
  "{%- for tool in tools %}"
  "{{- (tool.function if tool.function is defined else tool)"
  " | tojson(separators=(',', ':')) }}"
  "{%- endfor %}"
  "{%- endif %}"
  "{%- for message in messages %}"
  "{%- if message.role == 'user' %}"
  "{{- '<|user|>' + message.content }}"
  "{%- elif message.role == 'assistant' %}"
  "{{- '<|assistant|>' + message.content + '<|end|>' }}"
  "{%- elif message.role == 'tool' %}"
  "{{- '<|tool|>' + message.content }}"
  "{%- endif %}"
  "{%- endfor %}"
  "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)


def words() -> tuple[str, ...]:
  """All words that values are made of, each once, in a fixed order."""
  lists = (
    lexicon.FIRST_NAMES, lexicon.LAST_NAMES, lexicon.CITIES,
    lexicon.COUNTRIES, lexicon.WEEKDAYS, lexicon.MONTHS, lexicon.FOODS,
    lexicon.ITEMS, lexicon.ADJECTIVES, lexicon.NOUNS, lexicon.TOPICS,
    lexicon.COLORS, lexicon.LANGUAGES, lexicon.CURRENCIES, lexicon.ANIMALS,
    lexicon.COMPANIES,
  )  # fmt: skip
  return tuple(dict.fromkeys(itertools.chain(*lists)))


def practice_words() -> tuple[str, ...]:
  """Every word of both worlds: values, verbs, things, labels."""
  found = dict.fromkeys(words())
  texts = [text for ways in lexicon.VERBS.values() for text in ways]
  texts += lexicon.VERBS
  for domain in domains.ALL:
    texts += [domain.name, *domain.objects]
  for parameter in domains.PARAMETERS.values():
    texts += [parameter.name, parameter.label, parameter.description]
  for text in texts:
    found.update(dict.fromkeys(text.replace("_", " ").split()))
  return tuple(word for word in found if word.isalpha())


def _corpus(examples: int) -> Iterator[str]:
  """The base's training text, and every word of both worlds.

  The quickstart's words are in the vocabulary, as any language's words are in
  a real model's; its tools and queries are not in the base's training.
  """
  endless = world.EndlessWorld(invented=0.0)
  for example in world.examples(endless, "base", examples, seed=0):
    for kind in KINDS:
      view = make_view(example, kind, 0, ViewConfig(max_distractors=0))
      if view is not None:
        yield from (message.content for message in view.messages)
        yield view.target
    yield from (tool.dumps() for tool in example.tools)
  rng = random.Random("corpus")
  everything = [*practice_words(), *(str(n) for n in range(100))]
  for _ in range(200):
    yield " ".join(rng.sample(everything, len(everything)))
  # Every byte that UTF-8 uses but NUL, first and later in a piece.
  for code in (*range(1, 0x800), *range(0x800, 0x110000, 64)):
    if not 0xD800 <= code <= 0xDFFF:  # halves of a character
      yield chr(code) * 2


def train_tokenizer(
  vocab_size: int, examples: int = 6000
) -> PreTrainedTokenizerFast:
  """Trains the tokenizer and attaches the chat template; about 5 s.

  Which of two merges of the same frequency comes first differs from call to
  call: the trainer numbers pieces that continue a word in the order of a hash
  table. So the recipe of the shipped base starts from its tokenizer.

  Args:
    vocab_size: entries, the control tokens included.
    examples: of the base's world, whose text the merges are learned from.
  """
  bpe = tokenizers.Tokenizer(models.BPE(continuing_subword_prefix=_CONTINUES))
  regex = tokenizers.Regex
  bpe.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(
        regex("(?<=[A-Za-z0-9]) (?=[A-Za-z0-9])"), "removed"
      ),
      pre_tokenizers.Split(regex(_PIECES), "isolated"),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  bpe.decoder = decoders.Sequence(
    [
      decoders.Replace(regex("^(?=[A-Za-z0-9])"), _BEGINS),
      decoders.Replace(_CONTINUES, ""),
      decoders.Fuse(),
      # What the byte-level alphabet calls a space.
      decoders.Replace(regex(f"(?<=[A-Za-z0-9]){_BEGINS}"), "\u0120"),
      decoders.Replace(_BEGINS, ""),
      decoders.ByteLevel(),
    ]
  )
  trainer = trainers.BpeTrainer(
    vocab_size=vocab_size,
    special_tokens=list(_CONTROLS),
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    continuing_subword_prefix=_CONTINUES,
    show_progress=False,
  )
  bpe.train_from_iterator(_corpus(examples), trainer)
  return PreTrainedTokenizerFast(
    tokenizer_object=bpe,
    bos_token=BEGIN,
    eos_token=END,
    pad_token=PAD,
    additional_special_tokens=list(ROLES),
    chat_template=CHAT_TEMPLATE,
    clean_up_tokenization_spaces=False,
  )
