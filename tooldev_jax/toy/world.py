"""Draws tools of the toy world, afresh or as fixed sets.

What people ask them for is in `requests`.
"""

import dataclasses
import functools
import random
from collections.abc import Iterable, Sequence
from typing import Any

from tooldev_jax.toolcall.vocabulary import Tool
from tooldev_jax.toy import domains, lexicon
from tooldev_jax.toy.parameters import KINDS, Parameter


@dataclasses.dataclass(frozen=True)
class ToyTool:
  """A tool together with what is needed to talk about it.

  Attributes:
    tool: the document.
    domain: name of its domain.
    verb: key of lexicon.VERBS.
    thing: the noun.
    parameters: in document order.
    required: names of those that must be given.
  """

  tool: Tool
  domain: str
  verb: str
  thing: str
  parameters: tuple[Parameter, ...]
  required: frozenset[str]


_DESCRIPTIONS = (
  "{Verb} a {thing}.",
  "{Verb} the {thing} of a user.",
  "Use this to {verb} a {thing}.",
  "{Verb} one {thing}.",
)
# Share of draws in which the tools are related, as far as there are some.
_RELATED = 0.6
# Shares of tools with one, two, three and four parameters.
_PARAMETER_COUNTS = (0.25, 0.4, 0.25, 0.1)


def make_tool(
  domain: domains.Domain, verb: str, thing: str, rng: random.Random
) -> ToyTool:
  """A tool for `verb`ing `thing`, with one to four random parameters."""
  count = rng.choices((1, 2, 3, 4), _PARAMETER_COUNTS)[0]
  names = rng.sample(domain.parameters, len(domain.parameters))
  chosen: dict[str, Parameter] = {}
  for parameter in map(domain.parameter, names):
    # Two of a family would be told apart by nothing in the query.
    if len(chosen) < count and parameter.name not in domain.own:
      chosen.setdefault(parameter.family, parameter)
    elif len(chosen) < count:
      chosen[parameter.name] = parameter
  parameters = tuple(chosen.values())
  required = frozenset(
    p.name
    for i, p in enumerate(parameters)
    if i == 0 or (p.default is None and rng.random() < 0.7)
  )
  name = f"{verb}_{thing.replace(' ', '_')}"
  if rng.random() < 0.15:
    name = f"{domain.name}.{name}"
  description = rng.choice(_DESCRIPTIONS).format(
    verb=verb, Verb=verb.capitalize(), thing=thing
  )
  schema = {
    "type": "object",
    "properties": {p.name: p.schema() for p in parameters},
    "required": [p.name for p in parameters if p.name in required],
  }
  tool = Tool(name, description, schema)
  return ToyTool(tool, domain.name, verb, thing, parameters, required)


Triple = tuple[domains.Domain, str, str]


def _triples(world: Sequence[domains.Domain]) -> list[Triple]:
  """Every (domain, verb, thing) of a world; no (verb, thing) comes twice."""
  found = {
    (verb, thing): domain
    for domain in world
    for verb in domain.verbs
    for thing in domain.things
  }
  return [(domain, *pair) for pair, domain in found.items()]


@functools.cache
def told_apart(verb: str, thing: str, other: str, other_thing: str) -> bool:
  """Whether a request for one tool is never a request for the other."""
  words, other_words = set(thing.split()), set(other_thing.split())
  if not (words <= other_words or other_words <= words):
    return True
  same = set(lexicon.VERBS[verb]) & set(lexicon.VERBS[other])
  asking = {verb, other} <= lexicon.ASKING
  wanting = {verb, other} <= lexicon.WANTING
  return not (same or asking or wanting)


Key = tuple[Any, str, str]


def _told_apart(keys: Iterable[Key], count: int) -> list[Any]:
  """The first `count` of the keys (…, verb, thing) that are told apart."""
  chosen: list[Any] = []
  for key in keys:
    if len(chosen) == count:
      break
    if all(told_apart(*other[1:3], *key[1:3]) for other in chosen):
      chosen.append(key)
  return chosen


class EndlessWorld:
  """Tools made afresh for every example: what a base learns to read from.

  A share of the tools is *invented*: verb, thing and parameters are put
  together at random, so that only the document can tell what they are (the
  idea of Hammer's name masking, arXiv 2410.04587). No invented tool is one of
  the quickstart's.
  """

  def __init__(
    self,
    world: Sequence[domains.Domain] = domains.BASE,
    invented: float = 0.3,
    plain: bool = False,
  ):
    """`plain` tools take only values of one token."""
    if plain:
      world = [_plain_domain(domain) for domain in world]
    self._plain = plain
    # Never a tool of the quickstart.
    taken = {(verb, thing) for _, verb, thing in _triples(domains.QUICKSTART)}
    self._triples = [t for t in _triples(world) if t[1:] not in taken]
    self._invented = invented
    self._parameters = sorted({p for d in world for p in d.parameters})
    self._related: dict[str, list[Triple]] = {}
    for triple in self._triples:
      for key in (triple[0].name, triple[1], triple[2]):
        self._related.setdefault(key, []).append(triple)
    # Things of the quickstart are words that one knows, its tools are not.
    things = sorted(
      {thing for domain in domains.ALL for thing in domain.things}
      | {*lexicon.WORDS["nouns"], *lexicon.WORDS["items"]}
    )
    self._pairs = [
      (verb, thing)
      for verb in lexicon.VERBS
      for thing in things
      if (verb, thing) not in taken
    ]

  def draw_tools(self, count: int, rng: random.Random) -> list[ToyTool]:
    """Up to `count` tools that requests tell apart."""
    if rng.random() < self._invented:
      pairs = [(None, *pair) for pair in rng.sample(self._pairs, 3 * count)]
      return [
        make_tool(
          invented_domain(rng, self._plain, self._parameters), verb, thing, rng
        )
        for _, verb, thing in _told_apart(pairs, count)
      ]
    first = rng.choice(self._triples)
    near: list[Triple] = []
    if rng.random() < _RELATED:
      near = self._related[rng.choice((first[0].name, first[1], first[2]))]
      near = rng.sample(near, len(near))
    others = rng.sample(self._triples, 3 * count)
    picked = _told_apart((first, *near, *others), count)
    return [make_tool(d, verb, thing, rng) for d, verb, thing in picked]


def _plain_domain(domain: domains.Domain) -> domains.Domain:
  kept = [
    name for name in domain.parameters if "plain" in domain.parameter(name).tags
  ]
  names = dict.fromkeys([*kept, "city", "name", "topic"])
  return dataclasses.replace(domain, parameters=tuple(names))


def invented_domain(
  rng: random.Random, plain: bool, names: Sequence[str]
) -> domains.Domain:
  """A domain whose parameters are random words of random kinds.

  Args:
    rng: chooses.
    plain: values are one token each.
    names: known parameters, of which it has two.
  """
  kinds = [k for k, kind in KINDS.items() if not plain or "plain" in kind.tags]
  words = lexicon.WORDS["nouns"] + lexicon.WORDS["adjectives"]
  own = {}
  for label in rng.sample(words, 4):
    # Phrases that fit any label, the same in all splits.
    own[label] = Parameter(
      label,
      label,
      f"The {label} of it",
      rng.choice(kinds),
      (f"with {{}} as the {label}", f"with {label} {{}}"),
      (f"the {label} is {{}}", f"{label}: {{}}"),
    )
  known = [] if plain else rng.sample(names, 2)
  return domains.Domain(
    rng.choice(lexicon.WORDS["topics"]), (), (), (*own, *known), own
  )


class FixedWorld:
  """A set of tools, made once from a seed."""

  def __init__(self, tools: Sequence[ToyTool]):
    self.tools = tuple(tools)

  def draw_tools(self, count: int, rng: random.Random) -> list[ToyTool]:
    """Up to `count` tools that requests tell apart, often related ones."""
    first = rng.choice(self.tools)
    others = rng.sample(self.tools, len(self.tools))
    if rng.random() < _RELATED:
      others.sort(key=lambda toy: not _related(toy, first))
    keys = [(toy, toy.verb, toy.thing) for toy in (first, *others)]
    return [key[0] for key in _told_apart(keys, count)]


def _related(one: ToyTool, other: ToyTool) -> bool:
  return (
    one.domain == other.domain
    or one.verb == other.verb
    or one.thing == other.thing
  )


def split_tools(
  seed: int,
  shares: dict[str, float],
  world: Sequence[domains.Domain] = domains.QUICKSTART,
) -> dict[str, FixedWorld]:
  """Divides the world's tools among splits: no tool is in two of them."""
  rng = random.Random(f"tools {seed}")
  triples = _triples(world)
  rng.shuffle(triples)
  tools = [make_tool(d, verb, thing, rng) for d, verb, thing in triples]
  worlds = {}
  start = 0.0
  for split, share in shares.items():
    end = start + share * len(tools) / sum(shares.values())
    worlds[split] = FixedWorld(tools[round(start) : round(end)])
    start = end
  return worlds
