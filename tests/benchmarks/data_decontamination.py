"""What SGD shares with BFCL Live.

    python -m tests.benchmarks.data_decontamination [--out=file.json]

The design notes give 828 of 2,251 Live entries with an SGD tool name and 144
with an exact SGD utterance. The first is found exactly. The second depends on
what "exact" takes away, so every reading is counted: characters as they are,
blanks and case aside, and punctuation aside too (ours), of queries of any
length and of those with four words or more. ("thanks" is no evidence.)
"""

import argparse
import pathlib

from tests.benchmarks import data_machine
from tooldev_jax.config import EXACT_QUERY, REASONS, DecontaminateConfig
from tooldev_jax.data import decontaminate, sources

_SPLITS = ("train", "dev", "test")


def measure(data: pathlib.Path) -> dict:
  """Counts for the whole of SGD."""
  evaluation = [
    example
    for path in sorted(data.glob("bfcl/BFCL_v4_live_*.json"))
    for example in sources.read_examples(path, "bfcl").examples
  ]
  training = [
    example
    for split in _SPLITS
    for example in sources.read_examples(
      data / f"calls/sgd_{split}.jsonl.gz", "sgd"
    ).examples
  ]
  strict = DecontaminateConfig(reasons=REASONS)
  sets = {"sgd": training}
  clean = decontaminate.decontaminate
  report = clean(sets, evaluation, strict)["sgd"].report()
  any_length = DecontaminateConfig(min_words=1)
  every = clean(sets, evaluation, any_length)["sgd"]
  said = {m.content for e in training for m in e.messages if m.role == "user"}
  folded = {text.strip().lower() for text in said}

  def entries(known, change):
    return sum(
      any(change(m.content) in known for m in e.messages if m.role == "user")
      for e in evaluation
    )

  return {
    "report": report,
    "exact_queries": {
      "characters": entries(said, str),
      "case and blanks aside": entries(folded, lambda t: t.strip().lower()),
      "punctuation aside": every.evaluation_hit[EXACT_QUERY],
      "punctuation aside, four words": report["evaluation_entries_hit"][
        EXACT_QUERY
      ],
    },
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--data", type=pathlib.Path, default=data_machine.DATA)
  parser.add_argument("--out", type=pathlib.Path)
  args = parser.parse_args()
  data_machine.write(measure(args.data), args.out)


if __name__ == "__main__":
  main()
