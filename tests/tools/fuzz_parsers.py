"""Fuzzes every parser with mutated strings.

`python -m tests.tools.fuzz_parsers --count=100000` prints, for each format,
how the strings ended, and fails on the first error other than `ParseError`.
The seed makes a run repeatable; CI runs a shorter one (`test_formats.py`).
"""

import argparse
import collections
import random
import time

from tests.tools.hostile_texts import MARKS
from tooldev_jax.tools.formats import (
  CALL_FORMATS,
  CallFormat,
  ParseError,
  RenderError,
)
from tooldev_jax.tools.vocabulary import Call

_CALLS = (
  (Call("get_weather", {"city": "Nice", "days": 3}),),
  (Call("f"), Call("g.h", {"a": [1, 2.5, None, True, {"b": "c"}]})),
  (Call("Get Fighter", {"first name": 'Al "B" \\ [x]\n', "class": -1e-7}),),
  (Call("odd (name)", {"a=b": {"c": [[], {}]}, "é": "\ud83d\U0001f600"}),),
)
_TEXTS = ("", "Sure:", "<think>hm</think>", "See [1] (p. 4).\nThen:")


def mutants(call_format: CallFormat, count: int, seed: int):
  """Yields `count` strings: rendered turns, broken in one to eight places."""
  rng = random.Random(f"{call_format.name} {seed}")
  whole = [
    call_format.render(calls, text) for calls in _CALLS for text in _TEXTS
  ]
  for _ in range(count):
    text = rng.choice(whole)
    for _ in range(rng.randint(1, 8)):
      start = rng.randint(0, len(text))
      end = min(len(text), start + rng.choice((0, 0, 1, 1, 2, 9)))
      piece = rng.choice(
        (
          "",
          rng.choice(MARKS),
          chr(rng.randrange(0x110000)),
          chr(rng.randrange(32, 127)),
          text[rng.randint(0, len(text)) :][: rng.randint(0, 30)],
        )
      )
      text = text[:start] + piece + text[end:]
    yield text


def fuzz(call_format: CallFormat, count: int, seed: int) -> collections.Counter:
  """Counts how the strings ended; what was read must also be written back."""
  outcomes: collections.Counter[str] = collections.Counter()
  for text in mutants(call_format, count, seed):
    try:
      turn = call_format.parse(text)
    except ParseError as error:
      assert 0 <= error.position <= len(text)
      outcomes[str(error.reason)] += 1
      continue
    except Exception as error:
      raise AssertionError(f"{call_format.name} on {text!r}") from error
    outcomes["calls" if turn.calls else "text"] += 1
    if turn.calls:
      try:
        assert call_format.parse(call_format.render(turn.calls)) == (
          type(turn)("", turn.calls)
        )
      except RenderError as error:
        raise AssertionError(f"{call_format.name} on {text!r}") from error
  return outcomes


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--count", type=int, default=100_000)
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args()
  for call_format in CALL_FORMATS.values():
    start = time.process_time()
    outcomes = fuzz(call_format, options.count, options.seed)
    seconds = time.process_time() - start
    print(f"{call_format.name}: {options.count} strings, {seconds:.0f} s")
    for outcome, number in outcomes.most_common():
      print(f"  {number:7d} {outcome}")


if __name__ == "__main__":
  main()
