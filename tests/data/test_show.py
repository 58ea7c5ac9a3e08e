import dataclasses
import io
import re

import numpy as np
import pytest
import rich.console

from tests.data import families
from tests.data.test_encoding import _EXAMPLE, _TALK
from tooldev_jax.data import encoding, loader, prepare, show


def _data(chat, call_format="hermes"):
  encoder = encoding.Encoder(chat, call_format)
  found = prepare.prepare([_EXAMPLE, _TALK], encoder)
  config = loader.LoaderConfig(row_length=4096)
  return loader.TrainData(found, config, chat.pad_id)


def _first_row(data):
  return {key: x[0, 0] for key, x in data.batch(0).items()}


def test_trained_text_is_coloured_and_nothing_else(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  data = _data(chat)
  row = _first_row(data)
  for segment, sequence in enumerate(data.sequences_of(0)[0], start=1):
    text = show.sequence_text(row, segment, chat)
    assert text.plain == chat.decode_exact(sequence.tokens.tolist())
    green = "".join(
      text.plain[span.start : span.end]
      for span in text.spans
      if "green" in str(span.style)
    )
    expected = sequence.tokens[sequence.trained].tolist()
    assert green == chat.decode_exact(expected)


def test_control_tokens_stand_out(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  text = show.sequence_text(_first_row(_data(chat)), 1, chat)
  marked = {
    text.plain[span.start : span.end]
    for span in text.spans
    if "magenta" in str(span.style) or "on green" in str(span.style)
  }
  assert "<|im_start|>" in marked and "<|im_end|>" in marked


_SGR = re.compile(r"\x1b\[([\d;]*)m")


def _segments(printed):
  """{number: (border, text, trained text without line ends)} as printed."""
  found, current = {}, None
  for line in printed.split("\n"):
    pieces = _SGR.split(line)  # text, codes, text, codes, …, text
    plain = "".join(pieces[::2])
    border = re.match(r"segment (\d+): (.*?) ─", plain)
    if border:
      current = int(border[1])
      found[current] = [border[2], [], ""]
    elif "─" in plain:
      current = None
    elif current is not None:
      found[current][1].append(plain)
      # 32 is green letters, 42 a green ground: control tokens.
      found[current][2] += "".join(
        text
        for codes, text in zip(pieces[1::2], pieces[2::2], strict=True)
        if {"32", "42"} & {*codes.split(";")}
      )
  return {
    number: (border, "\n".join(lines), trained)
    for number, (border, lines, trained) in found.items()
  }


@pytest.mark.parametrize(
  ("family", "call_format"),
  [("qwen25", "hermes"), ("llama31", "llama"), ("mistral", "mistral")],
)
def test_what_is_printed_is_what_is_trained(
  chat_tokenizers, family, call_format
):
  chat = chat_tokenizers[family]
  data = _data(chat, call_format)
  out = io.StringIO()
  console = rich.console.Console(
    file=out, width=200, force_terminal=True, color_system="standard"
  )
  show.show(console, data, chat, count=3)
  segments = _segments(out.getvalue())
  sequences = data.sequences_of(0)[0][:3]
  assert list(segments) == [1, 2, 3]
  for sequence, (border, text, trained) in zip(
    sequences, segments.values(), strict=True
  ):
    assert border == (
      f"{sequence.kind} {sequence.example_id}, {len(sequence.tokens)} tokens,"
      f" {sequence.num_trained} trained, weight {sequence.weight:g}"
    )
    assert text == chat.decode_exact(sequence.tokens.tolist())
    prompt = chat.decode_exact(sequence.tokens[~sequence.trained].tolist())
    assert text.startswith(prompt)  # a run of its own, before what is trained
    assert trained == text.removeprefix(prompt).replace("\n", "")


def test_counts_are_printed(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  data = _data(chat)
  out = io.StringIO()
  show.show(rich.console.Console(file=out, width=200), data, chat, count=3)
  printed = out.getvalue()
  row = _first_row(data)
  members, used = len(data.sequences_of(0)[0]), (row["segment_ids"] > 0).sum()
  targets = (row["target_weights"] > 0).sum()
  assert (
    f"{members} sequences, {used} tokens, {targets} of"
    f" {data.report.max_targets} targets"
  ) in printed
  assert f"{data.report.examples} sequences, {data.report.tokens}" in printed
  assert f"padding {data.report.padding_share:.1%}" in printed


def test_a_wrong_mask_can_be_seen(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  row = _first_row(_data(chat))
  whole = show.sequence_text(row, 1, chat)
  row["target_weights"] = row["target_weights"].copy()
  row["target_weights"][0] = 0
  assert show.sequence_text(row, 1, chat).spans != whole.spans


def test_data_cannot_steer_the_terminal(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  ids = families.text_ids(chat, "a\x1b[2Jb\r\x07\n\x7f\x9b")
  row = {
    "tokens": np.asarray(ids),
    "segment_ids": np.ones(len(ids), int),
    "target_positions": np.zeros(1, int),
    "target_weights": np.zeros(1),
  }
  assert show.sequence_text(row, 1, chat).plain == "a␛[2Jb␍␇\n␡\ufffd"


def test_markup_in_the_data_is_not_rich_markup(chat_tokenizers):
  chat = chat_tokenizers["mistral"]
  data = _data(chat, "mistral")
  # Not even in what the example is called.
  data._sequences = tuple(
    dataclasses.replace(sequence, example_id="[/x]\x1b[red]")
    for sequence in data._sequences
  )
  out = io.StringIO()
  show.show(rich.console.Console(file=out, width=200), data, chat, count=1)
  assert "[INST]" in out.getvalue()
  assert "[/x]␛[red]" in out.getvalue()
