"""Pairing what a model made with gold, when names may differ."""

import numpy as np
from scipy import optimize


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
