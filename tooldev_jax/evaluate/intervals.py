"""Figures with 95 % intervals, and paired comparisons.

Proportions get Wilson's interval (E. B. Wilson 1927; it stays inside [0, 1]
and is honest at 0 of n). Means of other per-example figures get a seeded
percentile bootstrap over examples; where all examples agree it would have no
width, and Wilson's bound on what n alike examples can have missed stands in.
Two sets of outputs on the same items are compared item by item: an exact
McNemar test for yes/no figures, and a paired bootstrap interval for the
difference of any figure.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
RESAMPLES = 2000  # chosen: the bootstrap's own noise is then about 2 % of width
_CHUNK = 1 << 21  # resampled indices held at once, 16 MB


@dataclasses.dataclass(frozen=True)
class Figure:
  """A measured value with its 95 % interval.

  Attributes:
    value: the point estimate.
    low: lower end of the interval.
    high: upper end of the interval.
    n: how many items it rests on.
  """

  value: float
  low: float
  high: float
  n: int


def proportion(successes: int, n: int) -> Figure:
  """Share of successes with Wilson's 95 % interval.

  Raises:
    ValueError: n is 0, or successes are not among 0 to n.
  """
  if n < 1 or not 0 <= successes <= n:
    raise ValueError(f"{successes} successes of {n}")
  share = successes / n
  z2 = Z_95 * Z_95
  centre = (share + z2 / (2 * n)) / (1 + z2 / n)
  half = (
    Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
  )
  # At 0 and n of n the formula gives 0 and 1 up to rounding: say so exactly.
  low = 0.0 if successes == 0 else max(0.0, centre - half)
  high = 1.0 if successes == n else min(1.0, centre + half)
  return Figure(share, low, high, n)


def _resampled_means(values_NxM: np.ndarray, seed: int) -> np.ndarray:
  """Means over items of bootstrap resamples.

  Args:
    values_NxM: M figures of N items; the columns share each resample.
    seed: seed of the resampling.

  Returns:
    [RESAMPLES, M] float64 means.
  """
  rng = np.random.default_rng(seed)
  n, m = values_NxM.shape
  means = np.empty((RESAMPLES, m), np.float64)
  step = max(1, _CHUNK // n)
  for start in range(0, RESAMPLES, step):
    rows = min(step, RESAMPLES - start)
    picked = rng.integers(0, n, size=(rows, n))
    for column in range(m):
      means[start : start + rows, column] = values_NxM[picked, column].mean(1)
  return means


def means(
  values_NxM: np.ndarray,
  seed: int = 0,
  bounds: tuple[float, float] = (0.0, 1.0),
) -> list[Figure]:
  """Column means with seeded percentile-bootstrap 95 % intervals.

  Args:
    values_NxM: M per-example figures of N examples.
    seed: seed of the resampling, which all columns share.
    bounds: least and most that a figure can be.

  Returns:
    M figures.

  Raises:
    ValueError: there are no examples.
  """
  values_NxM = np.asarray(values_NxM, np.float64)
  if len(values_NxM) == 0:
    raise ValueError("no mean of no items")
  resampled = _resampled_means(values_NxM, seed)
  low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
  # Of n alike examples, this share of others may still have gone unseen.
  unseen = proportion(0, len(values_NxM)).high
  alike = values_NxM.min(axis=0) == values_NxM.max(axis=0)
  low = np.where(alike, np.maximum(low - unseen, bounds[0]), low)
  high = np.where(alike, np.minimum(high + unseen, bounds[1]), high)
  # The sum is exact in any order, so equal inputs give equal bytes.
  return [
    Figure(
      math.fsum(values_NxM[:, column].tolist()) / len(values_NxM),
      float(low[column]),
      float(high[column]),
      len(values_NxM),
    )
    for column in range(values_NxM.shape[1])
  ]


def mean(values: Sequence[float], seed: int = 0) -> Figure:
  """Mean of one figure with its bootstrap interval; see `means`."""
  return means(np.asarray(values, np.float64).reshape(-1, 1), seed)[0]


def mcnemar(gained: int, lost: int) -> float:
  """Exact two-sided McNemar p-value.

  Args:
    gained: items wrong before and right after.
    lost: items right before and wrong after.

  Returns:
    The probability, were both changes equally likely, of a split at least as
    uneven as this one. 1.0 when nothing changed.
  """
  n, fewer = gained + lost, min(gained, lost)
  term = total = 1  # binomial coefficients, in exact integers
  for k in range(1, fewer + 1):
    term = term * (n - k + 1) // k
    total += term
  # Integer true division rounds correctly however large both sides are.
  return min(1.0, 2 * total / 2**n)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Two sets of outputs on the same items.

  Attributes:
    figure: which figure is compared, e.g. "exact".
    n: items compared.
    before: mean before.
    after: mean after.
    delta: after − before, with its paired-bootstrap 95 % interval.
    gained: items that rose.
    lost: items that fell.
    p_value: exact McNemar p-value over `gained` and `lost`; for a figure that
      is not yes/no this is the sign test over the items that changed.
  """

  figure: str
  n: int
  before: float
  after: float
  delta: Figure
  gained: int
  lost: int
  p_value: float


def compare(
  before: Sequence[float],
  after: Sequence[float],
  figure: str = "exact",
  seed: int = 0,
) -> Comparison:
  """Compares two equally long lists of per-item values, paired by position.

  Raises:
    ValueError: the lists differ in length or are empty.
  """
  if len(before) != len(after) or len(before) == 0:
    raise ValueError(f"cannot pair {len(before)} items with {len(after)}")
  before_N = np.asarray(before, np.float64)
  after_N = np.asarray(after, np.float64)
  change = after_N - before_N
  (delta,) = means(change.reshape(-1, 1), seed, bounds=(-1.0, 1.0))
  gained, lost = int((change > 0).sum()), int((change < 0).sum())
  n = len(before_N)
  return Comparison(
    figure=figure,
    n=n,
    before=math.fsum(before_N.tolist()) / n,
    after=math.fsum(after_N.tolist()) / n,
    delta=delta,
    gained=gained,
    lost=lost,
    p_value=mcnemar(gained, lost),
  )
