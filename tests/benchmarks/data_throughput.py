"""Tokens a second from examples to packed batches.

    python -m tests.benchmarks.data_throughput [--out=file.json] [--repeat=5]

The 400-sample file repeated: each round of the file is viewed with another
seed, encoded through the chat template with its tools, and packed into rows of
4,096. The tokenizer is a byte-level BPE of 8,192 entries trained on the file,
with a template of Qwen 2.5's shape. Wall and CPU time are both given; on a
machine that is busy with something else only the latter says anything. The
goal is 200,000 tokens a second on two cores.
"""

import argparse
import json
import pathlib
import tempfile
import time

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

from tests.benchmarks import data_machine
from tooldev_jax.config import ViewConfig
from tooldev_jax.data import (
  encoding,
  loader,
  prepare,
  sources,
  tokenizer,
  views,
)

_TEMPLATE = (
  pathlib.Path(__file__).parents[1] / "data" / "templates" / "qwen25.jinja"
)
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _chat_tokenizer(examples) -> tokenizer.ChatTokenizer:
  """A fast tokenizer of real size, saved and loaded as users' are."""
  bpe = tokenizers.Tokenizer(models.BPE())
  bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  bpe.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=8192,
    special_tokens=_SPECIAL,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  bpe.train_from_iterator(
    (json.dumps(example.to_json()) for example in examples), trainer
  )
  bpe.add_tokens(["<tool_call>", "</tool_call>"])
  fast = transformers.PreTrainedTokenizerFast(
    tokenizer_object=bpe,
    eos_token="<|im_end|>",
    pad_token="<|endoftext|>",
    chat_template=_TEMPLATE.read_text(),
  )
  with tempfile.TemporaryDirectory() as folder:
    fast.save_pretrained(folder)
    return tokenizer.ChatTokenizer.load(folder)


def measure(data: pathlib.Path, repeat: int) -> dict:
  """Seconds and tokens for `repeat` rounds of the file."""
  path = data / "calls/toolace_xlam_hammer_400.jsonl.gz"
  examples = sources.read_examples(path, "toolrl").examples
  chat = _chat_tokenizer(examples)
  results = {}
  for call_format in ("pythonic", "hermes"):
    encoder = encoding.Encoder(chat, call_format)
    options = ViewConfig(call_format=call_format)
    prepare.prepare(examples[:64], encoder)  # threads and template are warm
    wall, cpu, found = time.perf_counter(), time.process_time(), []
    for seed in range(repeat):
      config = prepare.PrepareConfig(views.KINDS, seed, options)
      found.append(prepare.prepare(examples, encoder, config))
    together = prepare.merge(found)
    packed = loader.TrainData(
      together, loader.LoaderConfig(row_length=4096), chat.pad_id
    )
    for _ in packed.iterate():
      pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    tokens = packed.report.tokens
    results[call_format] = {
      "tokens": tokens,
      "sequences": packed.report.examples,
      "wall_seconds": wall,
      "cpu_seconds": cpu,
      "tokens_per_second": tokens / wall,
      "tokens_per_cpu_second": tokens / cpu,
      "padding_share": packed.report.padding_share,
      "trained_share": packed.report.trained_share,
      "dropped": dict(together.dropped),
    }
  return results


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--data", type=pathlib.Path, default=data_machine.DATA)
  parser.add_argument("--repeat", type=int, default=5)
  parser.add_argument("--out", type=pathlib.Path)
  args = parser.parse_args()
  data_machine.write(measure(args.data, args.repeat), args.out)


if __name__ == "__main__":
  main()
