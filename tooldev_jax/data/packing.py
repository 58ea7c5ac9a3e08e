"""Packs sequences of different lengths into rows of one length.

Best fit, longest first: each sequence goes into the row where it leaves the
least space, of those where both its tokens and its trained tokens fit.
Sequences of one length are taken in the epoch's shuffled order, and the rows
are shuffled afterwards, so that a batch is a fair draw. The plan depends on
(lengths, seed, epoch) alone.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tooldev_jax import errors, seeds


@dataclasses.dataclass(frozen=True)
class Plan:
  """Which sequences lie in which row, for one epoch.

  Attributes:
    order: int32 [sequences]; sequence numbers, row by row.
    bounds: int32 [rows + 1]; row i holds order[bounds[i]:bounds[i + 1]].
  """

  order: np.ndarray
  bounds: np.ndarray

  @property
  def num_rows(self) -> int:
    return len(self.bounds) - 1

  def row(self, index: int) -> np.ndarray:
    """Sequence numbers in row `index`, in the order in which they lie."""
    return self.order[self.bounds[index] : self.bounds[index + 1]]


def pack(
  lengths: Sequence[int] | np.ndarray,
  trained: Sequence[int] | np.ndarray,
  row_length: int,
  max_targets: int,
  seed: int,
  epoch: int,
) -> Plan:
  """Packs every sequence into exactly one row.

  Args:
    lengths: int [sequences]; tokens of each.
    trained: int [sequences]; trained tokens of each.
    row_length: most tokens a row.
    max_targets: most trained tokens a row.
    seed: of the run.
    epoch: another epoch, another shuffle.

  Raises:
    UserError: a sequence fits no row.
  """
  lengths = np.asarray(lengths, np.int64)
  trained = np.asarray(trained, np.int64)
  _check_fits(lengths, row_length, "tokens", "row_length")
  _check_fits(trained, max_targets, "trained tokens", "max_targets")
  rng = np.random.default_rng(seeds.fold(seed, "rows", epoch))
  shuffled = rng.permutation(len(lengths))
  # Stable, so that equal lengths keep the shuffled order.
  order = shuffled[np.argsort(-lengths[shuffled], kind="stable")]
  rows = _best_fit(order, lengths, trained, row_length, max_targets)
  # Within a row and between rows: no trace of the packing order.
  rows = [rows[i] for i in rng.permutation(len(rows))]
  rows = [[row[i] for i in rng.permutation(len(row))] for row in rows]
  bounds = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int32)
  flat = np.asarray([i for row in rows for i in row], np.int32)
  return Plan(flat, bounds)


def _best_fit(
  order: np.ndarray,
  lengths: np.ndarray,
  trained: np.ndarray,
  row_length: int,
  max_targets: int,
) -> list[list[int]]:
  rows: list[list[int]] = []
  targets: list[int] = []
  # Open rows by their free tokens; `some[f]` says whether level f has any.
  levels: list[list[int]] = [[] for _ in range(row_length + 1)]
  some = np.zeros(row_length + 1, np.bool_)
  for sequence in order.tolist():
    need, wants = int(lengths[sequence]), int(trained[sequence])
    row, free = -1, row_length
    for level in np.flatnonzero(some[need:]).tolist():
      fits = [r for r in levels[need + level] if targets[r] >= wants]
      if fits:
        row, free = fits[0], need + level
        break
    if row < 0:
      row = len(rows)
      rows.append([])
      targets.append(max_targets)
    else:
      levels[free].remove(row)
      some[free] = bool(levels[free])
    rows[row].append(sequence)
    targets[row] -= wants
    levels[free - need].append(row)
    some[free - need] = True
  return rows


def _check_fits(sizes: np.ndarray, limit: int, what: str, field: str) -> None:
  if len(sizes) and sizes.max() > limit:
    worst = int(sizes.argmax())
    raise errors.UserError(
      f"sequence {worst} has {int(sizes[worst])} {what}, and {field} is "
      f"{limit}; raise {field} or lower the encoder's max_length"
    )
