"""Broken and hostile turns, in every format."""

import contextlib
import os
import time

import pytest

from tests.toolcall.fuzz_parsers import fuzz
from tests.toolcall.hostile_texts import hostile_texts
from tooldev_jax.toolcall.formats import CALL_FORMATS, ParseError, get_format

FORMATS = sorted(CALL_FORMATS)
FUZZ_COUNT = int(os.environ.get("TOOLDEV_FUZZ_COUNT", "2000"))


@pytest.mark.parametrize("name", FORMATS)
def test_fuzzed_strings_end_in_turns_or_parse_errors(name):
  outcomes = fuzz(get_format(name), FUZZ_COUNT, seed=1)
  assert outcomes.total() == FUZZ_COUNT
  assert min(outcomes["calls"], outcomes["text"]) > 0


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_text_is_read_or_refused_quickly(name):
  slow = {
    label: seconds
    for label, text in hostile_texts(64 * 1024)
    for names in (None, ("f", "g(h)"), ("x",))
    if (seconds := cpu_seconds(get_format(name), text, names)) > 0.05
  }
  assert not slow


def cpu_seconds(call_format, text, names):
  """CPU time of a parse; measured again if something else seemed to run."""
  times = []
  while not times or (times[-1] > 0.05 and len(times) < 3):
    start = time.process_time()
    with contextlib.suppress(ParseError):
      call_format.parse(text, names)
    times.append(time.process_time() - start)
  return min(times)
