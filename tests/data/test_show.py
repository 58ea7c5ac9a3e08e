import io
import re

import rich.console

from tests.data.test_encoding import _EXAMPLE, _TALK
from tooldev_jax.data import encoding, loader, prepare, show


def _data(chat, call_format="hermes"):
  encoder = encoding.Encoder(chat, call_format)
  found = prepare.prepare([_EXAMPLE, _TALK], encoder)
  config = loader.LoaderConfig(row_length=1024)
  return loader.TrainData.build(found, config, chat.pad_id)


def _first_row(data):
  return {key: x[0, 0] for key, x in data.batch(0).items()}


def test_trained_text_is_coloured_and_nothing_else(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  data = _data(chat)
  row = _first_row(data)
  for segment, stream in enumerate(data.streams_of(0)[0], start=1):
    text = show.stream_text(row, segment, chat)
    assert text.plain == chat.decode_exact(stream.tokens.tolist())
    green = "".join(
      text.plain[span.start : span.end]
      for span in text.spans
      if "green" in str(span.style)
    )
    expected = stream.tokens[stream.trained].tolist()
    assert green == chat.decode_exact(expected)


def test_control_tokens_stand_out(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  text = show.stream_text(_first_row(_data(chat)), 1, chat)
  marked = {
    text.plain[span.start : span.end]
    for span in text.spans
    if "magenta" in str(span.style) or "on green" in str(span.style)
  }
  assert "<|im_start|>" in marked and "<|im_end|>" in marked


def test_counts_and_borders_are_printed(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  data = _data(chat)
  out = io.StringIO()
  console = rich.console.Console(file=out, width=200)
  show.show(console, data, chat, count=3)
  printed = out.getvalue()
  assert len(re.findall(r"segment \d+: ", printed)) == 3
  stream = data.streams_of(0)[0][0]
  assert f"{len(stream.tokens)} tokens, {stream.num_trained} trained" in printed
  assert f"{data.report.examples} streams" in printed
  assert f"padding {data.report.padding_share:.1%}" in printed


def test_markup_in_the_data_is_not_rich_markup(chat_tokenizers):
  chat = chat_tokenizers["mistral"]
  data = _data(chat, "mistral")
  out = io.StringIO()
  show.show(rich.console.Console(file=out, width=200), data, chat, count=1)
  assert "[INST]" in out.getvalue()
