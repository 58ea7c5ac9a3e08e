"""Intervals against textbook formulas and coverage by simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest

from tooldev_jax.evaluate import intervals


def mean(values, seed=0):
  (found,) = intervals.means(np.reshape(values, (-1, 1)), seed)
  return found


@pytest.mark.parametrize("n", [1, 2, 7, 10, 100, 2000])
def test_shares_have_wilsons_interval(n):
  z = 1.959963984540054
  for successes in {0, 1, n // 3, n // 2, n - 1, n}:
    figure = intervals.proportion(successes, n)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    width = 1 + z * z / n
    assert figure.value == share
    assert figure.low == pytest.approx((centre - half) / width, abs=1e-12)
    assert figure.high == pytest.approx((centre + half) / width, abs=1e-12)
    assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_there_is_no_share_of_nothing():
  with pytest.raises(ValueError, match="0 successes of 0"):
    intervals.proportion(0, 0)
  with pytest.raises(ValueError, match="3 successes of 2"):
    intervals.proportion(3, 2)


def test_wilson_covers_the_truth_95_percent_of_the_time():
  n, truth = 60, 0.3
  draws = np.random.default_rng(0).binomial(n, truth, 4000)
  figures = [intervals.proportion(int(k), n) for k in draws]
  covered = np.mean([f.low <= truth <= f.high for f in figures])
  assert 0.93 < covered < 0.97


def test_bootstrap_covers_the_truth_95_percent_of_the_time(monkeypatch):
  monkeypatch.setattr(intervals, "RESAMPLES", 400)
  rng = np.random.default_rng(1)
  values = rng.beta(2, 1, size=(200, 100))  # mean 2/3, skewed
  figures = [mean(row, seed=k) for k, row in enumerate(values)]
  covered = np.mean([f.low <= 2 / 3 <= f.high for f in figures])
  assert 0.91 < covered < 0.98


def test_bootstrap_is_seeded_and_shares_resamples_over_columns():
  values = np.random.default_rng(2).random(50)
  twice = intervals.means(np.stack([values, values], axis=1), seed=3)
  assert twice[0] == twice[1] == mean(values, seed=3)
  assert mean(values, seed=4) != mean(values, seed=3)


def test_bootstrap_chunks_do_not_change_the_figures(monkeypatch):
  values = np.random.default_rng(2).random(50)
  whole = mean(values, seed=3)
  monkeypatch.setattr(intervals, "_CHUNK", 50 * 7)
  assert mean(values, seed=3) == whole


@pytest.mark.parametrize("n", [1, 7, 200])
def test_alike_examples_still_have_an_interval(n):
  for value, successes in ((0.0, 0), (1.0, n)):
    found = mean([value] * n)
    wilson = intervals.proportion(successes, n)
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high))
  found = mean([0.5] * n)
  assert 0 <= found.low < 0.5 < found.high <= 1
  unchanged = intervals.compare([1.0] * n, [1.0] * n)
  unseen = intervals.proportion(0, n).high
  assert unchanged.delta.value == 0.0
  assert (unchanged.delta.low, unchanged.delta.high) == (-unseen, unseen)


def test_there_is_no_mean_of_nothing():
  with pytest.raises(ValueError, match="no mean"):
    mean([])


@pytest.mark.parametrize(
  "gained,lost,p",
  [
    (0, 0, 1.0),
    (5, 5, 1.0),
    (9, 1, 2 * (1 + 10) / 2**10),
    (1, 9, 2 * (1 + 10) / 2**10),
    (3, 40, 2 * (1 + 43 + 903 + 12341) / 2**43),
  ],
)
def test_mcnemar_is_the_exact_binomial_test(gained, lost, p):
  assert intervals.mcnemar(gained, lost) == pytest.approx(p, rel=1e-12)


def test_mcnemar_of_many_items_neither_overflows_nor_rounds_to_zero():
  tail = sum(math.comb(5000, k) for k in range(2001))
  expected = float(Fraction(2 * tail, 2**5000))
  assert 0 < expected < 1e-40
  assert intervals.mcnemar(3000, 2000) == pytest.approx(expected, rel=1e-9)


def test_compare_pairs_items():
  before = [1, 0, 0, 0, 1, 0]
  after = [1, 1, 1, 1, 0, 0]
  found = intervals.compare(before, after, "exact", seed=0)
  assert (found.gained, found.lost, found.n) == (3, 1, 6)
  assert found.delta.value == pytest.approx(2 / 6)
  assert found.after - found.before == pytest.approx(found.delta.value)
  assert found.p_value == pytest.approx(2 * (1 + 4) / 2**4)
  assert found.delta.low <= found.delta.value <= found.delta.high


def test_paired_interval_is_narrower_than_unpaired_for_like_outputs():
  rng = np.random.default_rng(0)
  before = rng.random(400) < 0.5
  after = before.copy()
  after[:8] = True
  delta = intervals.compare(before, after).delta
  one = mean(before)
  unpaired = math.sqrt(2) * (one.high - one.low)
  assert delta.high - delta.low < unpaired / 3


def test_compare_refuses_what_cannot_be_paired():
  with pytest.raises(ValueError, match="cannot pair 1 items with 2"):
    intervals.compare([1], [1, 0])
  with pytest.raises(ValueError, match="cannot pair"):
    intervals.compare([], [])
