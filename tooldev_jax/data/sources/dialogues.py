"""What readers of conversations share."""

from collections.abc import Iterator, Mapping, Sequence

from tooldev_jax.data.sources import rows
from tooldev_jax.toolcall import formats, jsontext, vocabulary

_MAX_STARTS = 1000


def finish(
  example_id: str,
  messages: Sequence[vocabulary.Message],
  tools: Sequence[vocabulary.Tool],
  refuses: bool = False,
) -> vocabulary.Example:
  """A dialogue as one example, whose answer is the last assistant turn.

  What comes after that turn has no answer and is left out.

  Args:
    example_id: empty where the row has none.
    messages: of the dialogue.
    tools: at hand.
    refuses: an answer without calls and text means that no tool fits.

  Raises:
    RowError: there is no assistant turn, nothing before it or in it, or a
      call names no given tool.
  """
  last = max(
    (i for i, m in enumerate(messages) if m.role == "assistant"), default=-1
  )
  if last < 0:
    raise rows.RowError("no assistant turn")
  if not any(m.role == "user" for m in messages[:last]):
    raise rows.RowError("no user turn before the answer")
  answer = messages[last]
  if not (answer.calls or answer.content.strip() or refuses):
    raise rows.RowError("an empty answer")
  names = {tool.name for tool in tools}
  for message in messages[: last + 1]:
    for call in message.calls:
      if call.name not in names:
        raise rows.RowError("calls a tool that it does not offer", call.name)
  return vocabulary.Example(
    id=example_id,
    messages=tuple(messages[:last]),
    tools=tuple(tools),
    calls=answer.calls,
    answer=answer.content,
  )


def split_turns(example: vocabulary.Example) -> Iterator[vocabulary.Example]:
  """One example for each assistant turn that ends what came before it.

  The last one is `example` itself; earlier ones get `#turn` in their id, and
  lose a raw text, which is the last turn's. Turns without text and calls are
  left out, and so are those before any query.
  """
  provenance = {k: v for k, v in example.provenance.items() if k != "raw"}
  for i, message in enumerate(example.messages):
    if message.role != "assistant" or not (message.calls or message.content):
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


def read_turn(text: str, call_format: str) -> vocabulary.Message:
  """An assistant turn: calls and the text beside them.

  Raises:
    RowError: the text attempts a call that cannot be read.
  """
  try:
    turn = formats.get_format(call_format).parse(text)
  except formats.ParseError as e:
    raise rows.RowError("calls cannot be read", str(e)) from e
  return vocabulary.Message("assistant", turn.text, turn.calls)


def find_tools(text: str) -> tuple[vocabulary.Tool, ...]:
  """Tools written as JSON somewhere in `text`, as a list or one by one.

  Raises:
    RowError: something there is JSON in a loose reading only (NaN, equal
      keys), or nested too deeply.
  """
  tools: list[vocabulary.Tool] = []
  cursor = 0
  for _ in range(_MAX_STARTS):
    starts = [i for c in "[{" if (i := text.find(c, cursor)) >= 0]
    if not starts:
      break
    start = min(starts)
    try:
      value, cursor = jsontext.load_at(text, start)
    except jsontext.JsonSyntaxError:
      cursor = start + 1
      continue
    except jsontext.JsonTextError as e:
      raise rows.RowError("a tool cannot be read", str(e)) from e
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(x, Mapping) and _name(x) for x in items):
      tools += [vocabulary.Tool.from_json(item) for item in items]
  return tuple(tools)


def _name(item: Mapping[str, jsontext.Json]) -> bool:
  inner = item.get("function")
  return bool(item.get("name")) or (
    isinstance(inner, Mapping) and bool(inner.get("name"))
  )


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


def tools_of(value: jsontext.Json) -> tuple[vocabulary.Tool, ...]:
  """Tools of a list in our own or OpenAI's form."""
  if not isinstance(value, Sequence) or isinstance(value, str):
    raise rows.RowError("tools are no list", type(value).__name__)
  return tuple(vocabulary.Tool.from_json(item) for item in value)


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


def turns_of(
  row: Mapping[str, jsontext.Json], key: str, roles: Mapping[str, str]
) -> list[tuple[str, str]]:
  """(role, text) of turns in the `from`/`value` form.

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
    found.append((role, value))
  return found
