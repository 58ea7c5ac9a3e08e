"""What tools can be asked for: typed parameters, their values and phrases.

A `Parameter` is a field of a tool document; its `Kind` says which JSON type
it has, how a value is drawn, and how people mention it. Every split of the
world has phrases of its own (`SPLITS`), so that no wording seen in training
occurs in the evolve queries, development or test.
"""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Any

from tooldev_jax.toy import lexicon

# A sixth way to talk, for the first lessons of a base: see `world`.
PLAIN = "plain"

SPLITS = ("base", "train", "evolve", "dev", "test")

Phrases = Mapping[str, tuple[str, ...]]

# Share of mentions that do not name the parameter by its label ("in Rome").
OWN_PHRASES = 0.4


def _by_split(*groups: str) -> Phrases:
  """One group a split, in the order of SPLITS; '|' separates phrases."""
  return {
    split: tuple(p.strip() for p in group.split("|"))
    for split, group in zip(SPLITS, groups, strict=True)
  }


# Phrases that name the parameter by its label and so suit every kind.
LABELLED = _by_split(
  "with {label} {value} | {label}: {value} | the {label} is {value}"
  " | {value} as {label} | {label} {value} | using {value} for the {label}"
  " | where {label} is {value} | the {label} should be {value}",
  "with the {label} set to {value} | {label} = {value} | its {label}"
  " being {value}",
  "the {label} would be {value} | having {label} {value} | {value} for {label}",
  "choose {value} as the {label} | {label} must be {value}"
  " | let the {label} be {value}",
  "put {value} for the {label} | {label} equal to {value}"
  " | the {label} here is {value}",
)


PLAIN_PHRASES = (
  "{label} {value}",
  "{label} is {value}",
  "{label}: {value}",
  "the {label} set to {value}",
)


@dataclasses.dataclass(frozen=True)
class Kind:
  """A family of values.

  Attributes:
    name: for messages and tests.
    schema: JSON Schema of a value.
    draw: value from a seeded generator.
    phrases: split -> patterns with `{value}`; may be empty.
    say: how the value reads in a query.
  """

  name: str
  schema: Mapping[str, Any]
  draw: Callable[[random.Random], Any]
  phrases: Phrases
  say: Callable[[Any], str] = str


def _pick(*words: tuple[str, ...]) -> Callable[[random.Random], str]:
  """Draws one word from each list, joined by spaces."""
  return lambda rng: " ".join(rng.choice(w) for w in words)


def _date(rng: random.Random) -> str:
  if rng.random() < 0.5:
    return rng.choice(lexicon.WEEKDAYS)
  return f"{rng.choice(lexicon.MONTHS)} {rng.randint(1, 28)}"


def _clock(rng: random.Random) -> str:
  return f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"


def _decimal(rng: random.Random) -> float:
  return rng.randint(1, 40) + rng.choice((0.25, 0.5, 0.75))


def _several(words: tuple[str, ...]) -> Callable[[random.Random], list[str]]:
  return lambda rng: rng.sample(words, rng.randint(2, 3))


def say_list(values: list[str]) -> str:
  """['a', 'b', 'c'] as 'a, b and c'."""
  return ", ".join(values[:-1]) + " and " + values[-1]


_STRING: Mapping[str, Any] = {"type": "string"}
_INTEGER: Mapping[str, Any] = {"type": "integer"}
_NO_PHRASES: Phrases = dict.fromkeys(SPLITS, ())

KINDS: Mapping[str, Kind] = {
  kind.name: kind
  for kind in (
    Kind(
      "place",
      _STRING,
      _pick(lexicon.CITIES),
      _by_split(
        "in {value} | at {value} | in the city of {value} | over in {value}",
        "around {value} | somewhere in {value}",
        "near {value} | close to {value}",
        "within {value} | located in {value}",
        "inside {value} | down in {value}",
      ),
    ),
    Kind(
      "origin",
      _STRING,
      _pick(lexicon.CITIES),
      _by_split(
        "from {value} | leaving {value} | starting in {value}",
        "departing from {value}",
        "out of {value}",
        "leaving from {value}",
        "setting off from {value}",
      ),
    ),
    Kind(
      "destination",
      _STRING,
      _pick(lexicon.CITIES),
      _by_split(
        "to {value} | going to {value} | ending in {value}",
        "heading to {value}",
        "bound for {value}",
        "towards {value}",
        "all the way to {value}",
      ),
    ),
    Kind(
      "country",
      _STRING,
      _pick(lexicon.COUNTRIES),
      _by_split(
        "in {value} | for {value} | across {value}",
        "all over {value}",
        "throughout {value}",
        "within {value}",
        "inside {value}",
      ),
    ),
    Kind(
      "date",
      _STRING,
      _date,
      _by_split(
        "on {value} | for {value} | this {value} | by {value}",
        "before {value} | dated {value}",
        "this coming {value} | not later than {value}",
        "as of {value} | come {value}",
        "on the day of {value} | until {value}",
      ),
    ),
    Kind(
      "time",
      _STRING,
      _clock,
      _by_split(
        "at {value} | for {value} | by {value} | around {value}",
        "at about {value}",
        "at exactly {value}",
        "no later than {value}",
        "right at {value}",
      ),
    ),
    Kind(
      "person",
      _STRING,
      _pick(lexicon.FIRST_NAMES),
      _by_split(
        "for {value} | with {value} | of {value} | on behalf of {value}",
        "in the name of {value}",
        "belonging to {value}",
        "meant for {value}",
        "regarding {value}",
      ),
    ),
    Kind(
      "full_name",
      _STRING,
      _pick(lexicon.FIRST_NAMES, lexicon.LAST_NAMES),
      _by_split(
        "for {value} | by {value} | of {value}",
        "in the name of {value}",
        "belonging to {value}",
        "meant for {value}",
        "regarding {value}",
      ),
    ),
    Kind(
      "title",
      _STRING,
      _pick(lexicon.ADJECTIVES, lexicon.NOUNS),
      _by_split(
        "called {value} | named {value} | titled {value}",
        "by the name of {value}",
        "that goes by {value}",
        "known as {value}",
        "with the title {value}",
      ),
    ),
    Kind(
      "topic",
      _STRING,
      _pick(lexicon.TOPICS),
      _by_split(
        "about {value} | on {value} | on the topic of {value}"
        " | covering {value}",
        "dealing with {value}",
        "concerning {value}",
        "devoted to {value}",
        "that treats {value}",
      ),
    ),
    Kind(
      "food",
      _STRING,
      _pick(lexicon.FOODS),
      _by_split(
        "with {value} | made of {value} | containing {value}",
        "that has {value}",
        "based on {value}",
        "featuring {value}",
        "using {value}",
      ),
    ),
    Kind("item", _STRING, _pick(lexicon.ITEMS), _NO_PHRASES),
    Kind(
      "color",
      _STRING,
      _pick(lexicon.COLORS),
      _by_split(
        "in {value} | colored {value}",
        "painted {value}",
        "of {value} color",
        "that is {value}",
        "done in {value}",
      ),
    ),
    Kind(
      "language",
      _STRING,
      _pick(lexicon.LANGUAGES),
      _by_split(
        "in {value} | into {value}",
        "written in {value}",
        "using {value} language",
        "worded in {value}",
        "for {value} speakers",
      ),
    ),
    Kind(
      "company",
      _STRING,
      _pick(lexicon.COMPANIES),
      _by_split(
        "from {value} | by {value} | at {value}",
        "offered by {value}",
        "made by {value}",
        "supplied by {value}",
        "out of the house of {value}",
      ),
    ),
    Kind("animal", _STRING, _pick(lexicon.ANIMALS), _NO_PHRASES),
    Kind("count", _INTEGER, lambda rng: rng.randint(2, 20), _NO_PHRASES),
    Kind("amount", _INTEGER, lambda rng: rng.randint(5, 99), _NO_PHRASES),
    Kind("measure", {"type": "number"}, _decimal, _NO_PHRASES),
    Kind(
      "foods",
      {"type": "array", "items": {"type": "string"}},
      _several(lexicon.FOODS),
      _by_split(
        "with {value} | of {value}",
        "that has {value}",
        "made from {value}",
        "featuring {value}",
        "consisting of {value}",
      ),
      say_list,
    ),
    Kind(
      "people",
      {"type": "array", "items": {"type": "string"}},
      _several(lexicon.FIRST_NAMES),
      _by_split(
        "with {value} | for {value} | together with {value}",
        "joined by {value}",
        "in company of {value}",
        "including {value}",
        "alongside {value}",
      ),
      say_list,
    ),
    Kind(
      "topics",
      {"type": "array", "items": {"type": "string"}},
      _several(lexicon.TOPICS),
      _by_split(
        "about {value} | covering {value}",
        "dealing with {value}",
        "concerning {value}",
        "devoted to {value}",
        "that treats {value}",
      ),
      say_list,
    ),
  )
}


# Kinds whose values are one token each.
PLAIN_KINDS = (
  *("place", "origin", "destination", "country", "person", "topic", "food"),
  *("item", "color", "language", "company", "animal", "count", "amount"),
)


@dataclasses.dataclass(frozen=True)
class Parameter:
  """One parameter of a tool.

  Attributes:
    name: snake_case key.
    label: how people call it.
    description: for the tool document.
    kind: a key of KINDS, or "flag", "choice", "object".
    phrases: of its own, tried before those of the kind.
    choices: values of a "choice".
    fields: parameters inside an "object".
    default: value when not given; only for optional parameters.
    plain: it is only ever mentioned by its label.
  """

  name: str
  label: str
  description: str
  kind: str
  phrases: Phrases = dataclasses.field(default_factory=lambda: _NO_PHRASES)
  choices: tuple[str, ...] = ()
  fields: tuple["Parameter", ...] = ()
  default: Any = None
  plain: bool = False

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
    else:
      schema = dict(KINDS[self.kind].schema)
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

  def mention(self, value: Any, split: str, rng: random.Random) -> str:
    """Words that tell the value, with the split's own phrases."""
    if split == PLAIN:
      pattern = rng.choice(PLAIN_PHRASES)
      return pattern.format(label=self.label, value=KINDS[self.kind].say(value))
    if self.kind == "object":
      parts = [f.mention(value[f.name], split, rng) for f in self.fields]
      return " ".join(parts)
    if self.kind == "flag":
      return rng.choice(_FLAGS[split][bool(value)]).format(label=self.label)
    own = self.phrases[split]
    if self.kind == "choice":
      own = own + _CHOICES[split]
      text = str(value)
    else:
      own = own + KINDS[self.kind].phrases[split]
      text = KINDS[self.kind].say(value)
    use_own = own and not self.plain and rng.random() < OWN_PHRASES
    pattern = rng.choice(own if use_own else LABELLED[split])
    return pattern.format(label=self.label, value=text)


_FLAGS = {
  split: {True: on, False: off}
  for (split, on), off in zip(
    _by_split(
      "with {label} | {label} on | {label}: yes",
      "making use of {label}",
      "{label} switched on",
      "{label} is wanted",
      "{label} enabled",
    ).items(),
    _by_split(
      "without {label} | {label} off | {label}: no",
      "leaving out {label}",
      "{label} switched off",
      "{label} is not wanted",
      "{label} disabled",
    ).values(),
    strict=True,
  )
}

_CHOICES = _by_split(
  "{value} {label} | {label} {value} | in {value} {label} | as {value}",
  "of the {value} {label}",
  "preferably {value} {label}",
  "ideally {value} as {label}",
  "the {value} kind of {label}",
)


def quantity(
  name: str,
  label: str,
  description: str,
  unit: str,
  kind: str = "count",
  default: Any = None,
) -> Parameter:
  """A number that people give with its unit: 'for 3 nights'."""
  return Parameter(
    name,
    label,
    description,
    kind,
    _by_split(
      f"for {{value}} {unit} | {{value}} {unit} | of {{value}} {unit}"
      f" | with {{value}} {unit}",
      f"which makes {{value}} {unit} | that is {{value}} {unit}",
      f"exactly {{value}} {unit} | {{value}} {unit} in total",
      f"{{value}} {unit} altogether | counting {{value}} {unit}",
      f"{{value}} full {unit} | {{value}} {unit} it shall be",
    ),
    default=default,
  )
