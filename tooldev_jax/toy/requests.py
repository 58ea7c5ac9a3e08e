"""Draws what people ask tools of the toy world for, with gold calls.

Cases follow BFCL's categories: simple (one tool, one call), multiple (several
tools, one call), parallel (one tool called several times), parallel_multiple
(several tools, several called) and irrelevance (no tool fits).
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence

from tooldev_jax.data import instructions
from tooldev_jax.toolcall.vocabulary import Call, Example, Message
from tooldev_jax.toy import lexicon, wording
from tooldev_jax.toy.world import EndlessWorld, FixedWorld, ToyTool, told_apart

CATEGORIES = (
  "simple",
  "multiple",
  "parallel",
  "parallel_multiple",
  "irrelevance",
)


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


# Share of refusals whose query is small talk.
_SMALL_TALK = 0.1
# How phrases begin that may open a query.
_LEADS = ("in ", "on ", "at ", "for")
_ARTICLES = ("a", "a", "the", "my", "our")


@dataclasses.dataclass
class _Asked:
  """One or more calls of a tool, as words."""

  toy: ToyTool
  calls: list[Call]
  before: list[str] = dataclasses.field(default_factory=list)
  after: list[str] = dataclasses.field(default_factory=list)
  facts: list[str] = dataclasses.field(default_factory=list)
  lead: str = ""


def _draw_calls(
  toy: ToyTool, count: int, alone: bool, split: str, rng: random.Random
) -> _Asked:
  """`count` calls of one tool that differ in one value, and their words.

  Args:
    toy: the tool.
    count: of calls; above 1 only for a tool with a shared parameter.
    alone: nothing else is asked for, so facts and a lead are welcome.
    split: whose wordings are taken.
    rng: chooses.
  """
  given = [
    p for p in toy.parameters if p.name in toy.required or rng.random() < 0.5
  ]
  several = None
  if count > 1:
    several = rng.choice([p for p in given if "shared" in p.tags])
  arguments = {p.name: p.draw(rng) for p in given}
  asked = _Asked(toy, [Call(toy.tool.name, arguments)])
  for parameter in rng.sample(given, len(given)):
    value = arguments[parameter.name]
    if parameter is several:
      values = [value]
      while len(values) < count:
        value = parameter.draw(rng)
        values += [value] * (value not in values)
      asked.calls = [
        Call(toy.tool.name, {**arguments, parameter.name: v}) for v in values
      ]
      value = values
    told = alone and parameter is not several
    mention = parameter.mention(value, split, rng, told)
    if mention.place == "before" and not asked.before:
      asked.before.append(mention.text)
    elif mention.place == "before":
      asked.after.append(f"with {parameter.label} {mention.text}")
    elif mention.place == "fact":
      asked.facts.append(mention.text)
    else:
      asked.after.append(mention.text)
      leads = alone and not asked.lead and "leading" in parameter.tags
      if leads and mention.text[:3] in _LEADS and rng.random() < 0.1:
        asked.lead = asked.after.pop()
  # "a video of 5 minutes about art", not the other way round.
  asked.after.sort(key=lambda text: not text.startswith("of "))
  return asked


def _clause(asked: _Asked, again: bool, style: str, split: str, rng) -> str:
  """'book a red table in Rome', or without the verb for other styles."""
  toy = asked.toy
  if again:
    words = rng.choice(wording.TABLES["again"][split])
  else:
    articles = ("the",) if style == "questions" else _ARTICLES
    words = wording.noun(toy.thing, asked.before, articles, rng)
    if style == "frames":
      ways = lexicon.VERBS[toy.verb]
      words = (
        f"{ways[0] if split == wording.PLAIN else rng.choice(ways)} {words}"
      )
  return " ".join([words, *asked.after])


def _style(toy: ToyTool, offered: Sequence[ToyTool], rng: random.Random) -> str:
  """How one call is asked for: as a request, a question or a wish."""
  others = [t for t in offered if t is not toy]
  words = set(toy.thing.split())
  if any(words & set(other.thing.split()) for other in others):
    return "frames"  # only the verb tells which tool is meant
  if toy.verb in lexicon.ASKING and rng.random() < 0.3:
    return "questions"
  if toy.verb in lexicon.WANTING and rng.random() < 0.2:
    return "wishes"
  return "frames"


def _ask(
  wanted: Sequence[ToyTool],
  offered: Sequence[ToyTool],
  split: str,
  rng: random.Random,
) -> tuple[str, tuple[Call, ...]]:
  """A query for a call of each tool in turn, and those calls.

  Args:
    wanted: the tools, the same several times for several calls.
    offered: tools that the query must not be mistaken for.
    split: whose wordings are taken.
    rng: chooses.
  """
  same = len(wanted) > 1 and all(toy is wanted[0] for toy in wanted)
  shared = any(
    "shared" in p.tags and p.name in wanted[0].required
    for p in wanted[0].parameters
  )
  if same and shared and rng.random() < 0.5:
    parts = [_draw_calls(wanted[0], len(wanted), True, split, rng)]
  else:
    alone = len(wanted) == 1
    parts = [_draw_calls(toy, 1, alone, split, rng) for toy in wanted]
  style = _style(wanted[0], offered, rng) if len(parts) == 1 else "frames"
  clauses = []
  for i, part in enumerate(parts):
    again = i > 0 and same and not part.before and rng.random() < 0.4
    clauses.append(_clause(part, again, style, split, rng))
  frame = rng.choice(wording.TABLES[style][split])
  if parts[0].lead:
    frame = f"{parts[0].lead}, {frame}"
  facts = [fact for part in parts for fact in part.facts]
  query = wording.request(clauses, frame, facts, split, rng)
  return query, tuple(call for part in parts for call in part.calls)


def draw_example(
  world: EndlessWorld | FixedWorld,
  split: str,
  example_id: str,
  rng: random.Random,
  mix: Mix = Mix(),
) -> Example:
  """One query with the tools it is offered and its gold calls."""
  category = rng.choices(CATEGORIES, mix.weights)[0]
  refusing = category == "irrelevance"
  few = 2 if category in ("multiple", "parallel_multiple") else 1
  many = mix.max_tools if refusing or few == 2 else 1
  num_tools = rng.randint(few, many) + refusing
  tools = world.draw_tools(num_tools, rng)
  while len(tools) < few + refusing:
    tools = world.draw_tools(num_tools, rng)
  if category == "parallel":
    wanted = [tools[0]] * rng.randint(2, mix.max_calls)
  elif category == "parallel_multiple":
    wanted = tools[: rng.randint(2, min(mix.max_calls, len(tools)))]
  else:
    wanted = tools[:1]
  query, calls = _ask(wanted, tools, split, rng)
  if refusing:
    tools, calls = tools[1:], ()
    if rng.random() < _SMALL_TALK:
      query = wording.small_talk(split, rng)
  rng.shuffle(tools)
  messages: list[Message] = []
  for _ in range(rng.randint(1, mix.max_turns) - 1):
    messages += _earlier_turn(world, tools, split, rng, mix)
  return Example(
    id=example_id,
    messages=(*messages, Message("user", query)),
    tools=tuple(toy.tool for toy in tools),
    calls=calls,
    provenance={
      "source": "toy",
      "split": split,
      "category": category,
      "domain": wanted[0].domain,
    },
  )


def _earlier_turn(
  world: EndlessWorld | FixedWorld,
  offered: list[ToyTool],
  split: str,
  rng: random.Random,
  mix: Mix,
) -> tuple[Message, Message]:
  """A query and its answer: calls of offered tools, or a refusal."""
  refusing = rng.random() < mix.weights[-1] / sum(mix.weights)
  for toy in world.draw_tools(2, rng) if refusing else ():
    if all(
      told_apart(toy.verb, toy.thing, other.verb, other.thing)
      for other in offered
    ):
      query, _ = _ask([toy], offered, split, rng)
      answer = rng.choice(instructions.REFUSALS)
      return Message("user", query), Message("assistant", answer)
  count = rng.randint(1, min(mix.max_calls, len(offered)))
  query, calls = _ask(rng.sample(offered, count), offered, split, rng)
  return Message("user", query), Message("assistant", calls=calls)


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
