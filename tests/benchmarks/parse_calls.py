"""How fast calls are written, read, compared and checked, in one run.

    python -m tests.benchmarks.parse_calls [--out=file.json]

Microseconds of CPU a turn, on turns like those of a training set: two calls,
five arguments. The ratio is to what `json` takes to read the same calls, the
least that any reader in Python costs.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Callable

from tests.benchmarks import data_machine
from tests.toolcall.fuzz_parsers import slowest
from tests.toolcall.hostile_texts import hostile_texts
from tooldev_jax.toolcall.canonical import canonical_key
from tooldev_jax.toolcall.checks import check_call, check_grounded
from tooldev_jax.toolcall.formats import CALL_FORMATS
from tooldev_jax.toolcall.vocabulary import Call, Tool

_QUERY = "Book a room for 2 in Nice from 1 May 2025, up to 99.50, with a crib."
_CALLS = (
  Call(
    "hotel.book",
    {
      "city": "Nice",
      "guests": 2,
      "extras": ["crib"],
      "stay": {"from": "2025-05-01", "budget": 99.5},
    },
  ),
  Call("get_weather", {"city": "Nice"}),
)
_CITY = {"type": "string", "description": "Where."}
_TOOLS = (
  Tool(
    "hotel.book",
    "Books a room.",
    {
      "type": "dict",
      "properties": {
        "city": _CITY,
        "guests": {"type": "integer", "minimum": 1, "default": 2},
        "extras": {"type": "array", "items": {"type": "string"}},
        "stay": {
          "type": "dict",
          "properties": {
            "from": {"type": "string", "format": "date"},
            "budget": {"type": "float"},
          },
        },
      },
      "required": ["city"],
    },
  ),
  Tool(
    "get_weather", "Tells.", {"type": "dict", "properties": {"city": _CITY}}
  ),
)
_TURNS = 1000


def microseconds(work: Callable[[], object]) -> float:
  """CPU of one call, the least of five loops."""
  loops = []
  for _ in range(5):
    start = time.process_time()
    for _ in range(_TURNS):
      work()
    loops.append((time.process_time() - start) / _TURNS)
  return round(1e6 * min(loops), 1)


def measure() -> dict:
  text = json.dumps([call.to_json() for call in _CALLS])
  floor = microseconds(lambda: json.loads(text))
  formats = {}
  for name, call_format in CALL_FORMATS.items():
    rendered = call_format.render(_CALLS)
    parse = microseconds(lambda f=call_format, r=rendered: f.parse(r))
    render = microseconds(lambda f=call_format: f.render(_CALLS))
    seconds, worst = slowest(call_format, hostile_texts(64 * 1024))
    formats[name] = {
      "parse_us": parse,
      "parse_over_json": round(parse / floor, 1),
      "render_us": render,
      "slowest_64kb_ms": round(1000 * seconds, 1),
      "slowest_64kb": worst,
    }
  call = _CALLS[0]
  return {
    "json_loads_us": floor,
    "formats": formats,
    "canonical_key_us": microseconds(lambda: canonical_key(_CALLS, _TOOLS)),
    "check_call_us": microseconds(lambda: check_call(call, _TOOLS)),
    "check_grounded_us": microseconds(
      lambda: check_grounded(call, _TOOLS[0], _QUERY)
    ),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--out", type=pathlib.Path)
  data_machine.write(measure(), parser.parse_args().out)


if __name__ == "__main__":
  main()
