"""Pairing what a model made with gold."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from tooldev_jax.toolcall import canonical, jsontext
from tooldev_jax.toolcall.vocabulary import Call, Tool


def plain_name(name: str) -> str:
  """A name without case and punctuation: `getWeather` is `get_weather`."""
  return "".join(c for c in name.casefold() if c.isalnum())


def covers(edges_RxC: np.ndarray) -> bool:
  """Whether every row can be given a column of its own along an edge.

  Args:
    edges_RxC: bool, True where row and column may be paired.
  """
  rows, columns = optimize.linear_sum_assignment(edges_RxC, maximize=True)
  return int(edges_RxC[rows, columns].sum()) == edges_RxC.shape[0]


def _name(call: Call) -> str:
  return canonical.canonical_call(Call(call.name)).name


def called_names(calls: Iterable[Call]) -> collections.Counter[str]:
  """How often each tool is called."""
  return collections.Counter(_name(call) for call in calls)


class Arguments(NamedTuple):
  """Arguments of paired calls: right; in the answer; in gold; in both."""

  right: int = 0
  made: int = 0
  gold: int = 0
  shared: int = 0

  def plus(self, *others: "Arguments") -> "Arguments":
    return Arguments(*map(sum, zip(self, *others, strict=True)))


def count_arguments(
  made: Sequence[Call], gold: Sequence[Call], tools: Mapping[str, Tool]
) -> Arguments:
  """Counts arguments over the best pairing of calls by name."""
  total = Arguments()
  for name in sorted({_name(call) for call in (*made, *gold)}):
    mine = [call for call in made if _name(call) == name]
    theirs = [call for call in gold if _name(call) == name]
    pairs = np.array(
      [[_compare_call(m, g, tools.get(name)) for g in theirs] for m in mine],
      np.int64,
    ).reshape(len(mine), len(theirs), 4)
    rows, columns = optimize.linear_sum_assignment(
      pairs[:, :, 0], maximize=True
    )
    unpaired_mine = sorted(set(range(len(mine))) - set(rows.tolist()))
    unpaired_theirs = sorted(set(range(len(theirs))) - set(columns.tolist()))
    total = total.plus(
      *(Arguments(*pair) for pair in pairs[rows, columns].tolist()),
      *(Arguments(made=len(mine[i].arguments)) for i in unpaired_mine),
      *(Arguments(gold=len(theirs[i].arguments)) for i in unpaired_theirs),
    )
  return total


def _compare_call(made: Call, gold: Call, tool: Tool | None) -> Arguments:
  """Compares two calls of one name, argument by argument.

  An argument counts where either call states it. A stated default equals an
  absent argument, so neither earns nor costs anything it should not; a
  default that neither states is no argument at all.
  """
  filled_made = _canonical_arguments(made, tool)
  filled_gold = _canonical_arguments(gold, tool)
  stated = {*made.arguments, *gold.arguments}
  shared = stated & set(filled_made) & set(filled_gold)
  return Arguments(
    right=sum(filled_made[name] == filled_gold[name] for name in shared),
    made=len(stated & set(filled_made)),
    gold=len(stated & set(filled_gold)),
    shared=len(shared),
  )


def _canonical_arguments(call: Call, tool: Tool | None) -> dict[str, str]:
  arguments = canonical.canonical_call(call, tool).arguments
  return {k: jsontext.dump(v, sort_keys=True) for k, v in arguments.items()}
