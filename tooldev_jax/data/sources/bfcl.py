"""BFCL v4's single-turn cases, with their possible answers.

Questions are JSON lines in `BFCL_v4_<category>.json`, answers in a file of the
same name in `possible_answer/`. The gold call takes the first value that is
right for each argument, and leaves out what may be left out.

This is an evaluation set: read it to measure, to decontaminate, or as a
development slice, not to train on.
"""

from collections.abc import Mapping, Sequence

from etils import epath

from tooldev_jax.data.sources import rows
from tooldev_jax.toolcall import jsontext, vocabulary

_PREFIX = "BFCL_v4_"


def read(path: epath.Path) -> rows.Read:
  """Reads one case a row.

  The category is in the provenance. Cases of "irrelevance" have no gold calls
  because none is right; those without known answers ("relevance", or where
  the file of answers is missing) have `"labelled": false`.
  """
  category = path.stem.removeprefix(_PREFIX)
  answers = _answers(path.parent / "possible_answer" / path.name)
  irrelevant = "irrelevance" in category

  def read_row(row: rows.Row) -> Sequence[vocabulary.Example]:
    case = rows.text_field(row, "id")
    gold = answers.get(case)
    if answers and gold is None:
      raise rows.RowError("no possible answer", case)
    tools = _tools(row.get("function"))
    return [
      vocabulary.Example(
        id=case,
        messages=_messages(row),
        tools=tools,
        calls=gold_calls(gold, tools) if gold else (),
        provenance={
          "category": category,
          "labelled": irrelevant or gold is not None,
        },
      )
    ]

  return rows.reader("bfcl", read_row)(path)


def _tools(listed: jsontext.Json) -> tuple[vocabulary.Tool, ...]:
  """The tools as the benchmark writes them: a null default is one."""
  if not isinstance(listed, list):
    raise rows.RowError("tools are no list", type(listed).__name__)
  return tuple(map(vocabulary.Tool.from_json, listed))


def gold_calls(
  gold: jsontext.Json, tools: Sequence[vocabulary.Tool]
) -> tuple[vocabulary.Call, ...]:
  """The first right call for each in a ground truth.

  Raises:
    RowError: the ground truth has another form.
  """
  required = {tool.name: tool.parameters.get("required") for tool in tools}
  calls = []
  for call in gold if isinstance(gold, list) else [gold]:
    call = rows.record(call)
    if len(call) != 1:
      raise rows.RowError("a possible answer with several names")
    ((name, allowed),) = call.items()
    chosen = {}
    for key, values in rows.record(allowed).items():
      if not isinstance(values, list):
        raise rows.RowError("a possible answer that is no list", key)
      # The empty string says that the argument may be left out; two cases of
      # Live name arguments for which nothing is right.
      if not values:
        continue
      if "" in values and key not in (required.get(name) or ()):
        continue
      first = next((v for v in values if v != ""), "")
      chosen[key] = _value(first)
    calls.append(vocabulary.Call(name, chosen))
  return tuple(calls)


def _value(value: jsontext.Json) -> jsontext.Json:
  """A right value; right values are listed one level into objects, too."""
  if isinstance(value, Mapping):
    return {
      key: values[0] if isinstance(values, list) and values else values
      for key, values in value.items()
      if not (isinstance(values, list) and "" in values)
    }
  if isinstance(value, list):
    return [_value(x) if isinstance(x, Mapping) else x for x in value]
  return value


def _messages(row: rows.Row) -> tuple[vocabulary.Message, ...]:
  turns = row.get("question")
  if not isinstance(turns, list) or not turns:
    raise rows.RowError("no question")
  first = turns[0] if isinstance(turns[0], list) else turns
  return tuple(vocabulary.Message.from_json(message) for message in first)


def _answers(path: epath.Path) -> dict[str, jsontext.Json]:
  if not path.exists():
    return {}
  found = {}
  for line, text in rows.numbered_rows(path):
    try:
      row = rows.record(rows.load_row(text))
      found[rows.text_field(row, "id")] = row.get("ground_truth")
    except rows.RowError as e:
      raise rows.SourceError(f"{path}:{line}: {e}") from e
  return found
