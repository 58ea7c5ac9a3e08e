"""What readers of conversations share."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from tooldev_jax.data.sources import padding, rows, toolprompt
from tooldev_jax.toolcall import formats, jsontext, vocabulary
from tooldev_jax.toolcall.jsontext import Json

NOT_OFFERED = "calls a tool that it does not offer"
UNREADABLE = "calls cannot be read"

# Flags of a message, by what true means: the message is trained, or is not.
_TRAINED = frozenset(
  (
    "weight", "train", "training", "trainable", "trained", "is_trained",
    "train_on", "loss", "has_loss", "compute_loss", "loss_weight", "loss_mask",
  )
)  # fmt: skip
_UNTRAINED = frozenset(
  ("mask", "masked", "is_masked", "ignore_loss", "no_loss", "skip_loss")
)
_FLAG = re.compile(r"(?:\b|_)(?:weights?|train\w*|loss|mask(?:s|ed)?)(?:\b|_)")

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_CALL_MARK = re.compile(
  r"<(?:tool_?calls?|function_?calls?)\b[^<>\n]{0,80}>|\[TOOL_CALLS\]"
  r"|<\|python_tag\|>|<\|?tool▁calls?"
)


def finish(
  example_id: Json,
  messages: Sequence[vocabulary.Message],
  tools: Sequence[vocabulary.Tool],
  refuses: bool = False,
) -> vocabulary.Example:
  """A dialogue as one example, whose answer is its last trained turn.

  What comes after that turn has no answer to learn and is left out.

  Args:
    example_id: None or empty where the row has none.
    messages: of the dialogue.
    tools: at hand.
    refuses: an answer without calls and text means that no tool fits.

  Raises:
    RowError: there is no trained assistant turn, nothing before it or in it,
      or a call names no given tool or cannot be read.
  """
  first_of = {tool.name: tool for tool in reversed(tools)}
  messages = [_checked(message, first_of) for message in messages]
  answers = [i for i, m in enumerate(messages) if m.role == "assistant"]
  if not answers:
    raise rows.RowError("no assistant turn")
  trained = [i for i in answers if messages[i].trained]
  if not trained:
    raise rows.RowError("no assistant turn is trained")
  before, answer = messages[: trained[-1]], messages[trained[-1]]
  if not any(m.role == "user" for m in before):
    raise rows.RowError("no user turn before the answer")
  if not (answer.calls or answer.content.strip() or refuses):
    raise rows.RowError("an empty answer")
  return vocabulary.Example(
    id=str(example_id or ""),
    messages=tuple(before),
    tools=tuple(tools),
    calls=answer.calls,
    answer=answer.content,
  )


def _checked(
  message: vocabulary.Message, tools: Mapping[str, vocabulary.Tool]
) -> vocabulary.Message:
  """The message without padding in its calls, which are of these tools."""
  if not message.calls:
    said = _THOUGHT.sub("", message.content)
    mark = _CALL_MARK.search(said) if message.role == "assistant" else None
    if mark is not None:
      raise rows.RowError(UNREADABLE, said[mark.start() :][:80])
    return message
  for call in message.calls:
    if call.name not in tools:
      raise rows.RowError(NOT_OFFERED, call.name)
  calls = tuple(padding.clean_call(call, tools) for call in message.calls)
  return dataclasses.replace(message, calls=calls)


def split_turns(example: vocabulary.Example) -> Iterator[vocabulary.Example]:
  """One example for each assistant turn that answers what came before it.

  The last one is `example` itself; earlier ones get `#turn` in their id, and
  lose a raw text, which is the last turn's. Turns without text and calls are
  left out, and so are those before any query and those that are not trained.
  """
  provenance = {k: v for k, v in example.provenance.items() if k != "raw"}
  asked = False
  for i, message in enumerate(example.messages):
    asked |= message.role == "user"
    says = bool(message.calls or message.content)
    if message.role == "assistant" and message.trained and says and asked:
      yield vocabulary.Example(
        id=f"{example.id}#{i}",
        messages=example.messages[:i],
        tools=example.tools,
        calls=message.calls,
        answer=message.content,
        provenance=provenance,
      )
  yield example


def read_turn(
  text: str, call_format: str, tools: Sequence[vocabulary.Tool]
) -> vocabulary.Message:
  """An assistant turn: calls of the offered `tools`, and the text beside them.

  Raises:
    RowError: the text attempts a call that cannot be read, or that is of no
      offered tool.
  """
  form = formats.get_format(call_format)
  names = [tool.name for tool in tools]
  try:
    turn = form.parse(text, names)
    # Without the names, as much as possible is an attempt at a call.
    calls = turn.calls or form.parse(text).calls
  except formats.ParseError as e:
    raise rows.RowError(UNREADABLE, str(e)) from e
  if len(calls) > len(turn.calls):
    raise rows.RowError(NOT_OFFERED, calls[0].name)
  if not calls and call_format == "pythonic":
    _refuse_unread_list(text, names)
  return vocabulary.Message("assistant", turn.text, turn.calls)


def _refuse_unread_list(text: str, names: Sequence[str]) -> None:
  """Raises RowError if text without a call looks like a list of calls."""
  said = text.strip()
  compact = "".join(said.split())
  named = any(f"[{''.join(name.split())}(" in compact for name in names)
  if named or (said.startswith("[") and said.endswith(")]")):
    raise rows.RowError(UNREADABLE, said[:80])


def tools_of(value: Json) -> tuple[vocabulary.Tool, ...]:
  """Tools of a list in our own or OpenAI's form.

  Raises:
    RowError: it is no list, or one of its items is no tool.
  """
  if not isinstance(value, list):
    raise rows.RowError("tools are no list", type(value).__name__)
  given = [item for item in value if not padding.is_padding(item)]
  return tuple(map(toolprompt.read_tool, given))


def is_trained(message: rows.Row) -> bool:
  """What a message says of whether it is trained; True if it says nothing.

  Read are `"weight": 0` (OpenAI, Mistral), `"train": false` (Axolotl), `"mask":
  true` and their like.

  Raises:
    RowError: a flag of training that is not known, or has no value of a flag.
  """
  trained = True
  for written, value in message.items():
    key = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", written).lower()
    if value is None or not _FLAG.search(key):
      continue
    if key not in _TRAINED and key not in _UNTRAINED:
      raise rows.RowError("a flag of training that is not known", written)
    if value not in (0, 1):
      found = f"{written}: {jsontext.dump(value)[:80]}"
      raise rows.RowError(
        "a flag of training that is not understood",
        f"{found}; allowed: true, false, 0, 1",
      )
    trained &= bool(value) == (key in _TRAINED)
  return trained


@dataclasses.dataclass(frozen=True)
class Turn:
  """A turn in the `from`/`value` form.

  Attributes:
    role: one of `vocabulary.ROLES`.
    text: as written.
    trained: see `is_trained`.
  """

  role: str
  text: str
  trained: bool = True

  def message(
    self, call_format: str, tools: Sequence[vocabulary.Tool]
  ) -> vocabulary.Message:
    """The turn as a message; an assistant's is read as `read_turn` does."""
    if self.role != "assistant":
      return vocabulary.Message(self.role, self.text)
    read = read_turn(self.text, call_format, tools)
    return dataclasses.replace(read, trained=self.trained)


def turns_of(row: rows.Row, key: str, roles: Mapping[str, str]) -> list[Turn]:
  """The turns of a dialogue in the `from`/`value` form.

  Raises:
    RowError: no turns, or one with an unknown role or without text.
  """
  found = []
  for turn in rows.records(row, key):
    role = roles.get(str(turn.get("from")))
    if role is None:
      raise rows.RowError("unknown role", repr(turn.get("from")))
    if not isinstance(turn.get("value"), str):
      raise rows.RowError("a turn without text", role)
    trained = role != "assistant" or is_trained(turn)
    found.append(Turn(role, turn["value"], trained))
  if not found:
    raise rows.RowError(f"no {key}")
  return found
