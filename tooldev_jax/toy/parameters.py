"""What tools can be asked for: typed parameters and how people mention them.

A `Parameter` is a field of a tool document. Its `Kind` says which JSON type it
has, how a value is drawn, and how people mention it: by a *phrase* that
belongs to the request ("in Rome"; "^red" stands before the noun), or by a
*fact*, a sentence of its own ("My budget is 60 dollars"). Phrases and facts
are English and so common to all splits; ways to name a parameter by its label
and whole sentences (`wording`) belong to one split each.
"""

import dataclasses
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tooldev_jax.toy import lexicon, tables
from tooldev_jax.toy.wording import PLAIN, TABLES

Draw = Callable[[random.Random], Any]

# Share of mentions that name the parameter by its label.
BY_LABEL = 0.15
# Share of the others that are facts, where the request has room for them.
AS_FACT = 0.25
# Share of small numbers that are written out.
IN_WORDS = 0.15


@dataclasses.dataclass(frozen=True)
class Kind:
  """A family of values.

  Attributes:
    draw: value from a seeded generator.
    phrases, facts: patterns with `{}` for the value.
    type: JSON type of a value, or of the items of a list.
    tags: see `tables/kinds.txt`.
    family: two parameters of one family would be confused in a query.
  """

  draw: Draw
  phrases: tuple[str, ...] = ()
  facts: tuple[str, ...] = ()
  type: str = "string"
  tags: frozenset[str] = frozenset()
  family: str = ""

  @property
  def many(self) -> bool:
    """Whether a value is a list."""
    return "many" in self.tags


def _date(rng: random.Random) -> str:
  if rng.random() < 0.6:
    return rng.choice(lexicon.WORDS["weekdays"])
  return f"{rng.choice(lexicon.WORDS['months'])} {rng.randint(1, 28)}"


def _clock(rng: random.Random) -> str:
  return f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"


def _decimal(rng: random.Random) -> float:
  return rng.randint(1, 40) + rng.choice((0, 0.25, 0.5, 0.75))


# Values that are not words of a list.
_DRAWN: Mapping[str, Draw] = {
  "date": _date,
  "time": _clock,
  "count": lambda rng: rng.randint(2, 20),
  "amount": lambda rng: rng.randint(5, 99),
  "measure": _decimal,
}


def _kind(row: Sequence[str]) -> Kind:
  name, kind, tags, family, values, phrases, facts = row
  lists = [lexicon.WORDS[words] for words in values.split() if words != "-"]

  def draw(rng: random.Random) -> Any:
    if "many" in tags:
      return rng.sample(lists[0], rng.randint(2, 3))
    return " ".join(rng.choice(words) for words in lists)

  return Kind(
    draw=_DRAWN.get(name, draw),
    phrases=tables.parts(phrases, ";"),
    facts=tables.parts(facts, ";"),
    type=kind,
    tags=frozenset(tags.split()),
    family=family,
  )


KINDS: Mapping[str, Kind] = {
  row[0]: _kind(row) for row in tables.rows("kinds", 7)
}


@dataclasses.dataclass(frozen=True)
class Mention:
  """Words that tell a value.

  Attributes:
    text: the words, without stop.
    place: "before" the noun, "after" it, or a "fact".
  """

  text: str
  place: str


@dataclasses.dataclass(frozen=True)
class Parameter:
  """One parameter of a tool.

  Attributes:
    name: snake_case key.
    label: how people call it.
    description: for the tool document.
    kind: a key of KINDS, or "flag", "choice", "object".
    phrases, facts: its own, instead of the kind's.
    choices: values of a "choice".
    fields: parameters inside an "object".
    default: value when not given; only for optional parameters.
  """

  name: str
  label: str
  description: str
  kind: str
  phrases: tuple[str, ...] = ()
  facts: tuple[str, ...] = ()
  choices: tuple[str, ...] = ()
  fields: tuple["Parameter", ...] = ()
  default: Any = None

  @property
  def tags(self) -> frozenset[str]:
    """Of its kind."""
    return KINDS[self.kind].tags if self.kind in KINDS else frozenset()

  @property
  def family(self) -> str:
    """What it would be confused with; numbers have units that tell."""
    kind = KINDS.get(self.kind)
    return kind.family if kind and kind.type == "string" else self.name

  def schema(self) -> dict[str, Any]:
    """The parameter's JSON Schema."""
    if self.kind == "flag":
      schema: dict[str, Any] = {"type": "boolean"}
    elif self.kind == "choice":
      schema = {"type": "string", "enum": list(self.choices)}
    elif self.kind == "object":
      schema = {
        "type": "object",
        "properties": {f.name: f.schema() for f in self.fields},
        "required": [f.name for f in self.fields],
      }
    elif KINDS[self.kind].many:
      schema = {"type": "array", "items": {"type": KINDS[self.kind].type}}
    else:
      schema = {"type": KINDS[self.kind].type}
    schema["description"] = self.description
    if self.default is not None:
      schema["default"] = self.default
    return schema

  def draw(self, rng: random.Random) -> Any:
    """A value that is not the default."""
    while True:
      if self.kind == "flag":
        value: Any = rng.random() < 0.5
      elif self.kind == "choice":
        value = rng.choice(self.choices)
      elif self.kind == "object":
        value = {f.name: f.draw(rng) for f in self.fields}
      else:
        value = KINDS[self.kind].draw(rng)
      if value != self.default or self.default is None:
        return value

  def mention(
    self, value: Any, split: str, rng: random.Random, facts: bool
  ) -> Mention:
    """Words that tell the value; as a fact only if `facts` are welcome."""
    if self.kind == "object":
      texts = {name: say(inner, rng) for name, inner in value.items()}
      return Mention(rng.choice(self.phrases).format(**texts), "after")
    if self.kind == "flag":
      return Mention(f"{'with' if value else 'without'} {self.label}", "after")
    text = say(value, rng)
    kind = KINDS.get(self.kind)
    phrases = self.phrases or (kind.phrases if kind else ())
    known = self.facts or (kind.facts if kind else ())
    if split == PLAIN or not phrases or rng.random() < BY_LABEL:
      phrases, known = TABLES["phrases"][split], TABLES["facts"][split]
      text, known = text, known if split != PLAIN else ()
    fact = facts and known and rng.random() < AS_FACT
    pattern = rng.choice(known if fact else phrases)
    place = "fact" if fact else "before" if pattern[0] == "^" else "after"
    words = pattern.lstrip("^").replace("{label}", self.label)
    return Mention(words.replace("{}", text), place)


def say(value: Any, rng: random.Random) -> str:
  """How a value reads in a query."""
  if isinstance(value, list):
    return ", ".join(value[:-1]) + " and " + value[-1]
  if type(value) is int and value <= 12 and rng.random() < IN_WORDS:
    return lexicon.WORDS["numbers"][value]
  return str(value)


def _parameters() -> dict[str, Parameter]:
  """The table's parameters; fields of an object follow it in the table."""
  found: dict[str, Parameter] = {}
  for row in tables.rows("parameters", 6):
    name, label, description, what, phrases, facts = row
    kind, *rest = what.split()
    default: Any = rest.pop()[1:] if rest and rest[-1][0] == "=" else None
    if default is not None and kind != "choice":
      default = json.loads(default)
    parameter = Parameter(
      name.rpartition(".")[2],
      label,
      description,
      kind,
      tables.parts(phrases, ";"),
      tables.parts(facts, ";"),
      choices=tuple(rest),
      default=default,
    )
    whole = name.rpartition(".")[0]
    if whole:
      fields = (*found[whole].fields, parameter)
      found[whole] = dataclasses.replace(found[whole], fields=fields)
    else:
      found[name] = parameter
  return found


PARAMETERS: Mapping[str, Parameter] = _parameters()
