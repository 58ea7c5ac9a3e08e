"""Views to exact token streams with a loss mask built, not inferred.

A stream is prompt ids, then target ids, then the stop token; targets and stop
tokens are trained, nothing else is. The prompt comes from the checkpoint's
template; a target is our text, joined as ids and never tokenised again.

**Earlier assistant turns.** A dialogue is rendered once with a slot for every
earlier assistant turn; the text of each is then our own renderer's, like a
target. Whether such a turn may be *trained* in that same stream is decided by
comparison: what stands before it must be, character for character, the prompt
at which the model would have been asked for it. Llama 3.1 and Qwen 2.5 pass.
Qwen 3 (which drops the empty thought from turns before the last query) and
Mistral (which moves the tools to the last query) do not: there each trained
turn becomes a stream of its own, the dialogue up to it.

**Markup in targets.** Some formats write calls with control tokens of the
checkpoint (`<tool_call>`, `[TOOL_CALLS]`, `<|python_tag|>`). Where the renderer
writes such a mark it becomes the token; the same characters inside a string
value, or in an answer without calls, stay text.
"""

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
# text. One that never ends leaves nothing.
_THOUGHT = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)\s*", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A token stream.

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
  """A view that cannot become a stream.

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
    encoded: the streams, in the views' order.
    tools_dropped: distractor tools left out, over all streams.
    dropped_ids: reason to the ids of the examples of dropped views.
    missing: kind of view to number of examples that have nothing for it.
  """

  encoded: tuple[Encoded, ...]
  tools_dropped: int
  dropped_ids: Mapping[str, tuple[str, ...]]
  missing: Mapping[str, int] = dataclasses.field(default_factory=dict)

  @property
  def dropped(self) -> Mapping[str, int]:
    """Reason to number of views that have no stream."""
    return {reason: len(ids) for reason, ids in self.dropped_ids.items()}

  def report(self) -> dict[str, Any]:
    """Counts for a manifest."""
    kinds = collections.Counter(stream.kind for stream in self.encoded)
    return {
      "streams": dict(sorted(kinds.items())),
      "tokens": sum(len(stream.tokens) for stream in self.encoded),
      "trained_tokens": sum(stream.num_trained for stream in self.encoded),
      "dropped": dict(self.dropped),
      "tools_dropped": self.tools_dropped,
      "missing": dict(self.missing),
    }


@dataclasses.dataclass
class _Draft:
  """A stream before tokenising: pieces and whether each is trained."""

  view: views.View
  wanted: Sequence[bool]  # the earlier assistant turns that are trained
  pieces: list[tokenizer.Piece]
  trained: list[bool]
  dropped_tools: int = 0


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
    self._end = chat_tokenizer.template.traits.turn_end
    ids = chat_tokenizer.control.ids
    marks = [mark for mark in _MARKS[call_format] if mark in ids]
    self._marks = re.compile("|".join(map(re.escape, marks))) if marks else None
    knows_tools = chat_tokenizer.template.traits.tools
    if self.options.prompt_style == "template" and not knows_tools:
      raise errors.UserError(
        f"{chat_tokenizer.name}: its chat template does not write tools=; "
        'set prompt_style = "toolace"'
      )

  def encode(self, view: views.View) -> Encoded:
    """One stream: the view's answer, and earlier turns where they may train.

    Raises:
      EncodeError: too long, or refused by the template.
    """
    return self._fit(view)[-1]

  def encode_all(self, batch: Sequence[views.View]) -> EncodedSet:
    """Encodes many views with few tokenizer calls; faults are counted."""
    drafts: list[_Draft] = []
    faults: dict[str, list[str]] = collections.defaultdict(list)
    for view in batch:
      try:
        drafts += self._drafts(view)
      except EncodeError as e:
        faults[e.reason].append(view.example_id)
    encoded: list[Encoded] = []
    for draft, stream in zip(drafts, self._join(drafts), strict=True):
      try:
        encoded.append(self._fitted(draft, stream))
      except EncodeError as e:
        faults[e.reason].append(draft.view.example_id)
    return EncodedSet(
      encoded=tuple(encoded),
      tools_dropped=sum(stream.dropped_tools for stream in encoded),
      dropped_ids={r: tuple(ids) for r, ids in sorted(faults.items())},
    )

  def prompt_ids(self, view: views.View) -> list[int]:
    """The ids at which a model is asked for the view's answer.

    Raises:
      EncodeError: refused by the template. Length is not looked at.
    """
    pieces, _ = self._prompt(view, self._dialogue(view, False))
    return [i for ids in self.tokenizer.encode_pieces(pieces) for i in ids]

  def _fit(self, view: views.View) -> list[Encoded]:
    drafts = self._drafts(view)
    streams = zip(drafts, self._join(drafts), strict=True)
    return [self._fitted(draft, stream) for draft, stream in streams]

  def _fitted(self, draft: _Draft, stream: Encoded) -> Encoded:
    """`stream`, which `draft` became, or one with fewer distractors."""
    if len(stream.tokens) > self.options.max_length:
      stream = self._shorten(draft)
    self._check(stream)
    return stream

  def _drafts(self, view: views.View) -> list[_Draft]:
    """The view's streams: one, or one a trained turn (module docstring)."""
    if not self._thoughtless(view.target).strip():
      raise EncodeError(EMPTY_TARGET)
    several = self.options.turns != "last"
    dialogue = self._dialogue(view, several)
    wanted = [several and self._trains(view, i) for i in dialogue.turns]
    together = all(
      stable
      for want, stable in zip(wanted, dialogue.stable, strict=True)
      if want
    )
    if together:
      return [self._draft(view, dialogue, wanted)]
    cuts = [
      self._cut(view, turn)
      for turn, want in zip(dialogue.turns, wanted, strict=True)
      if want
    ]
    drafts = [self._draft(cut, self._dialogue(cut, False), ()) for cut in cuts]
    return [*drafts, self._draft(view, dialogue, ())]

  def _draft(
    self, view: views.View, dialogue: template.Dialogue, wanted: Sequence[bool]
  ) -> _Draft:
    pieces, trained = self._prompt(view, dialogue, wanted)
    answer = self._answer_pieces(view.target, view.kind == "invocation")
    pieces += [*answer, tokenizer.Piece("control", self._end)]
    trained += [True] * (len(answer) + 1)
    return _Draft(view, wanted, pieces, trained)

  def _prompt(
    self,
    view: views.View,
    dialogue: template.Dialogue,
    wanted: Sequence[bool] = (),
  ) -> tuple[list[tokenizer.Piece], list[bool]]:
    """Pieces up to the generation prompt, and which of them are trained."""
    wanted = wanted or [False] * len(dialogue.turns)
    pieces = self.tokenizer.text_pieces(dialogue.parts[0], first=True)
    trained = [False] * len(pieces)
    for turn, want, part in zip(
      dialogue.turns, wanted, dialogue.parts[1:], strict=True
    ):
      answer = self._answer_pieces(self._turn_text(view.messages[turn]), True)
      answer.append(tokenizer.Piece("control", self._end))
      rest = self.tokenizer.text_pieces(part)
      pieces += [*answer, *rest]
      trained += [want] * len(answer) + [False] * len(rest)
    return pieces, trained

  def _dialogue(self, view: views.View, check: bool) -> template.Dialogue:
    tools: tuple[vocabulary.Tool, ...] = view.tools
    messages = view.messages
    try:
      if self.options.prompt_style == "toolace" and view.kind == "invocation":
        shift, messages = self._with_system(view)
        done = self.tokenizer.template.dialogue(messages, (), None, check)
        turns = tuple(i - shift for i in done.turns)
        return dataclasses.replace(done, turns=turns)
      return self.tokenizer.template.dialogue(messages, tools, None, check)
    except template.TemplateRefusal as e:
      raise EncodeError(REFUSED, str(e)) from e

  def _with_system(
    self, view: views.View
  ) -> tuple[int, tuple[vocabulary.Message, ...]]:
    """Messages under our system text, and by how many places they moved."""
    text = toolace_system(view.tools, self.call_format)
    messages = view.messages
    if messages and messages[0].role == "system":
      text = f"{messages[0].content}\n\n{text}"
      return 0, (vocabulary.Message("system", text), *messages[1:])
    return 1, (vocabulary.Message("system", text), *messages)

  def _trains(self, view: views.View, turn: int) -> bool:
    message = view.messages[turn]
    asked = any(m.role == "user" for m in view.messages[:turn])
    if not (asked and message.trained and self._turn_text(message).strip()):
      return False
    return self.options.turns == "all" or bool(message.calls)

  def _cut(self, view: views.View, turn: int) -> views.View:
    """The view whose answer is the earlier assistant turn `turn`."""
    return dataclasses.replace(
      view,
      messages=view.messages[:turn],
      target=self._turn_text(view.messages[turn]),
    )

  def _turn_text(self, message: vocabulary.Message) -> str:
    text = self._thoughtless(message.content)
    if not message.calls:
      return text
    try:
      return self._format.render(message.calls, text)
    except formats.RenderError as e:
      raise EncodeError(UNWRITABLE, str(e)) from e

  def _thoughtless(self, text: str) -> str:
    return _THOUGHT.sub("", text) if self.options.strip_thoughts else text

  def _answer_pieces(self, text: str, calls: bool) -> list[tokenizer.Piece]:
    """Pieces of an assistant turn; marks count where it holds calls."""
    text = self._thoughtless(text)
    spans = self._mark_spans(text) if calls and self._marks else []
    if not spans or spans[0][0] > 0:
      lead = self.tokenizer.template.traits.lead
      text = lead + text
      spans = [(i + len(lead), j + len(lead)) for i, j in spans]
    pieces, cursor = [], 0
    for i, j in [*spans, (len(text), len(text))]:
      if cursor < i:
        pieces.append(tokenizer.Piece("plain", text[cursor:i]))
      if i < j:
        pieces.append(tokenizer.Piece("control", text[i:j]))
      cursor = j
    return pieces

  def _mark_spans(self, text: str) -> list[tuple[int, int]]:
    """Where `text` has the format's own marks, outside of string values."""
    assert self._marks is not None
    if not self._marks.search(text):
      return []
    try:
      if not self._format.parse(text).calls:
        return []
    except formats.ParseError:
      return []
    return list(_outside_strings(text, self._marks))

  def _join(self, drafts: Sequence[_Draft]) -> Iterator[Encoded]:
    """Tokenises all drafts at once."""
    pieces = [piece for draft in drafts for piece in draft.pieces]
    ids = iter(self.tokenizer.encode_pieces(pieces))
    for draft in drafts:
      tokens: list[int] = []
      trained: list[bool] = []
      for is_trained in draft.trained:
        piece_ids = next(ids)
        tokens += piece_ids
        trained += [is_trained] * len(piece_ids)
      yield Encoded(
        tokens=np.asarray(tokens, np.int32),
        trained=np.asarray(trained, np.bool_),
        weight=draft.view.weight,
        kind=draft.view.kind,
        example_id=draft.view.example_id,
        dropped_tools=draft.dropped_tools,
      )

  def _check(self, stream: Encoded) -> None:
    """What must hold by construction, whatever the data.

    Raises:
      EncodeError: the target is no token at all: some tokenizers drop the
        characters that they do not know.
    """
    end = self.tokenizer.turn_end_id
    assert stream.tokens[-1] == end and stream.trained[-1], "stop not trained"
    assert not stream.trained[0], "the first token has nothing to predict it"
    if not stream.trained[-2]:
      raise EncodeError(EMPTY_TARGET)
    assert stream.num_trained >= 2, "nothing but the stop token is trained"

  def _shorten(self, draft: _Draft) -> Encoded:
    """Drops distractors, last offered first, until the stream fits.

    Raises:
      EncodeError: it does not fit with the needed tools alone.
    """
    spare = [t for t in draft.view.tools if t.name not in draft.view.needed]
    best = self._keeping(draft, ())
    if len(best.tokens) > self.options.max_length:
      raise EncodeError(TOO_LONG, f"{len(best.tokens)} tokens")
    fits, too_many = 0, len(spare)
    while too_many - fits > 1:
      middle = (fits + too_many) // 2
      stream = self._keeping(draft, spare[:middle])
      if len(stream.tokens) <= self.options.max_length:
        fits, best = middle, stream
      else:
        too_many = middle
    return best

  def _keeping(
    self, draft: _Draft, spare: Sequence[vocabulary.Tool]
  ) -> Encoded:
    """The same stream with only these distractors."""
    kept = {id(tool) for tool in spare}
    tools = tuple(
      tool
      for tool in draft.view.tools
      if tool.name in draft.view.needed or id(tool) in kept
    )
    view = dataclasses.replace(draft.view, tools=tools)
    smaller = self._draft(view, self._dialogue(view, False), draft.wanted)
    smaller.dropped_tools = len(draft.view.tools) - len(tools)
    return next(self._join([smaller]))


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
