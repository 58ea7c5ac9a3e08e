"""Seeded augmentations: masked names, shuffled definitions.

**Name masking** (after Hammer, arXiv 2410.04587): the names of tools and of
their parameters become strings without meaning, the same in definitions, calls
and whatever else speaks of them, so that a model must read descriptions. In
text (descriptions, results, answers) a name is replaced where it can only be
the name: anywhere if it looks like an identifier (`get_weather`, `bookTable`),
else only in quotes, or before a bracket for a tool's. What users say stays as
it is, and so does a name in text that occurs in their words or in an argument:
there it is a value.

**Shuffling**: the parameters of each definition, and what is said about each,
come in another order, so that position means nothing. The definition says the
same as before.
"""

import dataclasses
import functools
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence

from tooldev_jax import seeds
from tooldev_jax.toolcall import jsontext, vocabulary

# Top-level keywords that do not refer to parameters by name. A schema with
# others keeps its parameters' names.
_FREE = frozenset(
  (
    "type", "properties", "required", "description", "title", "$schema",
    "$defs", "definitions", "additionalProperties",
  )
)  # fmt: skip
_LETTERS = string.ascii_lowercase + string.digits

_Renamed = Mapping[str, tuple[str, Mapping[str, str]]]


def mask_names(example: vocabulary.Example, seed: int) -> vocabulary.Example:
  """Replaces all names of tools and parameters by meaningless ones.

  A raw text in the provenance is taken out: it says the old names.
  """
  rng = random.Random(seeds.fold(seed, example.id, "names"))
  used: set[str] = set()
  renamed: dict[str, tuple[str, Mapping[str, str]]] = {}
  own = []
  for tool in example.tools:
    change = (_fresh(rng, "tool_", used), _parameter_names(tool, rng))
    own.append(change)
    renamed.setdefault(tool.name, change)  # of two, calls mean the first
  mask = _TextMask(renamed, _values(example))
  tools = tuple(
    _renamed_tool(tool, name, parameters, mask)
    for tool, (name, parameters) in zip(example.tools, own, strict=True)
  )

  def calls(old: Sequence[vocabulary.Call]) -> tuple[vocabulary.Call, ...]:
    return tuple(_renamed_call(call, renamed) for call in old)

  def changed(message: vocabulary.Message) -> vocabulary.Message:
    name, own = renamed.get(message.name, (message.name, {}))
    said = message.content
    return dataclasses.replace(
      message,
      content=said if message.role == "user" else mask(said, own),
      calls=calls(message.calls),
      name=name,
    )

  provenance = {k: v for k, v in example.provenance.items() if k != "raw"}
  return dataclasses.replace(
    example,
    messages=tuple(map(changed, example.messages)),
    tools=tools,
    calls=calls(example.calls),
    answer=mask(example.answer),
    provenance={**provenance, "masked": True},
  )


def _values(example: vocabulary.Example) -> str:
  """All text in which a name is not the name: users' words and arguments."""
  calls = [*example.calls, *(c for m in example.messages for c in m.calls)]
  texts = [m.content for m in example.messages if m.role == "user"]
  for call in calls:
    texts += [jsontext.dump(value) for value in call.arguments.values()]
  return "\n".join(texts)


class _TextMask:
  """Replaces names in text; see the module for which.

  Args:
    renamed: tool name to its new name and its parameters' new names.
    values: text that may hold names as values.
  """

  def __init__(self, renamed: _Renamed, values: str):
    self._names = {name: new for name, (new, _) in renamed.items()}
    for _, parameters in renamed.values():
      for name, new in parameters.items():
        self._names.setdefault(name, new)
    longest_first = sorted(self._names, key=lambda name: (-len(name), name))
    patterns = (
      _in_text(name, name in renamed) for name in longest_first if name.strip()
    )
    masked = [p for p in patterns if not re.search(p, values)]
    self._pattern = re.compile("|".join(masked) or r"(?!)")

  def __call__(self, text: str, own: Mapping[str, str] | None = None) -> str:
    """`text` of the tool whose parameters are `own`, or of none."""
    names = {**self._names, **(own or {})}
    return self._pattern.sub(lambda match: names[match.group()], text)


def _in_text(name: str, is_tool: bool) -> str:
  """A pattern for `name` where it can only be the name."""
  escaped = re.escape(name)
  plain_word = name.isalpha() and name[1:] == name[1:].lower()
  if not plain_word:
    return rf"(?<!\w){escaped}(?!\w)"
  quoted = rf"(?<=[\"'`]){escaped}(?=[\"'`])"
  return rf"{quoted}|(?<!\w){escaped}(?=\()" if is_tool else quoted


def shuffle_definitions(
  example: vocabulary.Example, seed: int
) -> vocabulary.Example:
  """Puts parameters, and the facts about each, in another order."""
  rng = random.Random(seeds.fold(seed, example.id, "order"))
  tools = tuple(
    dataclasses.replace(tool, parameters=_shuffled(tool.parameters, rng))
    for tool in example.tools
  )
  return dataclasses.replace(example, tools=tools)


def _shuffled(
  schema: jsontext.Json, rng: random.Random
) -> dict[str, jsontext.Json]:
  """The same schema with its properties and their keywords reordered."""
  found = dict(schema)
  properties = found.get("properties")
  if isinstance(properties, Mapping):
    found["properties"] = {
      name: _shuffled_property(properties[name], rng)
      for name in rng.sample(list(properties), len(properties))
    }
  required = found.get("required")
  if isinstance(required, list):
    found["required"] = rng.sample(required, len(required))
  return found


def _shuffled_property(
  schema: jsontext.Json, rng: random.Random
) -> jsontext.Json:
  if not isinstance(schema, Mapping):
    return schema
  inner = _shuffled(schema, rng)
  return {key: inner[key] for key in rng.sample(list(inner), len(inner))}


def _parameter_names(
  tool: vocabulary.Tool, rng: random.Random
) -> dict[str, str]:
  properties = tool.parameters.get("properties")
  if not isinstance(properties, Mapping) or set(tool.parameters) - _FREE:
    return {}
  used: set[str] = set()
  return {name: _fresh(rng, "arg_", used) for name in properties}


def _fresh(rng: random.Random, prefix: str, used: set[str]) -> str:
  while True:
    name = prefix + "".join(rng.choices(_LETTERS, k=4))
    if name not in used:
      used.add(name)
      return name


def _renamed_tool(
  tool: vocabulary.Tool, name: str, names: Mapping[str, str], mask: _TextMask
) -> vocabulary.Tool:
  mask_own = functools.partial(mask, own=names)
  parameters = _described(tool.parameters, mask_own)
  if names:
    parameters["properties"] = {
      names[key]: value for key, value in parameters["properties"].items()
    }
  if names and isinstance(parameters.get("required"), list):
    parameters["required"] = [
      names.get(key, key) if isinstance(key, str) else key
      for key in parameters["required"]
    ]
  return vocabulary.Tool(name, mask_own(tool.description), parameters)


def _described(
  schema: jsontext.Json, mask: Callable[[str], str]
) -> jsontext.Json:
  """A copy of `schema` with the names in its descriptions replaced."""
  if not isinstance(schema, Mapping):
    return schema
  found = dict(schema)
  if isinstance(found.get("description"), str):
    found["description"] = mask(found["description"])
  if isinstance(found.get("properties"), Mapping):
    found["properties"] = {
      name: _described(inner, mask)
      for name, inner in found["properties"].items()
    }
  if "items" in found:
    found["items"] = _described(found["items"], mask)
  return found


def _renamed_call(call: vocabulary.Call, renamed: _Renamed) -> vocabulary.Call:
  name, names = renamed.get(call.name, (call.name, {}))
  arguments = {names.get(k, k): v for k, v in call.arguments.items()}
  return vocabulary.Call(name, arguments)
