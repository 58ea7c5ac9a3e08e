"""Shows what is really trained, in colour.

It reads batches, not views: what is printed is decoded from the arrays that a
training step gets, so a wrong mask or a leaking segment can be seen.
"""

import itertools
from collections.abc import Mapping

import numpy as np
import rich.console
import rich.rule
import rich.text

from tooldev_jax.data import encoding, loader, tokenizer

_STYLES = {  # of (trained, control) tokens
  (False, False): "dim",
  (True, False): "bold green",
  (False, True): "magenta",
  (True, True): "bold black on green",
}
# What would move the cursor or colour the terminal is shown as a symbol.
_SEEN = {
  **{i: 0x2400 + i for i in range(32) if chr(i) not in "\n\t"},
  127: 0x2421,
  **dict.fromkeys(range(128, 160), 0xFFFD),
}


def show(
  console: rich.console.Console,
  data: loader.TrainData,
  chat: tokenizer.ChatTokenizer,
  count: int,
) -> None:
  """Prints the first `count` sequences of the first step, and the counts.

  Args:
    console: where to print.
    data: of a training stage.
    chat: the checkpoint's tokenizer.
    count: sequences to print.
  """
  console.print(_legend())
  batch = data.batch(0)
  flat = {key: x.reshape(-1, x.shape[-1]) for key, x in batch.items()}
  for i, members in enumerate(data.sequences_of(0)):
    if count <= 0:
      break
    row = {key: x[i] for key, x in flat.items()}
    console.print(_row_line(row, len(members), data))
    for segment, sequence in enumerate(members[:count], start=1):
      console.print(_border(segment, sequence))
      console.print(sequence_text(row, segment, chat), soft_wrap=True)
    count -= len(members)
  console.print(rich.rule.Rule(style="cyan"))
  console.print(_totals(data))


def sequence_text(
  row: Mapping[str, np.ndarray], segment: int, chat: tokenizer.ChatTokenizer
) -> rich.text.Text:
  """One segment of a row: prompt dim, trained tokens green, control marked.

  Args:
    row: fields of a batch at one row, [T] and [C].
    segment: number of the segment, from 1.
    chat: decodes.
  """
  trained = np.zeros(len(row["tokens"]), np.bool_)
  weighted = row["target_weights"] > 0
  trained[row["target_positions"][weighted] + 1] = True
  controls = set(chat.control.ids.values())

  def style_of(position: int) -> str:
    is_control = int(row["tokens"][position]) in controls
    return _STYLES[bool(trained[position]), is_control]

  text = rich.text.Text()
  before: list[int] = []
  positions = np.flatnonzero(row["segment_ids"] == segment).tolist()
  for style, run in itertools.groupby(positions, style_of):
    ids = [int(row["tokens"][i]) for i in run]
    text.append(_after(before, ids, chat).translate(_SEEN), style=style)
    before = ids[-1:]
  return text


def _after(
  before: list[int], ids: list[int], chat: tokenizer.ChatTokenizer
) -> str:
  """Text of `ids` behind `before`: some tokenizers begin without a blank."""
  lead, whole = chat.decode_exact(before), chat.decode_exact([*before, *ids])
  return (
    whole[len(lead) :] if whole.startswith(lead) else chat.decode_exact(ids)
  )


def _legend() -> rich.text.Text:
  names = ("prompt", "trained", "control token", "trained control token")
  words = zip(names, _STYLES.values(), strict=True)
  return rich.text.Text("  ").join(rich.text.Text(*word) for word in words)


def _row_line(
  row: Mapping[str, np.ndarray], members: int, data: loader.TrainData
) -> rich.rule.Rule:
  used = int((row["segment_ids"] > 0).sum())
  targets = int((row["target_weights"] > 0).sum())
  return rich.rule.Rule(
    f"row of {data.config.row_length}: {members} sequences, {used} tokens, "
    f"{targets} of {data.report.max_targets} targets",
    style="cyan",
  )


def _border(segment: int, sequence: encoding.Encoded) -> rich.rule.Rule:
  title = (
    f"segment {segment}: {sequence.kind} {sequence.example_id}, "
    f"{len(sequence.tokens)} tokens, {sequence.num_trained} trained, "
    f"weight {sequence.weight:g}"
  )
  if sequence.dropped_tools:
    title += f", {sequence.dropped_tools} tools dropped"
  # An id is data: it is no markup either.
  text = rich.text.Text(title.translate(_SEEN))
  return rich.rule.Rule(text, align="left", style="yellow")


def _totals(data: loader.TrainData) -> str:
  report = data.report
  return (
    f"{report.examples} sequences, {report.tokens} tokens "
    f"({report.trained_share:.1%} trained), {report.rows} rows, "
    f"padding {report.padding_share:.1%}; {data.num_steps} steps of "
    f"{report.rows_per_step} rows, about {report.examples_per_step:.0f} "
    "sequences"
  )
