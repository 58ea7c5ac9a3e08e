"""Shows what is really trained, in colour.

It reads batches, not views: what is printed is decoded from the arrays that a
training step gets, so a wrong mask or a leaking segment can be seen.
"""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import rich.console
import rich.rule
import rich.text

from tooldev_jax.data import encoding, loader, tokenizer

_PROMPT = "dim"
_TRAINED = "bold green"
_CONTROL = "magenta"
_TRAINED_CONTROL = "bold black on green"
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
  """Prints the first `count` streams of the first step, and the counts.

  Args:
    console: where to print.
    data: of a training stage.
    chat: the checkpoint's tokenizer.
    count: streams to print.
  """
  console.print(_legend())
  shown = 0
  for row, members in _rows(data):
    console.print(_row_line(row, members, data))
    for segment, stream in enumerate(members, start=1):
      if shown == count:
        break
      console.print(_border(segment, stream))
      console.print(stream_text(row, segment, chat), soft_wrap=True)
      shown += 1
    if shown == count:
      break
  console.print(rich.rule.Rule(style="cyan"))
  console.print(_totals(data))


def stream_text(
  row: Mapping[str, np.ndarray], segment: int, chat: tokenizer.ChatTokenizer
) -> rich.text.Text:
  """One segment of a row: prompt dim, trained tokens green, control marked.

  Args:
    row: fields of a batch at one row, [T] and [C].
    segment: number of the segment, from 1.
    chat: decodes.
  """
  at = np.flatnonzero(row["segment_ids"] == segment)
  trained = np.zeros(len(row["tokens"]), np.bool_)
  weighted = row["target_weights"] > 0
  trained[row["target_positions"][weighted] + 1] = True
  text = rich.text.Text()
  controls = set(chat.control.ids.values())
  before: list[int] = []
  for is_trained, is_control, ids in _runs(
    row["tokens"], trained, controls, at
  ):
    style = {
      (False, False): _PROMPT,
      (False, True): _CONTROL,
      (True, False): _TRAINED,
      (True, True): _TRAINED_CONTROL,
    }[is_trained, is_control]
    shown = _after(before, ids, chat)
    text.append(shown.translate(_SEEN), style=style)
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


def _runs(
  tokens: np.ndarray, trained: np.ndarray, controls: set[int], at: np.ndarray
) -> Iterator[tuple[bool, bool, list[int]]]:
  """Unbroken runs of tokens that are (trained, control) alike."""
  alike = lambda i: (bool(trained[i]), int(tokens[i]) in controls)
  for (is_trained, is_control), run in itertools.groupby(at.tolist(), alike):
    yield is_trained, is_control, [int(tokens[i]) for i in run]


def _rows(
  data: loader.TrainData,
) -> Iterator[tuple[Mapping[str, np.ndarray], list[encoding.Encoded]]]:
  """Rows of the first step with their streams; empty rows are left out."""
  batch = data.batch(0)
  flat = {key: x.reshape(-1, x.shape[-1]) for key, x in batch.items()}
  for i, members in enumerate(data.streams_of(0)):
    yield {key: x[i] for key, x in flat.items()}, members


def _legend() -> rich.text.Text:
  return rich.text.Text.assemble(
    ("prompt", _PROMPT), "  ", ("trained", _TRAINED), "  ",
    ("control token", _CONTROL), "  ",
    ("trained control token", _TRAINED_CONTROL),
  )  # fmt: skip


def _row_line(
  row: Mapping[str, np.ndarray],
  members: list[encoding.Encoded],
  data: loader.TrainData,
) -> rich.rule.Rule:
  used = int((row["segment_ids"] > 0).sum())
  targets = int((row["target_weights"] > 0).sum())
  return rich.rule.Rule(
    f"row of {data.config.row_length}: {len(members)} streams, {used} tokens, "
    f"{targets} of {data.report.max_targets} targets",
    style="cyan",
  )


def _border(segment: int, stream: encoding.Encoded) -> rich.rule.Rule:
  dropped = (
    f", {stream.dropped_tools} tools dropped" if stream.dropped_tools else ""
  )
  title = (
    f"segment {segment}: {stream.kind} {stream.example_id}, "
    f"{len(stream.tokens)} tokens, {stream.num_trained} trained, "
    f"weight {stream.weight:g}{dropped}"
  )
  # An id is data: it is no markup either.
  text = rich.text.Text(title.translate(_SEEN))
  return rich.rule.Rule(text, align="left", style="yellow")


def _totals(data: loader.TrainData) -> str:
  report = data.report
  return (
    f"{report.examples} streams, {report.tokens} tokens "
    f"({report.trained_share:.1%} trained), {report.rows} rows, "
    f"padding {report.padding_share:.1%}; {data.num_steps} steps of "
    f"{report.rows_per_step} rows, about {report.examples_per_step:.0f} "
    "streams"
  )
