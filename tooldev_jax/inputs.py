"""The files a run learns from and is measured on, read and checked at once."""

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

from etils import epath

from tooldev_jax.config import DataConfig, RunConfig, SourceConfig
from tooldev_jax.data.sources import read_examples
from tooldev_jax.data.toy.records import write_world
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate.summary import Notice
from tooldev_jax.tools.vocabulary import Example

ROLES = ("documents", "examples", "queries", "development", "test")


@dataclasses.dataclass(frozen=True)
class Inputs:
  """Everything that the stages read.

  `queries` have lost whatever labels their file had. The gold answers of the
  queries are not here: `read_gold` opens them, and only for evaluation.

  Attributes:
    documents, examples, queries, development, test: as configured; empty
      where the config names no file.
    notices: rows that could not be read, and limits that were applied.
  """

  documents: tuple[Example, ...]
  examples: tuple[Example, ...]
  queries: tuple[Example, ...]
  development: tuple[Example, ...]
  test: tuple[Example, ...]
  notices: tuple[Notice, ...]

  def counts(self) -> Mapping[str, int]:
    """Examples by role."""
    return {role: len(getattr(self, role)) for role in ROLES}


def read_inputs(config: RunConfig, workdir: epath.Path) -> Inputs:
  """Writes the toy world if the config has one, and reads all inputs.

  Raises:
    UserError: a file is missing, is of another kind, or has too many bad
      rows; ids are shared between queries; an input is empty.
  """
  if config.toy.examples and not (workdir / "data" / "test.jsonl").exists():
    write_world(config.toy, workdir / "data")
  notices: list[Notice] = []
  found: dict[str, Any] = {}
  for role in ROLES:
    source = getattr(config.data, role)
    found[role] = _read(role, source, config, workdir, notices)
  found["queries"] = tuple(
    dataclasses.replace(example, tools=(), calls=(), answer="")
    for example in found["queries"]
  )
  for role in ("queries", "development", "test"):
    ids = [example.id for example in found[role]]
    if len(set(ids)) < len(ids):
      raise UserError(f"data.{role}: {len(ids) - len(set(ids))} ids repeat")
  return Inputs(**found, notices=tuple(notices))


def read_gold(config: RunConfig, workdir: epath.Path) -> tuple[Example, ...]:
  """The answers to the queries; empty if there are none. For evaluation."""
  source = dataclasses.replace(config.data.queries_gold, limit=0)
  return _read("queries_gold", source, config, workdir, [])


def resolve(source: SourceConfig, workdir: epath.Path) -> epath.Path:
  """The file, with the run's folder filled in."""
  return epath.Path(source.path.replace("{workdir}", str(workdir)))


def _read(
  role: str,
  source: SourceConfig,
  config: RunConfig,
  workdir: epath.Path,
  notices: list[Notice],
) -> tuple[Example, ...]:
  if not source.path:
    return ()
  data: DataConfig = config.data
  read = read_examples(resolve(source, workdir), source.kind)
  read.require(data.max_bad_share)
  examples = read.examples
  rows = len(examples) + len(read.rejected)
  for reason, count in read.reasons.items():
    notices.append(Notice(f"{role}: rows not read", count, rows, reason))
  if source.limit and len(examples) > source.limit:
    rng = random.Random(f"{config.seed} {role}")
    chosen = sorted(rng.sample(range(len(examples)), source.limit))
    notices.append(
      Notice(
        f"{role}: examples left out",
        len(examples) - source.limit,
        len(examples),
        f"data.{role}.limit",
      )
    )
    examples = tuple(examples[i] for i in chosen)
  return tuple(examples)
