"""A checkpoint's chat template: what it can say, and saying it.

Templates differ in what they know (a system role, tools, tool results, two
calls in a turn) and the only way to learn it is to ask. `ChatTemplate` renders
a few probes once and keeps the answers in `Traits`; after that a dialogue is
rendered in one piece with *slots* where assistant turns stand, and cut at the
slots. The text of an assistant turn never goes through the template.

What is fixed, so that equal inputs give equal prompts on every day: the date
(`date_string` and `strftime_now`, both 26 July 2024, the day Llama 3.1's own
template falls back to) and thinking (off, `enable_thinking=False`; where the
generation prompt opens a thought all the same, every prompt ends it).
"""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

import jinja2

from tooldev_jax import io
from tooldev_jax.data import control, thoughts
from tooldev_jax.toolcall import vocabulary

# What probes say: words that no template has.
_ASKED, _TOLD = "Qprobe user", "Qprobe system"
_DATE = datetime.datetime(2024, 7, 26)
_TOOL = vocabulary.Tool(
  "probe_tool", "A probe.", {"type": "object", "properties": {}}
)


# Templates refuse by raise_exception, or trip over what they lack, or over what
# a tool's schema holds where they look for something else.
_FAILURES = (
  jinja2.TemplateError,
  ArithmeticError,
  AttributeError,
  LookupError,
  RecursionError,
  TypeError,
  ValueError,
)


class TemplateRefusal(ValueError):
  """The template raised on a conversation: it does not know such ones."""


@dataclasses.dataclass(frozen=True)
class Traits:
  """What a template knows.

  Attributes:
    system: it has a system role; else system text opens the first user turn.
    tools: it writes what `tools=` gives.
    lead: white space it writes between the generation prompt and an answer
      (Mistral's one blank), which belongs to the target.
    turn_end: the control token it writes after an assistant turn.
    call_lead: what it writes before a call's name, for templates that take
      tool results only after `tool_calls`; None where they do not render.
    thought_ends: what ends the thought that its generation prompt opens,
      without tools and with them; empty where none is open. It is part of
      every prompt, so that no call is trained or sampled inside of a thought.
  """

  system: bool
  tools: bool
  lead: str
  turn_end: str
  call_lead: str | None
  thought_ends: tuple[str, str] = ("", "")


@dataclasses.dataclass(frozen=True)
class Dialogue:
  """A conversation rendered up to the generation prompt, cut at its turns.

  Attributes:
    parts: template text; `parts[i]` comes before earlier assistant turn i, the
      last part ends with the generation prompt. Each part after the first
      follows a turn end, which is not in it. May hold the secret.
    turns: positions in the given messages of the earlier assistant turns.
    stable: a turn; whether what comes before it here is exactly the prompt at
      which the model would have been asked for it.
  """

  parts: tuple[str, ...]
  turns: tuple[int, ...]
  stable: tuple[bool, ...]


class ChatTemplate:
  """Renders conversations with a tokenizer's own chat template."""

  def __init__(self, hf_tokenizer: Any, tokens: control.ControlTokens):
    self._hf = hf_tokenizer
    self._tokens = tokens
    self.traits = self._probe()

  def dialogue(
    self,
    messages: Sequence[vocabulary.Message],
    tools: Sequence[vocabulary.Tool] = (),
    check_stable: bool = False,
  ) -> Dialogue:
    """Renders `messages` up to the next assistant turn.

    Args:
      messages: the conversation so far; ends before the turn to answer.
      tools: offered through the template's `tools=`.
      check_stable: fill in `stable` (one more rendering a turn); else False.

    Raises:
      TemplateRefusal: the template knows no such conversation.
    """
    tool_dicts = [self._tool_dict(tool) for tool in tools] or None
    rows, text = self._render_first(messages, tool_dicts)
    at = [i for i, row in enumerate(rows) if row["role"] == "assistant"]
    parts, starts, cursor = [], [], 0
    for i in at:
      start, end = self._turn_region(text, i, rows[i])
      parts.append(text[cursor:start])
      starts.append(start)
      cursor = end
    thought_end = self.traits.thought_ends[bool(tools)]
    stable = [
      check_stable
      and self._try(rows[:i], tool_dicts, True) + thought_end == text[:start]
      for i, start in zip(at, starts, strict=True)
    ]
    return Dialogue(
      parts=(*parts, text[cursor:] + thought_end),
      turns=tuple(i for i, m in enumerate(messages) if m.role == "assistant"),
      stable=tuple(stable),
    )

  def _render_first(
    self, messages: Sequence[vocabulary.Message], tools: list | None
  ) -> tuple[list[dict], str]:
    """Rows and text in the first of three shapes that the template takes.

    1. Assistant turns as plain content, tool results in the tool role.
    2. Turns with calls through `tool_calls`: Mistral takes results only so.
    3. Tool results as user messages: for templates without a tool role.
    """
    refusal: TemplateRefusal | None = None
    for calls_as_calls, results_as_user in (
      (False, False),
      (True, False),
      (False, True),
    ):
      if calls_as_calls and self.traits.call_lead is None:
        continue
      rows = self._rows(messages, calls_as_calls, results_as_user)
      try:
        text = self._render(rows, tools, True)
      except TemplateRefusal as e:
        refusal = refusal or e
        continue
      if self._all_shown(text, rows):
        return rows, text
      refusal = refusal or TemplateRefusal("the template drops messages")
    assert refusal is not None
    raise refusal

  def _rows(
    self,
    messages: Sequence[vocabulary.Message],
    calls_as_calls: bool,
    results_as_user: bool,
  ) -> list[dict]:
    """Template rows: text shielded, assistant turns replaced by slots."""
    rows: list[dict] = []
    pending = ""
    for message in messages:
      row = self._row(message, len(rows), calls_as_calls, results_as_user)
      if row["role"] == "system" and not self.traits.system:
        pending = f"{pending}{row['content']}\n\n"
        continue
      if pending and row["role"] == "user":
        row["content"], pending = pending + row["content"], ""
      merge = results_as_user and rows and rows[-1]["role"] == "user"
      if merge and row["role"] == "user":
        rows[-1]["content"] += "\n" + row["content"]
      else:
        rows.append(row)
    if pending:
      rows.append({"role": "user", "content": pending.rstrip("\n")})
    return rows

  def _row(
    self,
    message: vocabulary.Message,
    position: int,
    calls_as_calls: bool,
    results_as_user: bool,
  ) -> dict:
    text = self._tokens.shield(message.content)
    if message.role == "assistant":
      slot = self._slot(position)
      if not (calls_as_calls and message.calls):
        return {"role": "assistant", "content": slot}
      return {"role": "assistant", "content": "", "tool_calls": [_call(slot)]}
    if message.role == "tool" and results_as_user:
      return {"role": "user", "content": f"Tool result: {text}"}
    row = {"role": message.role, "content": text}
    if message.role == "tool":
      row["name"] = self._tokens.shield(message.name)
      row["tool_call_id"] = _CALL_ID
    return row

  def _slot(self, position: int) -> str:
    return f"S{self._tokens.secret[1:]}N{position}E"

  def _all_shown(self, text: str, rows: list[dict]) -> bool:
    """Whether every assistant slot and every tool result was written once."""
    for i, row in enumerate(rows):
      if row["role"] == "assistant" and text.count(self._slot(i)) != 1:
        return False
      if row["role"] == "tool" and not _shown(row["content"], text):
        return False
    return True

  def _turn_region(
    self, text: str, position: int, row: dict
  ) -> tuple[int, int]:
    """Where an assistant turn starts, and where the text after it goes on."""
    slot = self._slot(position)
    start = text.index(slot)
    end = start + len(slot)
    if "tool_calls" in row:
      lead = self.traits.call_lead or ""
      stop = text.find(self.traits.turn_end, end)
    else:
      lead = self.traits.lead
      rest = text[end:]
      stop = end + len(rest) - len(rest.lstrip())
    if not text.startswith(self.traits.turn_end, stop) or stop < 0:
      raise TemplateRefusal("the template does not end every assistant turn")
    if lead and text.endswith(lead, 0, start):
      start -= len(lead)
    return start, stop + len(self.traits.turn_end)

  def _tool_dict(self, tool: vocabulary.Tool) -> dict:
    function = self._tokens.shield_json(tool.to_json())
    return {"type": "function", "function": function}

  def _render(
    self, rows: list[dict], tools: list | None, generation: bool
  ) -> str:
    try:
      return self._hf.apply_chat_template(
        rows,
        tools=tools,
        tokenize=False,
        add_generation_prompt=generation,
        date_string=_DATE.strftime("%d %b %Y"),
        strftime_now=_DATE.strftime,
        enable_thinking=False,
      )
    except _FAILURES as e:
      raise TemplateRefusal(str(e)) from e

  def _try(self, rows: list[dict], tools: list | None, generation: bool) -> str:
    """As `_render`; empty where the template refuses."""
    try:
      return self._render(rows, tools, generation)
    except TemplateRefusal:
      return ""

  def _probe(self) -> Traits:
    user = {"role": "user", "content": _ASKED}
    slot = self._slot(1)
    answered = [user, {"role": "assistant", "content": slot}]
    try:
      prompt = self._render([user], None, True)
      before, found, after = self._render(answered, None, False).partition(slot)
    except TemplateRefusal as e:
      raise control.TokenizerError(
        f"the chat template refuses a user and an assistant message: {e}"
      ) from e
    pieces = self._tokens.split(after)
    ends = [text for text, is_control in pieces if is_control]
    if not found or not ends:
      raise control.TokenizerError(
        "the chat template writes no control token after an assistant turn, "
        "so there is nothing to learn to stop with; use a checkpoint whose "
        "template ends its turns"
      )
    lead = before[len(prompt) :] if before.startswith(prompt) else ""
    system = {"role": "system", "content": _TOLD}
    tools = [self._tool_dict(_TOOL)]
    knows_tools = _TOOL.name in self._try([user], tools, True)
    without = self._thought_end(answered, None)
    return Traits(
      system=_TOLD in self._try([system, user], None, True),
      tools=knows_tools,
      lead=lead if not lead.strip() else "",
      turn_end=ends[0],
      call_lead=self._call_lead(user, prompt),
      thought_ends=(
        without,
        self._thought_end(answered, tools) if knows_tools else without,
      ),
    )

  def _thought_end(self, answered: list[dict], tools: list | None) -> str:
    prompt = self._try(answered[:1], tools, True)
    before = self._try(answered, tools, False).partition(self._slot(1))[0]
    return thoughts.thought_end(
      tail=prompt.rpartition(_ASKED)[2],
      head=before.rpartition(_ASKED)[2],
      known="\n".join((text_of(self._hf.chat_template), *self._tokens.ids)),
    )

  def _call_lead(self, user: dict, prompt: str) -> str | None:
    slot = self._slot(1)
    row = {"role": "assistant", "content": "", "tool_calls": [_call(slot)]}
    before, found, _ = self._try([user, row], None, False).partition(slot)
    if not found or not before.startswith(prompt):
      return None
    # The call's id comes after the name in every template that writes one.
    return before[len(prompt) :]


_CALL_ID = "call00001"  # nine letters and digits, as Mistral's template wants


def _call(name: str) -> dict:
  function = {"name": name, "arguments": {}}
  return {"id": _CALL_ID, "type": "function", "function": function}


def text_of(chat_template: Any) -> str:
  """All text of a template, or of several with names."""
  if isinstance(chat_template, str):
    return chat_template
  return io.dumps(chat_template)


def _shown(content: str, text: str) -> bool:
  """Whether a template wrote `content`, plain, trimmed or as JSON text."""
  core = content.strip()
  quoted = json.dumps(core, ensure_ascii=False)[1:-1]
  escaped = json.dumps(core)[1:-1]
  return any(x in text for x in (core, quoted, escaped))
