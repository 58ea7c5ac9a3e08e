"""Views to token sequences, with a loss mask that is built, not inferred.

A sequence is prompt, target and stop token; targets and stop tokens are
trained, nothing else is. The prompt comes from the checkpoint's template; a
target is our text, joined as ids and never tokenised again.

**Earlier assistant turns.** A dialogue is rendered once with a slot for every
earlier assistant turn; the text of each is then our own renderer's, like a
target. Such a turn may be *trained* in the same sequence only if what stands
before it is, character for character, the prompt at which the model would have
been asked for it. Llama 3.1 and Qwen 2.5 pass. Qwen 3 (which drops the empty
thought from turns before the last query) and Mistral (which moves the tools to
the last query) do not: there each trained turn becomes a sequence of its own.

**Markup in targets.** Some formats write calls with control tokens of the
checkpoint (`<tool_call>`, `[TOOL_CALLS]`, `<|python_tag|>`). Where the renderer
writes such a mark it becomes the token; the same characters inside a string
value, or in an answer without calls, stay text.
"""

import bisect
import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tooldev_jax import errors
from tooldev_jax.config import EncodeConfig
from tooldev_jax.data import instructions, template, tokenizer, views
from tooldev_jax.toolcall import formats, jsontext, vocabulary

# What a format writes around calls, where a checkpoint has a token for it.
_MARKS = {
  "pythonic": (),
  "hermes": ("<tool_call>", "</tool_call>"),
  "llama": ("<|python_tag|>",),
  "mistral": ("[TOOL_CALLS]",),
}
# A thought opens a turn; the same tags further on, in an argument say, are
# text. One that never ends leaves nothing. Where the prompt has opened it, the
# turn begins within it: then a line ends with the closing tag.
_THOUGHT = re.compile(
  r"\A\s*<think>.*?(?:</think>|\Z)\s*"
  r"|\A(?:(?!<think>).)*?</think>(?=[ \t]*(?:\n|\Z))\s*",
  re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A token sequence.

  Attributes:
    tokens: int32 [length].
    trained: bool [length]; True where the token is a label.
    weight: of its trained tokens in the loss.
    kind: of the view.
    example_id: of the example.
    dropped_tools: distractors left out to fit.
  """

  tokens: np.ndarray
  trained: np.ndarray
  weight: float = 1.0
  kind: str = ""
  example_id: str = ""
  dropped_tools: int = 0

  @property
  def num_trained(self) -> int:
    return int(self.trained.sum())


class EncodeError(ValueError):
  """A view that cannot become a sequence.

  Attributes:
    reason: a short fixed text, for counting.
  """

  def __init__(self, reason: str, detail: str = ""):
    super().__init__(f"{reason}: {detail}" if detail else reason)
    self.reason = reason


TOO_LONG = "longer than max_length without distractors"
REFUSED = "refused by the chat template"
EMPTY_TARGET = "empty target"
UNWRITABLE = "an earlier turn cannot be written in the call format"


@dataclasses.dataclass(frozen=True)
class EncodedSet:
  """What a list of views became.

  Attributes:
    encoded: the sequences, in the views' order.
    tools_dropped: distractor tools left out, over all sequences.
    dropped_ids: reason to the ids of the examples of dropped views.
    missing: kind of view to number of examples that have nothing for it.
  """

  encoded: tuple[Encoded, ...]
  tools_dropped: int
  dropped_ids: Mapping[str, tuple[str, ...]]
  missing: Mapping[str, int] = dataclasses.field(default_factory=dict)

  @property
  def dropped(self) -> Mapping[str, int]:
    """Reason to number of views that have no sequence."""
    return {reason: len(ids) for reason, ids in self.dropped_ids.items()}

  def report(self) -> dict[str, Any]:
    """Counts for a manifest."""
    kinds = collections.Counter(sequence.kind for sequence in self.encoded)
    return {
      "sequences": dict(sorted(kinds.items())),
      "tokens": sum(len(sequence.tokens) for sequence in self.encoded),
      "trained_tokens": sum(sequence.num_trained for sequence in self.encoded),
      "dropped": dict(self.dropped),
      "tools_dropped": self.tools_dropped,
      "missing": dict(self.missing),
    }


_Pieces = list[tuple[tokenizer.Piece, bool]]  # and whether each is trained


@dataclasses.dataclass
class _Draft:
  """A sequence before it is tokenised.

  Attributes:
    view: what it is made of.
    wanted: for each earlier assistant turn, whether it is trained.
    pieces: the text.
  """

  view: views.View
  wanted: Sequence[bool]
  pieces: _Pieces


class Encoder:
  """Encodes views for one checkpoint and one call format."""

  def __init__(
    self,
    chat_tokenizer: tokenizer.ChatTokenizer,
    call_format: str = "pythonic",
    options: EncodeConfig | None = None,
  ):
    """Raises UserError where the template cannot do what the options ask."""
    self.tokenizer = chat_tokenizer
    self.call_format = call_format
    self.options = options or EncodeConfig()
    self._format = formats.get_format(call_format)
    traits = chat_tokenizer.template.traits
    self._end = tokenizer.Piece("control", traits.turn_end)
    self._lead = traits.lead
    ids = chat_tokenizer.control.ids
    marks = [mark for mark in _MARKS[call_format] if mark in ids]
    self._marks = re.compile("|".join(map(re.escape, marks))) if marks else None
    if self.options.prompt_style == "template" and not traits.tools:
      raise errors.UserError(
        f"{chat_tokenizer.name}: its chat template does not write tools=; "
        'set prompt_style = "toolace"'
      )

  def encode_all(self, batch: Sequence[views.View]) -> EncodedSet:
    """Encodes many views with few tokenizer calls; faults are counted."""
    drafts: list[_Draft] = []
    encoded: list[Encoded] = []
    faults: dict[str, list[str]] = collections.defaultdict(list)
    for view in batch:
      try:
        drafts += self._drafts(view)
      except EncodeError as e:
        faults[e.reason].append(view.example_id)
    for draft, sequence in zip(drafts, self._tokenised(drafts), strict=True):
      try:
        if len(sequence.tokens) > self.options.max_length:
          sequence = self._shorten(draft)
        self._check(sequence)
        encoded.append(sequence)
      except EncodeError as e:
        faults[e.reason].append(draft.view.example_id)
    return EncodedSet(
      encoded=tuple(encoded),
      tools_dropped=sum(sequence.dropped_tools for sequence in encoded),
      dropped_ids={r: tuple(ids) for r, ids in sorted(faults.items())},
    )

  def prompt_ids(self, view: views.View) -> list[int]:
    """The ids at which a model is asked for the view's answer.

    Raises:
      EncodeError: refused by the template. Length is not looked at.
    """
    pieces = self._prompt(view, self._dialogue(view, False), ())
    ids = self.tokenizer.encode_pieces([piece for piece, _ in pieces])
    return [i for piece_ids in ids for i in piece_ids]

  def _drafts(self, view: views.View) -> list[_Draft]:
    """The view's sequences: one, or one a trained turn (module docstring)."""
    if not self._thoughtless(view.target).strip():
      raise EncodeError(EMPTY_TARGET)
    several = self.options.turns != "last"
    dialogue = self._dialogue(view, several)
    turns = list(zip(dialogue.turns, dialogue.stable, strict=True))
    wanted = [several and self._trains(view, turn) for turn, _ in turns]
    trained = [x for x, want in zip(turns, wanted, strict=True) if want]
    if all(stable for _, stable in trained):
      return [self._draft(view, dialogue, wanted)]
    drafts = []
    for turn, _ in trained:
      # The view whose answer is this turn.
      cut = dataclasses.replace(
        view, messages=view.messages[:turn], target=self._turn_text(view, turn)
      )
      drafts.append(self._draft(cut, self._dialogue(cut, False), ()))
    return [*drafts, self._draft(view, dialogue, ())]

  def _draft(
    self, view: views.View, dialogue: template.Dialogue, wanted: Sequence[bool]
  ) -> _Draft:
    pieces = self._prompt(view, dialogue, wanted)
    answer = self._answer_pieces(view, view.target, view.kind == "invocation")
    pieces += [(piece, True) for piece in answer]
    return _Draft(view, wanted, pieces)

  def _prompt(
    self, view: views.View, dialogue: template.Dialogue, wanted: Sequence[bool]
  ) -> _Pieces:
    """All up to the answer; earlier turns are trained where `wanted`."""
    wanted = wanted or [False] * len(dialogue.turns)
    first, *others = dialogue.parts
    pieces = [(x, False) for x in self.tokenizer.text_pieces(first, first=True)]
    for turn, want, part in zip(dialogue.turns, wanted, others, strict=True):
      text = self._turn_text(view, turn)
      said = self._answer_pieces(view, text, True)
      pieces += [(piece, want) for piece in said]
      pieces += [(piece, False) for piece in self.tokenizer.text_pieces(part)]
    return pieces

  def _dialogue(self, view: views.View, check: bool) -> template.Dialogue:
    messages, tools, shift = view.messages, view.tools, 0
    if self.options.prompt_style == "toolace" and view.kind == "invocation":
      text, tools = toolace_system(view.tools, self.call_format), ()
      if messages and messages[0].role == "system":
        text, messages = f"{messages[0].content}\n\n{text}", messages[1:]
      else:
        shift = 1
      messages = (vocabulary.Message("system", text), *messages)
    try:
      found = self.tokenizer.template.dialogue(messages, tools, check)
    except template.TemplateRefusal as e:
      raise EncodeError(REFUSED, str(e)) from e
    turns = tuple(turn - shift for turn in found.turns)
    return dataclasses.replace(found, turns=turns)

  def _trains(self, view: views.View, turn: int) -> bool:
    message = view.messages[turn]
    asked = any(m.role == "user" for m in view.messages[:turn])
    if not (asked and message.trained and self._turn_text(view, turn).strip()):
      return False
    return self.options.turns == "all" or bool(message.calls)

  def _turn_text(self, view: views.View, turn: int) -> str:
    message = view.messages[turn]
    text = self._thoughtless(message.content)
    if not message.calls:
      return text
    try:
      return self._format.render(message.calls, text, _names(view))
    except formats.RenderError as e:
      raise EncodeError(UNWRITABLE, str(e)) from e

  def _thoughtless(self, text: str) -> str:
    return _THOUGHT.sub("", text) if self.options.strip_thoughts else text

  def _answer_pieces(
    self, view: views.View, text: str, calls: bool
  ) -> list[tokenizer.Piece]:
    """An assistant turn with its end; marks count where it holds calls."""
    text = self._thoughtless(text)
    spans = self._mark_spans(text, _names(view)) if calls else []
    if not spans or spans[0][0] > 0:
      text = self._lead + text
      spans = [(i + len(self._lead), j + len(self._lead)) for i, j in spans]
    pieces, cursor = [], 0
    for i, j in [*spans, (len(text), len(text))]:
      pieces.append(tokenizer.Piece("plain", text[cursor:i]))
      pieces.append(tokenizer.Piece("control", text[i:j]))
      cursor = j
    return [*(piece for piece in pieces if piece.text), self._end]

  def _mark_spans(
    self, text: str, names: Sequence[str]
  ) -> list[tuple[int, int]]:
    """Where `text` has the format's own marks, outside of string values."""
    if self._marks is None or not self._marks.search(text):
      return []
    try:
      if not self._format.parse(text, names).calls:
        return []
    except formats.ParseError:
      return []
    return list(_outside_strings(text, self._marks))

  def _tokenised(self, drafts: Sequence[_Draft]) -> Iterator[Encoded]:
    """Tokenises all drafts at once."""
    pieces = [piece for draft in drafts for piece, _ in draft.pieces]
    ids = iter(self.tokenizer.encode_pieces(pieces))
    for draft in drafts:
      tokens: list[int] = []
      trained: list[bool] = []
      for _, is_trained in draft.pieces:
        piece_ids = next(ids)
        tokens += piece_ids
        trained += [is_trained] * len(piece_ids)
      yield Encoded(
        tokens=np.asarray(tokens, np.int32),
        trained=np.asarray(trained, np.bool_),
        weight=draft.view.weight,
        kind=draft.view.kind,
        example_id=draft.view.example_id,
      )

  def _check(self, sequence: Encoded) -> None:
    """What must hold by construction, whatever the data.

    Raises:
      EncodeError: the target is no token at all: some tokenizers drop the
        characters that they do not know.
    """
    tokens, trained = sequence.tokens, sequence.trained
    end = self.tokenizer.turn_end_id
    assert tokens[-1] == end and trained[-1], "the stop token is not trained"
    assert not trained[0], "the first token has nothing to predict it"
    if not trained[-2]:
      raise EncodeError(EMPTY_TARGET)

  def _shorten(self, draft: _Draft) -> Encoded:
    """Drops distractors, last offered first, until the sequence fits.

    Raises:
      EncodeError: it does not fit with the needed tools alone.
    """
    needed = draft.view.needed
    spare = [tool for tool in draft.view.tools if tool.name not in needed]
    limit = self.options.max_length
    bare = self._keeping(draft, ())
    if len(bare.tokens) > limit:
      raise EncodeError(TOO_LONG, f"{len(bare.tokens)} tokens")
    too_many = bisect.bisect_left(
      range(len(spare)),
      True,
      key=lambda n: len(self._keeping(draft, spare[:n]).tokens) > limit,
    )
    return self._keeping(draft, spare[: too_many - 1])

  def _keeping(
    self, draft: _Draft, spare: Sequence[vocabulary.Tool]
  ) -> Encoded:
    """The same sequence with only these distractors."""
    kept = {id(tool) for tool in spare}
    view = draft.view
    tools = tuple(
      tool
      for tool in view.tools
      if tool.name in view.needed or id(tool) in kept
    )
    smaller = dataclasses.replace(view, tools=tools)
    dialogue = self._dialogue(smaller, False)
    (made,) = self._tokenised([self._draft(smaller, dialogue, draft.wanted)])
    dropped = len(view.tools) - len(tools)
    return dataclasses.replace(made, dropped_tools=dropped)


def _names(view: views.View) -> list[str]:
  """What calls may name, as whoever reads the answer knows it."""
  return [tool.name for tool in view.tools]


def toolace_system(tools: Sequence[vocabulary.Tool], call_format: str) -> str:
  """System text of the prompt style "toolace": rules, syntax, tools as JSON."""
  text = jsontext.dump([tool.to_json() for tool in tools])
  syntax = instructions.CALL_SYNTAX[call_format]
  return instructions.TOOLACE_SYSTEM.replace("{syntax}", syntax).replace(
    "{tools}", text
  )


def _outside_strings(
  text: str, marks: re.Pattern[str]
) -> Iterator[tuple[int, int]]:
  """Spans of `marks` in `text`, skipping JSON strings after the first mark."""
  scan = re.compile(rf'({marks.pattern})|"(?:[^"\\]|\\.)*"', re.DOTALL)
  first = marks.search(text)
  start = first.start() if first else len(text)
  for match in scan.finditer(text, start):
    if match.group(1) is not None:
      yield match.span(1)
