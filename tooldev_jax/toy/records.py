"""Writes the toy world as the record files that real data uses too."""

import dataclasses
from collections.abc import Iterable

from etils import epath

from tooldev_jax import io
from tooldev_jax.config import ToyConfig
from tooldev_jax.records import to_json
from tooldev_jax.toolcall.vocabulary import Example
from tooldev_jax.toy import domains, world

# How the tools of a world are divided; no tool is in two of them.
SPLIT_SHARES = {"train": 0.45, "evolve": 0.25, "dev": 0.1, "test": 0.2}


def documents(tools: Iterable[world.ToyTool]) -> list[Example]:
  """One record a tool, without query or calls: stage 1's input."""
  return [
    Example(
      id=f"document-{toy.tool.name}",
      messages=(),
      tools=(toy.tool,),
      calls=(),
      provenance={"source": "toy", "category": "document"},
    )
    for toy in tools
  ]


def unlabelled(example: Example) -> Example:
  """The query alone: no tools, no calls, no trace of either."""
  return Example(
    id=example.id,
    messages=example.messages,
    tools=(),
    calls=(),
    provenance={"source": "toy", "split": "evolve"},
  )


def write_world(config: ToyConfig, folder: epath.Path) -> None:
  """Writes the files; their names are what configs refer to.

  documents.jsonl, examples.jsonl, queries.jsonl, development.jsonl and
  test.jsonl are inputs of the stages; queries_gold.jsonl holds the answers to
  queries.jsonl, and only `evaluate` opens it. toy.json, which is written last,
  tells what they were made with: nothing is written where that is `config`.
  """
  about, made_with = folder / "toy.json", to_json(config)
  if about.exists() and io.read_json(about) == made_with:
    return
  # While files are replaced, none of them is vouched for.
  about.unlink(missing_ok=True)
  worlds = world.split_tools(config.seed, SPLIT_SHARES, domains.QUICKSTART)
  # Queries of the rounds always need a tool: a made tool for a query that
  # needs none cannot be judged by voting.
  mixed = world.Mix(max_tools=config.max_tools, max_calls=config.max_calls)
  asking = dataclasses.replace(mixed, weights=(*mixed.weights[:-1], 0.0))

  def draw(split: str, count: int, mix: world.Mix) -> list[Example]:
    return list(world.examples(worlds[split], split, count, config.seed, mix))

  def write(name: str, examples: Iterable[Example]) -> None:
    rows = [example.to_json() for example in examples]
    io.write_jsonl(folder / f"{name}.jsonl", rows)

  gold = draw("evolve", config.queries, asking)
  write("documents", documents(worlds["train"].tools))
  write("examples", draw("train", config.examples, mixed))
  write("queries", [unlabelled(example) for example in gold])
  write("queries_gold", gold)
  write("development", draw("dev", config.development, mixed))
  write("test", draw("test", config.test, mixed))
  io.write_json(about, made_with)
