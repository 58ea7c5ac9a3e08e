"""From encoded sequences to the batches of a training run.

`TrainData` plans the whole run at once: every epoch is packed into rows, rows
are grouped into steps, and step i is a pure function of i. A run's position is
therefore one integer, and a process reads its own slice of each global batch
whatever the number of processes.

**A batch counts examples.** `batch_examples` is divided by the mean number of
sequences a row to get rows a step, rounded up to what the mesh and the
micro-batches divide. The last step of an epoch is filled with empty rows
(weight 0); nothing is dropped.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence

import grain
import numpy as np

from tooldev_jax import errors
from tooldev_jax.data import encoding, packing

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LoaderConfig:
  """How sequences become batches.

  Attributes:
    row_length: tokens a row (T).
    batch_examples: examples a step, about; see `PackingReport`.
    epochs: passes over the data.
    seed: of the shuffles.
    micro_batches: parts of a step whose gradients are accumulated (K).
    max_targets: capacity for trained tokens a row (C); None takes what the
      densest row needs, rounded up to a multiple of 64.
    row_multiple: rows of a micro-batch are a multiple of this; the product of
      the mesh's batch axes, which processes divide evenly.
  """

  row_length: int
  batch_examples: int = 48
  epochs: int = 1
  seed: int = 0
  micro_batches: int = 1
  max_targets: int | None = None
  row_multiple: int = 1

  def __post_init__(self):
    for field, least in (
      ("row_length", 2),
      ("batch_examples", 1),
      ("epochs", 1),
      ("micro_batches", 1),
      ("row_multiple", 1),
    ):
      value = getattr(self, field)
      if value < least:
        raise errors.UserError(f"{field} is {value}; minimum {least}")
    if self.max_targets is not None and self.max_targets < 1:
      raise errors.UserError(f"max_targets is {self.max_targets}; minimum 1")


@dataclasses.dataclass(frozen=True)
class PackingReport:
  """What packing made of the data; shares are of tokens, over all epochs.

  Attributes:
    examples: sequences an epoch.
    tokens: real tokens an epoch.
    trained_tokens: trained tokens an epoch.
    rows: rows that hold sequences, first epoch.
    rows_per_step: K * R.
    examples_per_step: mean, where steps are full.
    max_targets: C.
    padding_share: of the positions in rows that hold sequences.
    trained_share: trained tokens / real tokens.
  """

  examples: int
  tokens: int
  trained_tokens: int
  rows: int
  rows_per_step: int
  examples_per_step: float
  max_targets: int
  padding_share: float
  trained_share: float


class TrainData:
  """The batches of a training run, by step.

  Attributes:
    config: as given.
    num_steps: of all epochs together.
    rows_wanted: rows a micro-batch that the examples fill, before they are
      rounded up to `row_multiple`.
    shapes: field name to shape of the global batch.
    report: see `PackingReport`.
  """

  def __init__(
    self,
    encoded: Sequence[encoding.Encoded] | encoding.EncodedSet,
    config: LoaderConfig,
    pad_id: int = 0,
  ):
    """Plans the run.

    Args:
      encoded: the sequences of one epoch.
      config: see `LoaderConfig`.
      pad_id: fills what is left of rows.

    Raises:
      UserError: no sequences, or one that fits no row.
    """
    if isinstance(encoded, encoding.EncodedSet):
      encoded = encoded.encoded
    sequences = tuple(encoded)
    if not sequences:
      raise errors.UserError("there is no example to train on")
    self.config = config
    self._pad_id = pad_id
    self._sequences = sequences
    lengths = np.asarray([len(s.tokens) for s in sequences])
    trained = np.asarray([s.num_trained for s in sequences])
    limit = config.max_targets or config.row_length
    self._plans = [
      packing.pack(
        lengths, trained, config.row_length, limit, config.seed, epoch
      )
      for epoch in range(config.epochs)
    ]
    self._targets = config.max_targets or _capacity(
      self._plans, trained, config.row_length
    )
    mean = len(sequences) / self._plans[0].num_rows
    filled = config.batch_examples / mean / config.micro_batches
    self.rows_wanted = math.ceil(filled)
    self._rows = config.micro_batches * (
      config.row_multiple * math.ceil(filled / config.row_multiple)
    )
    self._starts = np.cumsum(
      [0, *(math.ceil(plan.num_rows / self._rows) for plan in self._plans)]
    )
    self.num_steps = int(self._starts[-1])
    micro = (config.micro_batches, self._rows // config.micro_batches)
    self.shapes: Mapping[str, tuple[int, ...]] = {
      key: x.shape for key, x in self._empty(micro).items()
    }
    self.report = self._report(lengths, trained)

  @functools.cached_property
  def fingerprint(self) -> str:
    """SHA-256 over all that the batches follow from but their `shapes`.

    What rows are a multiple of does not count: it follows from the mesh, and a
    run may move to another one on which its batches have the same shapes.
    """
    settings = dataclasses.replace(self.config, row_multiple=1)
    digest = hashlib.sha256(f"{settings} {self._pad_id}".encode())
    for sequence in self._sequences:
      digest.update(f"{len(sequence.tokens)} {float(sequence.weight)}".encode())
      digest.update(np.ascontiguousarray(sequence.tokens, np.int32).data)
      digest.update(np.packbits(sequence.trained).data)
    for plan in self._plans:
      digest.update(np.ascontiguousarray(plan.order).data)
      digest.update(np.ascontiguousarray(plan.bounds).data)
    return digest.hexdigest()

  def batch(self, step: int) -> Batch:
    """The global batch of one step: arrays [K, R, ...] of numpy."""
    return self._assemble(self._row_numbers(step))

  def iterate(
    self, start_step: int = 0, process_index: int = 0, process_count: int = 1
  ) -> grain.DatasetIterator:
    """This process's slices of the batches from `start_step` on, prefetched.

    The state of the iterator is the next global step alone: `{"next_index":
    step}`, the same on every process and for every number of processes.

    Raises:
      UserError: the processes do not divide the rows of a micro-batch.
    """
    per_micro = self._rows // self.config.micro_batches
    if per_micro % process_count:
      raise errors.UserError(
        f"{per_micro} rows a micro-batch cannot be shared by {process_count} "
        f"processes; make row_multiple a multiple of {process_count}"
      )
    size = per_micro // process_count
    part = slice(process_index * size, (process_index + 1) * size)
    # Rows are chosen before they are assembled: no process builds the others'.
    dataset = (
      grain.MapDataset.range(self.num_steps)
      .map(lambda step: self._row_numbers(step)[:, part])
      .map(self._assemble)
    )
    iterator = iter(
      dataset.to_iter_dataset(
        grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
      )
    )
    if start_step:
      iterator.set_state({"next_index": start_step})
    return iterator

  def sequences_of(self, step: int) -> list[list[encoding.Encoded]]:
    """The sequences of each row of a step, in order: for viewers and tests."""
    epoch, rows = self._locate(step)
    plan = self._plans[epoch]
    return [[self._sequences[i] for i in plan.row(r)] for r in rows]

  def _locate(self, step: int) -> tuple[int, range]:
    """The epoch of a step, and the numbers of its rows in that epoch."""
    if not 0 <= step < self.num_steps:
      raise IndexError(f"step {step} of {self.num_steps}")
    epoch = int(np.searchsorted(self._starts, step, side="right")) - 1
    first = (step - int(self._starts[epoch])) * self._rows
    last = min(first + self._rows, self._plans[epoch].num_rows)
    return epoch, range(first, last)

  def _row_numbers(self, step: int) -> np.ndarray:
    """int64 [K, R, 2] of (epoch, row in that epoch); row -1 is an empty row."""
    epoch, rows = self._locate(step)
    numbers = np.full((self._rows, 2), -1, np.int64)
    numbers[:, 0] = epoch
    numbers[: len(rows), 1] = np.arange(rows.start, rows.stop)
    return numbers.reshape(self.config.micro_batches, -1, 2)

  def _assemble(self, numbers_KxRx2: np.ndarray) -> Batch:
    """Tokens, segments, positions and targets of the given rows."""
    lead = numbers_KxRx2.shape[:2]
    batch = self._empty(lead)
    for k in range(lead[0]):
      for r in range(lead[1]):
        epoch, row = numbers_KxRx2[k, r]
        if row >= 0:
          members = [self._sequences[i] for i in self._plans[epoch].row(row)]
          _fill_row({key: x[k, r] for key, x in batch.items()}, members)
    return batch

  def _empty(self, lead: tuple[int, ...]) -> Batch:
    """Rows that hold nothing, in a batch of this shape."""
    row, targets = (*lead, self.config.row_length), (*lead, self._targets)
    return {
      "tokens": np.full(row, self._pad_id, np.int32),
      "segment_ids": np.zeros(row, np.int32),
      "positions": np.zeros(row, np.int32),
      "target_positions": np.zeros(targets, np.int32),
      "target_ids": np.zeros(targets, np.int32),
      "target_weights": np.zeros(targets, np.float32),
    }

  def _report(self, lengths: np.ndarray, trained: np.ndarray) -> PackingReport:
    rows = sum(plan.num_rows for plan in self._plans)
    positions = rows * self.config.row_length
    tokens = int(lengths.sum())
    return PackingReport(
      examples=len(lengths),
      tokens=tokens,
      trained_tokens=int(trained.sum()),
      rows=self._plans[0].num_rows,
      rows_per_step=self._rows,
      examples_per_step=self._rows * len(lengths) / self._plans[0].num_rows,
      max_targets=self._targets,
      padding_share=1 - tokens * self.config.epochs / positions,
      trained_share=float(trained.sum() / tokens),
    )


def _capacity(
  plans: Sequence[packing.Plan], trained: np.ndarray, row_length: int
) -> int:
  """Trained tokens of the densest row, rounded up to a multiple of 64."""
  most = max(
    int(np.add.reduceat(trained[plan.order], plan.bounds[:-1]).max())
    for plan in plans
  )
  return min(row_length, 64 * math.ceil(most / 64))


def _fill_row(row: Batch, members: Sequence[encoding.Encoded]) -> None:
  """Writes sequences one after another; arrays are [T] and [C] views."""
  at = done = 0
  for segment, sequence in enumerate(members, start=1):
    end = at + len(sequence.tokens)
    row["tokens"][at:end] = sequence.tokens
    row["segment_ids"][at:end] = segment
    row["positions"][at:end] = np.arange(end - at)
    # The hidden state before a trained token predicts it.
    labels = np.flatnonzero(sequence.trained)
    filled = slice(done, done + len(labels))
    row["target_positions"][filled] = at + labels - 1
    row["target_ids"][filled] = sequence.tokens[labels]
    row["target_weights"][filled] = sequence.weight
    at, done = end, filled.stop
