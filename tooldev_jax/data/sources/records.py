"""Our own rows: one `Example` a line, as `Example.to_json` writes it."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from etils import epath

from tooldev_jax import io
from tooldev_jax.data.sources import dialogues, padding, rows
from tooldev_jax.toolcall import jsontext, vocabulary


def read(path: epath.Path) -> rows.Read:
  """Reads rows of examples; what they say of their origin is kept.

  An id tells a row from the others, so a row whose id came before is bad.
  """
  examples: list[vocabulary.Example] = []
  rejected: list[rows.BadRow] = []
  seen: set[str] = set()
  for line, text in rows.numbered_rows(path):
    try:
      example = _example(rows.load_row(text))
      if example.id in seen:
        raise rows.RowError("an id that came before", example.id)
      seen.add(example.id)
      examples.append(example)
    except (rows.RowError, vocabulary.MalformedError) as e:
      rejected.append(rows.bad_row(path, line, e))
  return rows.Read(tuple(examples), tuple(rejected))


def write(path: io.PathLike, examples: Iterable[vocabulary.Example]) -> None:
  """Writes examples as rows, atomically."""
  io.write_jsonl(path, (example.to_json() for example in examples))


def _example(row: jsontext.Json) -> vocabulary.Example:
  row = padding.without_nulls(rows.record(row))
  messages = row.get("messages")
  if isinstance(messages, list):
    row["messages"] = [_message(item) for item in messages]
  if isinstance(row.get("tools"), list):
    tools = dialogues.tools_of(row["tools"])
    row["tools"] = [tool.to_json() for tool in tools]
  example = vocabulary.Example.from_json(row)
  if not example.id:
    raise rows.RowError("no id")
  weight = example.provenance.get("weight", 1)
  number = isinstance(weight, int | float) and not isinstance(weight, bool)
  if not number or weight <= 0:
    raise rows.RowError(
      "provenance.weight is no number above 0", jsontext.dump(weight)
    )
  tools_by_name = {tool.name: tool for tool in reversed(example.tools)}

  def clean(calls: Sequence[vocabulary.Call]) -> tuple[vocabulary.Call, ...]:
    return tuple(padding.clean_call(call, tools_by_name) for call in calls)

  return dataclasses.replace(
    example,
    messages=tuple(
      dataclasses.replace(m, calls=clean(m.calls)) for m in example.messages
    ),
    calls=clean(example.calls),
  )


def _message(message: jsontext.Json) -> jsontext.Json:
  if not isinstance(message, Mapping):
    return message
  trained = dialogues.is_trained(message)
  return {**padding.without_nulls(message), "trained": trained}
