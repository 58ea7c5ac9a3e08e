"""Seeded augmentations: masked names, shuffled definitions.

**Name masking** (after Hammer, arXiv 2410.04587): the names of tools and of
their parameters become strings without meaning, the same in definitions and
calls, so that a model must read descriptions. Words in messages stay as they
are; a user seldom says a tool's name.

**Shuffling**: the parameters of each definition, and what is said about each,
come in another order, so that position means nothing. The definition says the
same as before.
"""

import dataclasses
import random
import string
from collections.abc import Mapping, Sequence

from tooldev_jax import errors
from tooldev_jax.data import instructions
from tooldev_jax.tools import jsontext, vocabulary

# Top-level keywords that do not refer to parameters by name. A schema with
# others keeps its parameters' names.
_FREE = frozenset(
  (
    "type", "properties", "required", "description", "title", "$schema",
    "$defs", "definitions", "additionalProperties",
  )
)  # fmt: skip
_LETTERS = string.ascii_lowercase + string.digits


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
  """What share of the examples is changed; chosen by seed and example.

  Attributes:
    mask: share with masked names.
    shuffle: share with shuffled definitions.
  """

  mask: float = 0.0
  shuffle: float = 0.0

  def __post_init__(self):
    for field in ("mask", "shuffle"):
      value = getattr(self, field)
      if not 0 <= value <= 1:
        raise errors.UserError(
          f"augment.{field} is {value}; it must be in [0, 1]"
        )


def augment(
  example: vocabulary.Example, config: AugmentConfig, seed: int
) -> vocabulary.Example:
  """`example`, changed or not, by (seed, example id) alone."""

  def drawn(what: str) -> float:
    return instructions.draw(seed, example.id, what) / 2**64

  if drawn("mask") < config.mask:
    example = mask_names(example, seed)
  if drawn("shuffle") < config.shuffle:
    example = shuffle_definitions(example, seed)
  return example


def mask_names(example: vocabulary.Example, seed: int) -> vocabulary.Example:
  """Replaces all names of tools and parameters by meaningless ones.

  A raw text in the provenance is taken out: it says the old names.
  """
  rng = random.Random(instructions.draw(seed, example.id, "names"))
  used: set[str] = set()
  renamed: dict[str, tuple[str, Mapping[str, str]]] = {}
  tools = []
  for tool in example.tools:
    parameters = _parameter_names(tool, rng)
    name = _fresh(rng, "tool_", used)
    renamed[tool.name] = (name, parameters)
    tools.append(_renamed_tool(tool, name, parameters))

  def calls(old: Sequence[vocabulary.Call]) -> tuple[vocabulary.Call, ...]:
    return tuple(_renamed_call(call, renamed) for call in old)

  messages = tuple(
    dataclasses.replace(
      message,
      calls=calls(message.calls),
      name=renamed.get(message.name, (message.name, {}))[0],
    )
    for message in example.messages
  )
  provenance = {k: v for k, v in example.provenance.items() if k != "raw"}
  return dataclasses.replace(
    example,
    messages=messages,
    tools=tuple(tools),
    calls=calls(example.calls),
    provenance={**provenance, "masked": True},
  )


def shuffle_definitions(
  example: vocabulary.Example, seed: int
) -> vocabulary.Example:
  """Puts parameters, and the facts about each, in another order."""
  rng = random.Random(instructions.draw(seed, example.id, "order"))
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
  tool: vocabulary.Tool, name: str, names: Mapping[str, str]
) -> vocabulary.Tool:
  parameters = dict(tool.parameters)
  if names:
    parameters["properties"] = {
      names[key]: value for key, value in parameters["properties"].items()
    }
  if names and isinstance(parameters.get("required"), list):
    parameters["required"] = [
      names.get(key, key) for key in parameters["required"]
    ]
  return dataclasses.replace(tool, name=name, parameters=parameters)


def _renamed_call(
  call: vocabulary.Call,
  renamed: Mapping[str, tuple[str, Mapping[str, str]]],
) -> vocabulary.Call:
  name, names = renamed.get(call.name, (call.name, {}))
  arguments = {names.get(k, k): v for k, v in call.arguments.items()}
  return vocabulary.Call(name, arguments)
