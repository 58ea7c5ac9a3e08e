"""What readers of conversations share."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from tooldev_jax.data.sources import padding, rows, toolprompt
from tooldev_jax.toolcall import formats, jsontext, vocabulary

NOT_OFFERED = "calls a tool that it does not offer"

# What a message says of whether it is trained: by keys whose true value means
# that it is, and by keys whose true value means that it is not.
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
  example_id: str,
  messages: Sequence[vocabulary.Message],
  tools: Sequence[vocabulary.Tool],
  refuses: bool = False,
) -> vocabulary.Example:
  """A dialogue as one example, whose answer is its last trained turn.

  What comes after that turn has no answer to learn and is left out.

  Args:
    example_id: empty where the row has none.
    messages: of the dialogue.
    tools: at hand.
    refuses: an answer without calls and text means that no tool fits.

  Raises:
    RowError: there is no trained assistant turn, nothing before it or in it,
      or a call names no given tool or cannot be read.
  """
  first_of = {tool.name: tool for tool in reversed(tools)}
  messages = [_clean(message, first_of) for message in messages]
  answers = [i for i, m in enumerate(messages) if m.role == "assistant"]
  if not answers:
    raise rows.RowError("no assistant turn")
  trained = [i for i in answers if messages[i].trained]
  if not trained:
    raise rows.RowError("no assistant turn is trained")
  last = trained[-1]
  if not any(m.role == "user" for m in messages[:last]):
    raise rows.RowError("no user turn before the answer")
  answer = messages[last]
  if not (answer.calls or answer.content.strip() or refuses):
    raise rows.RowError("an empty answer")
  return vocabulary.Example(
    id=example_id,
    messages=tuple(messages[:last]),
    tools=tuple(tools),
    calls=answer.calls,
    answer=answer.content,
  )


def _clean(
  message: vocabulary.Message, tools: Mapping[str, vocabulary.Tool]
) -> vocabulary.Message:
  """The message without padding in its calls, which are of these tools."""
  for call in message.calls:
    if call.name not in tools:
      raise rows.RowError(NOT_OFFERED, call.name)
  if message.role == "assistant" and not message.calls:
    said = _THOUGHT.sub("", message.content)
    if mark := _CALL_MARK.search(said):
      raise rows.RowError("calls cannot be read", said[mark.start() :][:80])
  calls = tuple(padding.clean_call(call, tools) for call in message.calls)
  return dataclasses.replace(message, calls=calls)


def split_turns(example: vocabulary.Example) -> Iterator[vocabulary.Example]:
  """One example for each assistant turn that ends what came before it.

  The last one is `example` itself; earlier ones get `#turn` in their id, and
  lose a raw text, which is the last turn's. Turns without text and calls are
  left out, and so are those before any query and those that are not trained.
  """
  provenance = {k: v for k, v in example.provenance.items() if k != "raw"}
  for i, message in enumerate(example.messages):
    says = bool(message.calls or message.content)
    if message.role != "assistant" or not (says and message.trained):
      continue
    before = example.messages[:i]
    if any(m.role == "user" for m in before):
      yield vocabulary.Example(
        id=f"{example.id}#{i}",
        messages=before,
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
    raise rows.RowError("calls cannot be read", str(e)) from e
  if len(calls) > len(turn.calls):
    raise rows.RowError(NOT_OFFERED, calls[0].name)
  if not calls and call_format == "pythonic":
    _refuse_unread_list(text, names)
  return vocabulary.Message("assistant", turn.text, turn.calls)


def message(
  turn: "Turn", call_format: str, tools: Sequence[vocabulary.Tool]
) -> vocabulary.Message:
  """The message of a turn; an assistant's is read as `read_turn` does."""
  if turn.role != "assistant":
    return vocabulary.Message(turn.role, turn.text)
  read = read_turn(turn.text, call_format, tools)
  return dataclasses.replace(read, trained=turn.trained)


def _refuse_unread_list(text: str, names: Sequence[str]) -> None:
  """Raises RowError if text without a call looks like a list of calls."""
  said = text.strip()
  listed = said.startswith("[") and said.endswith(")]")
  compact = re.sub(r"\s+", "", said)
  named = any(f"[{''.join(name.split())}(" in compact for name in names)
  if listed or named:
    raise rows.RowError("calls cannot be read", said[:80])


def tools_of(value: jsontext.Json) -> tuple[vocabulary.Tool, ...]:
  """Tools of a list in our own or OpenAI's form.

  Raises:
    RowError: it is no list, or one of its items is no tool.
  """
  if not isinstance(value, Sequence) or isinstance(value, str):
    raise rows.RowError("tools are no list", type(value).__name__)
  return tuple(toolprompt.read_tool(item) for item in value if item is not None)


def is_trained(turn: Mapping[str, jsontext.Json]) -> bool:
  """What a message says of whether it is trained; True if it says nothing.

  Read are `"weight": 0` (OpenAI, Mistral), `"train": false` (Axolotl), `"mask":
  true` and their like.

  Raises:
    RowError: a flag of training that is not known, or has no value of a flag.
  """
  trained = True
  for written, value in turn.items():
    key = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", written).lower()
    if value is None or not _FLAG.search(key):
      continue
    if key not in _TRAINED and key not in _UNTRAINED:
      raise rows.RowError("a flag of training that is not known", written)
    if value not in (0, 1):
      shown = (
        f"{written}: {jsontext.dump(value)[:80]}; allowed: true, false, 0, 1"
      )
      raise rows.RowError("a flag of training that is not understood", shown)
    trained &= bool(value) == (key in _TRAINED)
  return trained


def json_field(row: Mapping[str, jsontext.Json], key: str) -> jsontext.Json:
  """A field that some sets keep as JSON text and some as JSON.

  Raises:
    RowError: it is missing, or is text that is not JSON.
  """
  value = row.get(key)
  if value is None:
    raise rows.RowError(f"no {key}")
  if not isinstance(value, str):
    return value
  try:
    return jsontext.load(value)
  except jsontext.JsonTextError as e:
    raise rows.RowError(f"{key} is not JSON", str(e)) from e


def record(row: jsontext.Json) -> Mapping[str, jsontext.Json]:
  """`row` as an object.

  Raises:
    RowError: it is something else.
  """
  if not isinstance(row, Mapping):
    raise rows.RowError("not an object", type(row).__name__)
  return row


def text_field(row: Mapping[str, jsontext.Json], *keys: str) -> str:
  """The first of these fields that is text and not empty.

  Raises:
    RowError: none is.
  """
  for key in keys:
    value = row.get(key)
    if isinstance(value, str) and value.strip():
      return value
  raise rows.RowError(f"no {keys[0]}")


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
  trained: bool


def turns_of(
  row: Mapping[str, jsontext.Json], key: str, roles: Mapping[str, str]
) -> list[Turn]:
  """The turns of a dialogue in the `from`/`value` form.

  Raises:
    RowError: no turns, or one with an unknown role or without text.
  """
  turns = row.get(key)
  if not isinstance(turns, Sequence) or isinstance(turns, str) or not turns:
    raise rows.RowError(f"no {key}")
  found = []
  for turn in turns:
    turn = record(turn)
    role = roles.get(str(turn.get("from")))
    if role is None:
      raise rows.RowError("unknown role", repr(turn.get("from")))
    value = turn.get("value")
    if not isinstance(value, str):
      raise rows.RowError("a turn without text", role)
    found.append(Turn(role, value, role != "assistant" or is_trained(turn)))
  return found
