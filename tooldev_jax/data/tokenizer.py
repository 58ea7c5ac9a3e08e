"""A checkpoint's tokenizer and chat template, as token ids.

Everything comes from the checkpoint: which ids are control tokens, how a turn
begins and ends, when to stop. Text is joined as ids and never tokenised twice.

Two copies of the checkpoint's fast tokenizer do the work. One is the original
and reads what the template wrote. The other knows no control tokens and reads
what people and models wrote (see `control`). Both get one extra token, the
*guard*, put before a piece that continues a sequence and dropped from its ids:
SentencePiece tokenizers treat the very start of a text differently, and the
guard tells them that this is not it.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

import tokenizers
from etils import epath

from tooldev_jax import io
from tooldev_jax.data import control, template
from tooldev_jax.data.tokenizer_files import copy_tokenizer_files

TokenizerError = control.TokenizerError


@dataclasses.dataclass(frozen=True)
class Piece:
  """A stretch of a sequence before it is tokenised.

  Attributes:
    kind: "template" (control tokens count), "plain" (nothing in it is a
      control token) or "control" (the text is one control token).
    text: the characters.
    first: it opens the sequence.
  """

  kind: str
  text: str
  first: bool = False


class ChatTokenizer:
  """Text to ids and back for one checkpoint.

  Attributes:
    name: the folder or hub id.
    control: its control tokens.
    template: its chat template.
    turn_end_id: the token that the template writes after an assistant turn;
      every target ends with it.
    stop_token_ids: the tokens that end an answer when sampling: the
      tokenizer's EOS, the generation config's, and `turn_end_id`. Sorted.
    pad_id: fills rows; never attended to, never trained.
    vocab_size: one more than the largest id.
    fingerprint: hash of all that decides ids, for caches and manifests.
  """

  def __init__(self, hf_tokenizer: Any, name: str, eos_ids: Iterable[int] = ()):
    """Use `load`; `hf_tokenizer` is a transformers fast tokenizer."""
    backend = getattr(hf_tokenizer, "backend_tokenizer", None)
    if backend is None:
      raise TokenizerError(
        f"{name}: has no fast tokenizer; save one with transformers "
        "(tokenizer.json) next to the checkpoint"
      )
    _check_chat_template(hf_tokenizer.chat_template, name)
    self.name = name
    self._hf = hf_tokenizer
    spec = _bare(json.loads(backend.to_str()))
    marks = _control_entries(spec, template.text_of(hf_tokenizer.chat_template))
    for mark in marks:
      # Else full-width or upper-case characters could be normalised to it.
      mark["normalized"] = False
    self.control = control.ControlTokens({m["content"]: m["id"] for m in marks})
    self._marks = {m["content"]: m for m in marks}
    self._guard = f"G{self.control.secret[1:]}"
    self._reading = _with_guard(json.dumps(spec), self._guard)
    plain = _without(spec, set(self._marks), self.control.secret)
    self._plain = _with_guard(json.dumps(plain), self._guard)
    try:
      self.template = template.ChatTemplate(hf_tokenizer, self.control)
    except TokenizerError as e:
      raise TokenizerError(f"{name}: {e}") from e
    self.turn_end_id = self.control.ids[self.template.traits.turn_end]
    ends = (hf_tokenizer.eos_token_id, *eos_ids, self.turn_end_id)
    stops = {int(token) for token in ends if token is not None}
    self.stop_token_ids = tuple(sorted(stops))
    pad = hf_tokenizer.pad_token_id
    self.pad_id = int(min(stops) if pad is None else pad)
    ids = backend.get_vocab(with_added_tokens=True).values()
    self.vocab_size = max(ids) + 1
    self.fingerprint = self._fingerprint(spec)

  @classmethod
  def load(cls, source: io.PathLike) -> "ChatTokenizer":
    """Loads from a checkpoint folder or a hub id.

    Raises:
      TokenizerError: it is not there (offline, say), is no fast tokenizer, or
        its chat template is missing or cannot end a turn.
    """
    import transformers

    name = os.fspath(source)
    with tempfile.TemporaryDirectory() as scratch:
      here = _fetched(name, scratch)
      try:
        hf_tokenizer = transformers.AutoTokenizer.from_pretrained(here)
        return cls(hf_tokenizer, name, _generation_eos(here))
      except TokenizerError:
        raise
      # `tokenizers` raises Exception itself, and transformers whatever it
      # trips over in a file that is broken or of another version.
      except Exception as e:
        raise TokenizerError(_why_unread(e, name, here)) from e

  def decode(self, ids: Sequence[int]) -> str:
    """Text of sampled ids: stop tokens and padding at the end are left out.

    Other control tokens stay readable (`<tool_call>`, `[TOOL_CALLS]`): they
    are how some formats write calls.
    """
    ids = [int(i) for i in ids]
    silent = {*self.stop_token_ids, self.pad_id}
    while ids and ids[-1] in silent:
      ids.pop()
    return self.decode_exact(ids)

  def decode_exact(self, ids: Sequence[int]) -> str:
    """Text of all ids, control tokens included.

    Ids beyond the vocabulary, which padded heads can produce, are no text.
    """
    known = [i for i in ids if i < self.vocab_size]
    return self._hf.backend_tokenizer.decode(known, skip_special_tokens=False)

  def text_pieces(self, part: str, first: bool = False) -> list[Piece]:
    """Cuts template text into pieces whose foreign text cannot steer."""
    if self.control.secret not in part:
      return [Piece("template", part, first)] if part else []
    pieces: list[Piece] = []
    parts = self.control.split(part)
    for i, (text, is_control) in enumerate(parts):
      if is_control:
        pieces.append(Piece("control", text))
        continue
      # What the original does around control tokens that eat white space.
      if i and self._marks[parts[i - 1][0]]["rstrip"]:
        text = text.lstrip()
      if i + 1 < len(parts) and self._marks[parts[i + 1][0]]["lstrip"]:
        text = text.rstrip()
      text = self.control.unshield(text)
      if text:
        pieces.append(Piece("plain", text, first and i == 0))
    return pieces

  def encode_pieces(self, pieces: Sequence[Piece]) -> list[list[int]]:
    """Ids of each piece; one batched call for each kind of text."""
    ids: list[list[int]] = [[] for _ in pieces]
    for kind, tokenizer in (
      ("template", self._reading),
      ("plain", self._plain),
    ):
      at = [i for i, p in enumerate(pieces) if p.kind == kind and p.text]
      # The same system text opens many prompts: tokenise it once a batch.
      keys = [(pieces[i].first, pieces[i].text) for i in at]
      unique = list(dict.fromkeys(keys))
      texts = [t if first else self._guard + t for first, t in unique]
      try:
        done = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
      except TypeError:  # Half a character: no tokenizer takes it.
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
        done = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
      found = {
        key: encoding.ids[0 if key[0] else 1 :]
        for key, encoding in zip(unique, done, strict=True)
      }
      for i, key in zip(at, keys, strict=True):
        ids[i] = found[key]
    for i, piece in enumerate(pieces):
      if piece.kind == "control":
        ids[i] = [self.control.ids[piece.text]]
    return ids

  def save(self, folder: io.PathLike) -> None:
    """Writes tokenizer files and chat template into `folder`, for exports."""
    with tempfile.TemporaryDirectory() as scratch:
      self._hf.save_pretrained(scratch)
      for path in sorted(pathlib.Path(scratch).iterdir()):
        io.write_bytes(epath.Path(folder) / path.name, path.read_bytes())

  def _fingerprint(self, spec: dict) -> str:
    facts = {
      "tokenizer": spec,
      "template": template.text_of(self._hf.chat_template),
      "stop": self.stop_token_ids,
      "pad": self.pad_id,
      "special": {k: str(v) for k, v in self._hf.special_tokens_map.items()},
    }
    return hashlib.sha256(io.dumps(facts).encode("utf-8")).hexdigest()


def _fetched(name: str, scratch: str) -> str:
  """`name`, or `scratch` with the small files of a folder on an object store.

  transformers itself reads local folders and hub ids only.
  """
  if "://" not in name:
    return name
  copy_tokenizer_files(name, scratch)
  # transformers looks here for the tokenizer's class.
  config = epath.Path(name) / "config.json"
  if config.exists():
    (pathlib.Path(scratch) / "config.json").write_bytes(config.read_bytes())
  return scratch


def _why_unread(error: Exception, name: str, folder: str) -> str:
  """Says in one sentence why transformers loads no tokenizer."""
  if (pathlib.Path(folder) / "tokenizer.json").exists():
    return (
      f"{name}: the tokenizer's files cannot be read by the installed "
      f"transformers {metadata.version('transformers')} and tokenizers "
      f"{tokenizers.__version__}: {_first_line(error)}"
    )
  return (
    f"no tokenizer in {name!r}: {_first_line(error)} Give a folder with "
    "tokenizer.json or tokenizer.model, or, when online, a hub id; offline, "
    "download the checkpoint first"
  )


def _check_chat_template(value: Any, name: str) -> None:
  """Raises TokenizerError unless `value` is a template, or several by name."""
  if not value:
    raise TokenizerError(
      f"{name}: has no chat template; use an instruct checkpoint, or add "
      "chat_template.jinja to its folder"
    )
  texts = value.values() if isinstance(value, dict) else (value,)
  if not all(isinstance(text, str) for text in texts):
    raise TokenizerError(
      f"{name}: chat_template is {type(value).__name__}; allowed: text, or "
      "templates by name"
    )


def _generation_eos(name: str) -> tuple[int, ...]:
  """`eos_token_id` of the checkpoint's generation_config.json, if any.

  Raises:
    TokenizerError: the file is no JSON object, or the ids are no ids.
  """
  import transformers.utils

  path = transformers.utils.cached_file(
    name,
    "generation_config.json",
    _raise_exceptions_for_missing_entries=False,
    _raise_exceptions_for_connection_errors=False,
  )
  if path is None:
    return ()
  try:
    config = io.read_json(path)
  except (OSError, ValueError, RecursionError) as e:
    raise TokenizerError(f"{path}: is not JSON: {_first_line(e)}") from e
  if not isinstance(config, dict):
    raise TokenizerError(
      f"{path}: is {type(config).__name__}; allowed: a JSON object"
    )
  eos = config.get("eos_token_id")
  ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
  for item in ids:
    if type(item) is not int or item < 0:
      raise TokenizerError(
        f"{path}: eos_token_id is {str(eos)[:80]}; allowed: a token id or a "
        "list of token ids"
      )
  return tuple(ids)


def _first_line(error: Exception) -> str:
  """What an error says, in one line that is never empty."""
  lines = str(error).strip().splitlines()
  return lines[0] if lines else type(error).__name__


def _bare(spec: dict) -> dict:
  """The tokenizer without what some files leave switched on in it."""
  return {**spec, "truncation": None, "padding": None, "post_processor": None}


def _control_entries(spec: dict, chat_template: str) -> list[dict]:
  """Added tokens that steer the model.

  Those the tokenizer calls special, and those the chat template writes
  (Qwen's `<tool_call>` and `<think>` are not special, yet they are markup).
  The other added tokens (runs of blanks, say) are only text.
  """
  return [
    entry
    for entry in spec["added_tokens"]
    if entry["special"]
    or (
      re.search(r"[^\w\s]", entry["content"])
      and entry["content"] in chat_template
    )
  ]


def _without(spec: dict, names: set[str], secret: str) -> dict:
  """`spec` in which the tokens `names` cannot come from any text.

  They are no longer added tokens, and where the model's own vocabulary also
  holds them they are renamed (ids stay) so that no merge or unigram finds
  them. The unknown token still stands for characters that the model lacks.
  """
  added = [e for e in spec["added_tokens"] if e["content"] not in names]
  model = dict(spec["model"])
  rename = {name: f"{secret}{i}" for i, name in enumerate(sorted(names))}
  vocab = model["vocab"]
  if isinstance(vocab, dict):
    model["vocab"] = {rename.get(k, k): v for k, v in vocab.items()}
  else:
    model["vocab"] = [[rename.get(k, k), score] for k, score in vocab]
  if model.get("unk_token") in rename:
    model["unk_token"] = rename[model["unk_token"]]
  if model.get("merges"):
    model["merges"] = [
      merge for merge in model["merges"] if not names & _merge_words(merge)
    ]
  return {**spec, "added_tokens": added, "model": model}


def _merge_words(merge: Any) -> set[str]:
  left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
  return {left, right, left + right}


def _with_guard(spec: str, guard: str) -> tokenizers.Tokenizer:
  tokenizer = tokenizers.Tokenizer.from_str(spec)
  tokenizer.add_special_tokens(
    [tokenizers.AddedToken(guard, normalized=False, special=True)]
  )
  return tokenizer
