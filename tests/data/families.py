"""Small checkpoints' tokenizers with chat templates shaped like real families.

The originals cannot be downloaded here. Each template has the features of its
family that make trouble: Llama 3.1 raises on two calls, takes a date and puts
tools into the first user turn; Qwen 2.5 has markup tokens that are not
"special"; Qwen 3 writes empty thoughts in some places only; Mistral moves tools
to the last query, checks alternation and call ids, and takes tool results only
after `tool_calls`; Gemma has no system role and no tools. The vocabularies are
trained on a few sentences. The wording is ours throughout.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence

import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from tooldev_jax.data.encoding import Encoded, Encoder
from tooldev_jax.data.tokenizer import ChatTokenizer, Piece
from tooldev_jax.data.views import View
from tooldev_jax.toolcall.vocabulary import Message, Tool

_CORPUS = [
  "What is the weather in Paris tomorrow? Please book a table for two.",
  '{"type":"function","function":{"name":"get_weather","description":"Get",'
  '"parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}',
  '[get_weather(city="Paris", days=3), find_flight(origin="Berlin")]',
  "You are a helpful assistant. system user assistant tool model ipython",
] * 4

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True)
class Family:
  """A family's tokenizer, and the format its users write calls in."""

  template: str  # file in templates/
  kind: str  # of the vocabulary
  special: tuple[str, ...]
  markup: tuple[str, ...] = ()  # added, not special
  bos: str | None = None
  eos: str = ""
  pad: str | None = None
  generation_eos: tuple[str, ...] = ()
  call_format: str = "pythonic"


_LLAMA = tuple(
  f"<|{x}|>"
  for x in (
    "begin_of_text", "end_of_text", "start_header_id", "end_header_id",
    "eot_id", "eom_id", "python_tag", "reserved_special_token_0",
  )
)  # fmt: skip
_QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>")
_QWEN_MARKUP = ("<tool_call>", "</tool_call>")
_MISTRAL = (
  "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]",
  "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
  "[/TOOL_RESULTS]",
)  # fmt: skip
_GEMMA = (
  "<pad>",
  "<eos>",
  "<bos>",
  "<unk>",
  "<start_of_turn>",
  "<end_of_turn>",
)

FAMILIES = {
  "llama31": Family(
    "llama31", "bytes", _LLAMA, bos="<|begin_of_text|>", eos="<|eot_id|>",
    generation_eos=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
    call_format="llama",
  ),
  "qwen25": Family(
    "qwen25", "bytes", _QWEN, _QWEN_MARKUP, eos="<|im_end|>",
    pad="<|endoftext|>", generation_eos=("<|im_end|>", "<|endoftext|>"),
    call_format="hermes",
  ),
  "qwen3": Family(
    "qwen3", "bytes", _QWEN,
    (*_QWEN_MARKUP, "<tool_response>", "</tool_response>", "<think>",
     "</think>"),
    eos="<|im_end|>", pad="<|endoftext|>",
    generation_eos=("<|im_end|>", "<|endoftext|>"), call_format="hermes",
  ),
  "mistral": Family(
    "mistral", "metaspace", _MISTRAL, bos="<s>", eos="</s>",
    generation_eos=("</s>",), call_format="mistral",
  ),
  "gemma": Family(
    "gemma", "blanks", _GEMMA, bos="<bos>", eos="<eos>", pad="<pad>",
    generation_eos=("<eos>", "<end_of_turn>"),
  ),
  # The vocabulary itself holds the control tokens' texts, as unigram models do.
  "unigram": Family(
    "gemma", "unigram", _GEMMA, bos="<bos>", eos="<eos>", pad="<pad>",
    generation_eos=("<end_of_turn>",),
  ),
}  # fmt: skip


def _train(family: Family) -> tokenizers.Tokenizer:
  special = list(family.special)
  if family.kind == "bytes":
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
      vocab_size=400,
      special_tokens=special,
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False,
    )
  elif family.kind == "unigram":
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    alphabet = [chr(c) for c in range(33, 127)] + ["\n", "é"]
    trainer = trainers.UnigramTrainer(
      vocab_size=300,
      special_tokens=special,
      unk_token="<unk>",
      initial_alphabet=alphabet,
      show_progress=False,
    )
  else:
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    if family.kind == "metaspace":
      tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        prepend_scheme="first", split=False
      )
      strip = [decoders.Strip(" ", 1, 0)]
    else:
      tokenizer.normalizer = normalizers.Replace(" ", "▁")
      strip = []
    tokenizer.decoder = decoders.Sequence(
      [
        decoders.Replace("▁", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        *strip,
      ]
    )
    trainer = trainers.BpeTrainer(
      vocab_size=500, special_tokens=special, show_progress=False
    )
  tokenizer.train_from_iterator(_CORPUS, trainer)
  if family.kind in ("metaspace", "blanks"):
    tokenizer = _with_bytes(tokenizer)
  tokenizer.add_tokens(
    [tokenizers.AddedToken(x, normalized=False) for x in family.markup]
  )
  return tokenizer


def _with_bytes(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  """Adds the byte tokens that SentencePiece falls back to."""
  spec = json.loads(tokenizer.to_str())
  vocab = spec["model"]["vocab"]
  for byte in range(256):
    vocab.setdefault(f"<0x{byte:02X}>", len(vocab))
  spec["model"]["byte_fallback"] = True
  return tokenizers.Tokenizer.from_str(json.dumps(spec))


@functools.cache
def hf_tokenizer(name: str) -> transformers.PreTrainedTokenizerFast:
  """The family's tokenizer as transformers holds it."""
  family = FAMILIES[name]
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=_train(family),
    bos_token=family.bos,
    eos_token=family.eos,
    pad_token=family.pad,
    unk_token="<unk>" if "<unk>" in family.special else None,
    additional_special_tokens=list(family.special),
    chat_template=(_TEMPLATES / f"{family.template}.jinja")
    .read_text()
    .rstrip("\n"),
  )


def write_checkpoint(name: str, folder: pathlib.Path) -> pathlib.Path:
  """Tokenizer files and generation_config.json, as a checkpoint has them."""
  tokenizer = hf_tokenizer(name)
  tokenizer.save_pretrained(folder)
  eos = [
    tokenizer.convert_tokens_to_ids(t) for t in FAMILIES[name].generation_eos
  ]
  config = {"eos_token_id": eos if len(eos) > 1 else eos[0]}
  (folder / "generation_config.json").write_text(json.dumps(config))
  return folder


def text_ids(chat: ChatTokenizer, text: str) -> list[int]:
  """Ids of what somebody wrote, within a sequence."""
  return chat.encode_pieces([Piece("plain", text)])[0]


def prompt_ids(
  chat: ChatTokenizer, messages: Sequence[Message], tools: Sequence[Tool] = ()
) -> list[int]:
  """The prompt for the next turn, with earlier turns as plain text."""
  dialogue = chat.template.dialogue(messages, tools)
  pieces = chat.text_pieces(dialogue.parts[0], first=True)
  for turn, part in zip(dialogue.turns, dialogue.parts[1:], strict=True):
    said = chat.template.traits.lead + messages[turn].content
    end = Piece("control", chat.template.traits.turn_end)
    pieces += [Piece("plain", said), end, *chat.text_pieces(part)]
  return [i for ids in chat.encode_pieces(pieces) for i in ids]


def encode(encoder: Encoder, view: View) -> Encoded:
  """The one sequence, or the last, of a view that becomes one.

  Raises:
    AssertionError: it becomes none; the message is the reason.
  """
  found = encoder.encode_all([view])
  assert found.encoded, dict(found.dropped)
  return found.encoded[-1]
