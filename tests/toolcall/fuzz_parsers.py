"""Fuzzes every parser with mutated strings.

`python -m tests.toolcall.fuzz_parsers --count=100000` prints, for each format,
how the strings ended, and fails on the first error other than `ParseError`.
Then it prints the slowest of the hostile texts and of random mixtures of what
parsers look for, 64 KB each, in milliseconds of CPU.
The seed makes a run repeatable; `test_hostile_turns.py` is a shorter run.
"""

import argparse
import collections
import contextlib
import random
import time
from collections.abc import Iterable, Iterator

from tests.toolcall.hostile_texts import MARKS, hostile_texts
from tooldev_jax.toolcall.formats import (
  CALL_FORMATS,
  CallFormat,
  ParseError,
  RenderError,
)
from tooldev_jax.toolcall.vocabulary import Call

_CALLS = (
  (Call("get_weather", {"city": "Nice", "days": 3}),),
  (Call("f"), Call("g.h", {"a": [1, 2.5, None, True, {"b": "c"}]})),
  (Call("Get Fighter", {"first name": 'Al "B" \\ [x]\n', "class": -1e-7}),),
  (Call("odd (name)", {"a=b": {"c": [[], {}]}, "é": "\ud83d\U0001f600"}),),
)
_SIZE = 64 * 1024
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


def mixtures(count: int, size: int, seed: int) -> Iterator[tuple[str, str]]:
  """Yields (name, text): few different marks, in random order, many times."""
  rng = random.Random(f"mixtures {seed}")
  for index in range(count):
    marks = rng.sample(MARKS, rng.randint(2, 5))
    text = "".join(rng.choices(marks, k=size))
    yield f"mixture {index} of {marks}", text[:size]


def slowest(call_format: CallFormat, texts: Iterable[tuple[str, str]]):
  """The (CPU seconds, name) of the text that takes longest."""
  worst = (0.0, "")
  for name, text in texts:
    times = []
    for _ in range(2):  # The lesser of two: caches and neighbours disturb.
      start = time.process_time()
      with contextlib.suppress(ParseError):
        call_format.parse(text)
      times.append(time.process_time() - start)
    worst = max(worst, (min(times), name))
  return worst


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
    for texts in (
      hostile_texts(_SIZE),
      mixtures(options.count // 200, _SIZE, options.seed),
    ):
      seconds, name = slowest(call_format, texts)
      print(f"  {1000 * seconds:5.1f} ms at most: {name[:60]}")


if __name__ == "__main__":
  main()
