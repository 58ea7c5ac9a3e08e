"""Draws tools, queries and calls from the toy world.

Cases follow BFCL's categories: simple (one tool, one call), multiple (several
tools, one call), parallel (one tool called several times), parallel_multiple
(several tools, several called) and irrelevance (no tool fits).
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence

from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool
from tooldev_jax.toy import domains, lexicon, wording
from tooldev_jax.toy.parameters import KINDS, PLAIN_KINDS, Parameter

CATEGORIES = (
  "simple",
  "multiple",
  "parallel",
  "parallel_multiple",
  "irrelevance",
)


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


@dataclasses.dataclass(frozen=True)
class Mix:
  """What a stream of examples is made of.

  Attributes:
    weights: share of each category, in the order of CATEGORIES.
    max_tools: most tools offered in one example.
    max_calls: most calls in one example.
    max_turns: most queries in one conversation; the last is the one to
      answer.
  """

  weights: tuple[float, ...] = (0.3, 0.3, 0.12, 0.12, 0.16)
  max_tools: int = 3
  max_calls: int = 2
  max_turns: int = 1


_DESCRIPTIONS = (
  "{Verb} a {thing}.",
  "{Verb} the {thing} of a user.",
  "Use this to {verb} a {thing}.",
  "{Verb} one {thing} and return the result.",
)


# Shares of tools with one, two and three parameters.
_PARAMETER_COUNTS = (0.45, 0.35, 0.2)


def make_tool(
  domain: domains.Domain, verb: str, thing: str, rng: random.Random
) -> ToyTool:
  """A tool for `verb`ing `thing`, with one to three random parameters."""
  count = rng.choices((1, 2, 3), _PARAMETER_COUNTS)[0]
  names = rng.sample(domain.parameters, count)
  parameters = tuple(domain.parameter(name) for name in names)
  required = frozenset(
    p.name
    for i, p in enumerate(parameters)
    if i == 0 or (p.default is None and rng.random() < 0.8)
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
  return ToyTool(
    Tool(name, description, schema),
    domain.name,
    verb,
    thing,
    parameters,
    required,
  )


def _triples(
  world: Sequence[domains.Domain],
) -> list[tuple[domains.Domain, str, str]]:
  """Every (domain, verb, thing) of a world."""
  return [
    (domain, verb, thing)
    for domain in world
    for verb in domain.verbs
    for thing in domain.objects
  ]


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
    """`plain` tools take only values of one token: see `PLAIN_KINDS`."""
    if plain:
      world = [_plain_domain(domain) for domain in world]
    self._plain = plain
    self._triples = _triples(world)
    self._invented = invented
    # Any verb with any thing, but never a tool of the quickstart.
    taken = {(verb, thing) for _, verb, thing in _triples(domains.QUICKSTART)}
    things = sorted(
      {thing for domain in domains.ALL for thing in domain.objects}
      | {*lexicon.NOUNS, *lexicon.ITEMS}
    )
    self._pairs = [
      (verb, thing)
      for verb in lexicon.VERBS
      for thing in things
      if (verb, thing) not in taken
    ]

  def draw_tools(self, count: int, rng: random.Random) -> list[ToyTool]:
    """`count` tools with different names."""
    if rng.random() < self._invented:
      pairs = rng.sample(self._pairs, count)
      return [
        make_tool(invented_domain(rng, self._plain), verb, thing, rng)
        for verb, thing in pairs
      ]
    picked = rng.sample(self._triples, count)
    if rng.random() < 0.5:  # neighbours: harder to tell apart
      near = [t for t in self._triples if t[0] is picked[0][0]]
      picked = rng.sample(near, min(count, len(near)))
    return [make_tool(d, verb, thing, rng) for d, verb, thing in picked]


def _plain_domain(domain: domains.Domain) -> domains.Domain:
  kept = [
    name
    for name in domain.parameters
    if domain.parameter(name).kind in PLAIN_KINDS
  ]
  names = dict.fromkeys([*kept, "city", "name", "topic"])
  return dataclasses.replace(domain, parameters=tuple(names))


def invented_domain(rng: random.Random, plain: bool) -> domains.Domain:
  """A domain whose parameters are random words of random kinds."""
  kinds = PLAIN_KINDS if plain else tuple(KINDS)
  labels = rng.sample(lexicon.NOUNS + lexicon.ADJECTIVES, 4)
  own = {
    label: Parameter(
      label, label, f"The {label} of it", rng.choice(kinds), plain=True
    )
    for label in labels
  }
  known = [] if plain else rng.sample(tuple(domains.PARAMETERS), 2)
  return domains.Domain(
    rng.choice(lexicon.TOPICS), (), (), (*labels, *known), own
  )


class FixedWorld:
  """A set of tools, made once from a seed."""

  def __init__(self, tools: Sequence[ToyTool]):
    self.tools = tuple(tools)

  def draw_tools(self, count: int, rng: random.Random) -> list[ToyTool]:
    """`count` different tools, half the time from one domain."""
    picked = rng.sample(self.tools, count)
    if rng.random() < 0.5:
      near = [t for t in self.tools if t.domain == picked[0].domain]
      if len(near) >= count:
        picked = rng.sample(near, count)
    return picked


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


def _draw_call(toy: ToyTool, split: str, rng: random.Random):
  """A call of `toy` and the phrases that ask for it."""
  given = [
    p for p in toy.parameters if p.name in toy.required or rng.random() < 0.5
  ]
  arguments = {p.name: p.draw(rng) for p in given}
  mentions = [p.mention(arguments[p.name], split, rng) for p in given]
  rng.shuffle(mentions)
  return Call(toy.tool.name, arguments), mentions


def _ask(
  asked: Sequence[ToyTool], split: str, rng: random.Random
) -> tuple[str, tuple[Call, ...]]:
  """A query for a call of each tool in turn, and those calls."""
  calls: list[Call] = []
  clauses: list[str] = []
  lead = ""
  for i, toy in enumerate(asked):
    call, mentions = _draw_call(toy, split, rng)
    if len(asked) == 1 and len(mentions) > 1 and rng.random() < 0.15:
      lead = mentions.pop()
    act = wording.action(toy.verb, toy.thing, split, rng)
    if i and toy is asked[i - 1] and rng.random() < 0.4:
      act = rng.choice(wording.AGAIN[split])
    calls.append(call)
    clauses.append(wording.clause(act, mentions, rng))
  return wording.request(clauses, lead, split, rng), tuple(calls)


def draw_example(
  world: EndlessWorld | FixedWorld,
  split: str,
  example_id: str,
  rng: random.Random,
  mix: Mix = Mix(),
) -> Example:
  """One query with the tools it is offered and its gold calls."""
  category = rng.choices(CATEGORIES, mix.weights)[0]
  several = category in ("multiple", "parallel_multiple")
  num_tools = rng.randint(2, mix.max_tools) if several else 1
  tools = world.draw_tools(num_tools + (category == "irrelevance"), rng)
  if category == "parallel":
    asked = [tools[0]] * rng.randint(2, mix.max_calls)
  elif category == "parallel_multiple":
    asked = tools[: rng.randint(2, min(mix.max_calls, len(tools)))]
  else:
    asked = tools[:1]
  query, calls = _ask(asked, split, rng)
  if category == "irrelevance":
    tools, calls = tools[1:], ()
  rng.shuffle(tools)
  messages: list[Message] = []
  for _ in range(rng.randint(1, mix.max_turns) - 1):
    count = rng.randint(1, min(mix.max_calls, len(tools)))
    earlier, answer = _ask(rng.sample(tools, count), split, rng)
    messages += [Message("user", earlier), Message("assistant", calls=answer)]
  return Example(
    id=example_id,
    messages=(*messages, Message("user", query)),
    tools=tuple(toy.tool for toy in tools),
    calls=calls,
    provenance={
      "source": "toy",
      "split": split,
      "category": category,
      "domain": asked[0].domain,
    },
  )


def examples(
  world: EndlessWorld | FixedWorld,
  split: str,
  count: int,
  seed: int,
  mix: Mix = Mix(),
) -> Iterator[Example]:
  """`count` examples; the k-th depends on (seed, split, k) alone."""
  for k in range(count):
    rng = random.Random(f"{seed} {split} {k}")
    yield draw_example(world, split, f"{split}-{k}", rng, mix)
