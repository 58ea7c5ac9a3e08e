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
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

RESAMPLES = 2000  # chosen: the bootstrap's own noise is then about 2 % of width
_CHUNK = 1 << 21  # resampled values held at once, 16 MB


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
  interval = stats.binomtest(successes, n).proportion_ci(method="wilson")
  low, high = float(interval.low), float(interval.high)
  # At 0 and n of n the formula gives 0 and 1 up to rounding: say so exactly.
  return Figure(
    successes / n, low if successes else 0.0, high if successes < n else 1.0, n
  )


def share(flags: Iterable[bool]) -> Figure:
  """Share that is true, with Wilson's 95 % interval; see `proportion`."""
  flags = list(flags)
  return proportion(sum(flags), len(flags))


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
  return [_mean(column_N, seed, bounds) for column_N in values_NxM.T.copy()]


def _mean(
  values_N: np.ndarray, seed: int, bounds: tuple[float, float]
) -> Figure:
  n = len(values_N)
  if values_N.min() == values_N.max():
    # Of n alike examples, this share of others may still have gone unseen.
    unseen = proportion(0, n).high
    low = max(values_N[0] - unseen, bounds[0])
    high = min(values_N[0] + unseen, bounds[1])
  else:
    low, high = stats.bootstrap(
      (values_N,),
      np.mean,
      n_resamples=RESAMPLES,
      batch=max(1, _CHUNK // n),
      method="percentile",
      rng=np.random.default_rng(seed),
    ).confidence_interval
  # The sum is exact in any order, so equal inputs give equal bytes.
  return Figure(math.fsum(values_N.tolist()) / n, float(low), float(high), n)


def mcnemar(gained: int, lost: int) -> float:
  """Exact two-sided McNemar p-value.

  Args:
    gained: items wrong before and right after.
    lost: items right before and wrong after.

  Returns:
    The probability, were both changes equally likely, of a split at least as
    uneven as this one. 1.0 when nothing changed.
  """
  if not gained + lost:
    return 1.0
  return float(stats.binomtest(gained, gained + lost).pvalue)


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
