import collections
import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from tooldev_jax import errors
from tooldev_jax.data import encoding, loader, packing


def _sequences(count, seed=0, longest=60):
  """Sequences whose every token names its sequence and place."""
  rng = np.random.default_rng(seed)
  sequences = []
  for i in range(count):
    length = int(rng.integers(4, longest))
    trained = np.zeros(length, np.bool_)
    trained[int(rng.integers(1, length - 1)) :] = True
    tokens = (1000 * (i + 1) + np.arange(length)).astype(np.int32)
    sequences.append(
      encoding.Encoded(tokens, trained, 1 + i / 8, "invocation", str(i))
    )
  return sequences


_CONFIG = loader.LoaderConfig(
  row_length=64, batch_examples=12, epochs=3, seed=7, micro_batches=2,
  row_multiple=4,
)  # fmt: skip


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
  st.lists(
    st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=60
  ),
  st.integers(0, 5),
)
def test_packing_places_every_stream_once_within_both_bounds(sizes, seed):
  lengths = [length for length, _ in sizes]
  trained = [min(20, int(length * share)) for length, share in sizes]
  plan = packing.pack(lengths, trained, 50, 20, seed, 0)
  assert sorted(plan.order.tolist()) == list(range(len(sizes)))
  for i in range(plan.num_rows):
    row = plan.row(i)
    assert len(row) > 0
    assert sum(lengths[j] for j in row) <= 50
    assert sum(trained[j] for j in row) <= 20


def test_packing_is_a_function_of_seed_and_epoch():
  lengths = np.random.default_rng(0).integers(1, 50, 200)

  def order(seed, epoch):
    return packing.pack(lengths, lengths // 2, 64, 64, seed, epoch).order

  np.testing.assert_array_equal(order(1, 2), order(1, 2))
  assert not np.array_equal(order(1, 2), order(1, 3))
  assert not np.array_equal(order(1, 2), order(2, 2))


def test_rows_are_full_for_lengths_of_tool_data():
  rng = np.random.default_rng(0)
  lengths = np.clip(rng.lognormal(6.2, 0.6, 2000).astype(int), 40, 4096)
  plan = packing.pack(lengths, lengths // 10, 4096, 4096, 0, 0)
  assert 1 - lengths.sum() / (plan.num_rows * 4096) < 0.03


def test_what_fits_no_row_is_named():
  with pytest.raises(errors.UserError, match="sequence 1 has 65 tokens"):
    packing.pack([3, 65], [1, 1], 64, 64, 0, 0)
  with pytest.raises(errors.UserError, match="trained tokens, and max_targets"):
    packing.pack([3, 60], [1, 9], 64, 8, 0, 0)


def test_batches_hold_exactly_the_sequences():
  sequences = _sequences(40)
  data = loader.TrainData(sequences, _CONFIG, pad_id=9)
  seen = collections.Counter()
  for step in range(data.num_steps):
    batch = data.batch(step)
    assert {key: x.shape for key, x in batch.items()} == data.shapes
    for k, r in np.ndindex(batch["tokens"].shape[:2]):
      seen.update(_check_row({key: x[k, r] for key, x in batch.items()},
                             sequences))  # fmt: skip
  assert seen == dict.fromkeys(range(40), _CONFIG.epochs)


def _check_row(row, sequences):
  """Checks one row against its sequences; yields their numbers."""
  segments = row["segment_ids"]
  members = [s for s in np.unique(segments) if s]
  assert members == list(range(1, len(members) + 1))
  used = int((segments > 0).sum())
  assert (segments[:used] > 0).all()  # sequences first, then padding
  assert (row["tokens"][used:] == 9).all()
  assert not row["positions"][used:].any()
  weights = row["target_weights"]
  done = 0
  for segment in members:
    at = np.flatnonzero(segments == segment)
    number = int(row["tokens"][at[0]]) // 1000 - 1
    sequence = sequences[number]
    np.testing.assert_array_equal(row["tokens"][at], sequence.tokens)
    np.testing.assert_array_equal(row["positions"][at], np.arange(len(at)))
    labels = np.flatnonzero(sequence.trained)
    part = slice(done, done + len(labels))
    np.testing.assert_array_equal(
      row["target_positions"][part], at[0] + labels - 1
    )
    np.testing.assert_array_equal(
      row["target_ids"][part], sequence.tokens[labels]
    )
    np.testing.assert_array_equal(
      weights[part], np.float32(sequence.weight) * np.ones(len(labels))
    )
    # The label is the next token, within the same segment.
    np.testing.assert_array_equal(
      row["tokens"][row["target_positions"][part] + 1], row["target_ids"][part]
    )
    assert (segments[row["target_positions"][part]] == segment).all()
    done = part.stop
    yield number
  assert not weights[done:].any()


def test_targets_never_exceed_their_capacity():
  sequences = _sequences(60)
  config = loader.LoaderConfig(row_length=128, max_targets=64)
  data = loader.TrainData(sequences, config)
  assert data.shapes["target_ids"][-1] == 64
  total = sum(
    int((data.batch(step)["target_weights"] > 0).sum())
    for step in range(data.num_steps)
  )
  assert total == sum(sequence.num_trained for sequence in sequences)


def test_a_batch_counts_examples():
  sequences = _sequences(400)
  for wanted in (16, 48, 100):
    config = loader.LoaderConfig(row_length=256, batch_examples=wanted)
    report = loader.TrainData(sequences, config).report
    mean = report.examples / report.rows
    assert report.rows_per_step == int(np.ceil(wanted / mean))
    assert wanted <= report.examples_per_step < wanted + mean


def test_rows_divide_over_mesh_and_micro_batches():
  data = loader.TrainData(_sequences(40), _CONFIG)
  k, rows, length = data.shapes["tokens"]
  assert (k, rows % 4, length) == (2, 0, 64)
  assert data.report.rows_per_step == k * rows


def test_last_batch_is_filled_with_empty_rows():
  data = loader.TrainData(_sequences(40), _CONFIG)
  empty = sum(
    int((data.batch(step)["segment_ids"].max(-1) == 0).sum())
    for step in range(data.num_steps)
  )
  added = data.num_steps * data.report.rows_per_step
  assert empty == added - sum(plan.num_rows for plan in data._plans) > 0


def test_report_counts_tokens():
  sequences = _sequences(40)
  report = loader.TrainData(sequences, _CONFIG).report
  tokens = sum(len(s.tokens) for s in sequences)
  assert (report.examples, report.tokens) == (40, tokens)
  trained = sum(s.num_trained for s in sequences)
  assert report.trained_share == trained / tokens
  assert 0 < report.padding_share < 0.5


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_each_global_batch(processes):
  data = loader.TrainData(_sequences(40), _CONFIG)
  parts = [data.iterate(0, p, processes) for p in range(processes)]
  for step in range(data.num_steps):
    got = [next(part) for part in parts]
    whole = data.batch(step)
    for key, expected in whole.items():
      joined = np.concatenate([part[key] for part in got], axis=1)
      np.testing.assert_array_equal(joined, expected)
  with pytest.raises(StopIteration):
    next(parts[0])


@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_state_restores_on_any_number_of_processes(before, after):
  data = loader.TrainData(_sequences(40), _CONFIG)
  parts = [data.iterate(0, p, before) for p in range(before)]
  for _ in range(2):
    for part in parts:
      next(part)
  states = [part.get_state() for part in parts]
  assert all(state == {"next_index": 2} for state in states)
  # A new run: rebuilt from the same sequences, on other processes.
  again = loader.TrainData(_sequences(40), _CONFIG)
  restored = [again.iterate(0, p, after) for p in range(after)]
  for part in restored:
    part.set_state(states[0])
  for step in range(2, data.num_steps):
    got = [next(part)["tokens"] for part in restored]
    np.testing.assert_array_equal(
      np.concatenate(got, axis=1), data.batch(step)["tokens"]
    )


def test_iteration_starts_at_any_step():
  data = loader.TrainData(_sequences(40), _CONFIG)
  iterator = data.iterate(3)
  np.testing.assert_array_equal(
    next(iterator)["tokens"], data.batch(3)["tokens"]
  )
  assert iterator.get_state() == {"next_index": 4}
  assert list(data.iterate(data.num_steps)) == []


def test_epochs_differ_in_order_and_hold_the_same():
  data = loader.TrainData(_sequences(40), _CONFIG)
  steps = [data.sequences_of(step) for step in range(data.num_steps)]
  flat = [s.example_id for rows in steps for row in rows for s in row]
  epochs = [flat[i : i + 40] for i in (0, 40, 80)]
  assert epochs[0] != epochs[1] != epochs[2]
  assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])


def test_the_fingerprint_knows_content_and_order_and_not_the_mesh():
  def fingerprint(sequences=None, pad_id=0, **changes):
    config = dataclasses.replace(_CONFIG, **changes)
    return loader.TrainData(
      sequences or _sequences(40), config, pad_id
    ).fingerprint

  assert fingerprint() == fingerprint(row_multiple=1)
  first, *rest = _sequences(40)
  others = [
    [dataclasses.replace(first, tokens=first.tokens + 1), *rest],
    [dataclasses.replace(first, trained=~first.trained), *rest],
    [dataclasses.replace(first, weight=0.5), *rest],
    [*rest, first],
    rest,
  ]
  changed = [fingerprint(sequences) for sequences in others]
  changed += [
    fingerprint(pad_id=3), fingerprint(seed=9), fingerprint(epochs=1)
  ]  # fmt: skip
  assert len({fingerprint(), *changed}) == 1 + len(changed)


def test_processes_that_do_not_divide_are_refused():
  data = loader.TrainData(_sequences(40), _CONFIG)
  with pytest.raises(errors.UserError, match="3 processes"):
    data.iterate(0, 0, 3)


def test_nothing_to_train_on_is_an_error():
  with pytest.raises(errors.UserError, match="no example"):
    loader.TrainData([], _CONFIG)


@pytest.mark.parametrize(
  "field", ["row_length", "batch_examples", "epochs", "micro_batches",
            "row_multiple", "max_targets"]
)  # fmt: skip
def test_wrong_numbers_are_named(field):
  with pytest.raises(errors.UserError, match=field):
    loader.LoaderConfig(**{"row_length": 64, field: 0})
