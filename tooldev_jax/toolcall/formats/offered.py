"""The names of the tools that a turn may call, ready for readers."""

import dataclasses
import functools
import re
from collections.abc import Collection, Mapping

# A name outside of this pattern needs quotes, or a reader that knows it.
_PLAIN = re.compile(r"[^\s()\[\]{}=,'\"\\]+(?: [^\s()\[\]{}=,'\"\\]+)*")
_MAX_PLAIN = 256


@dataclasses.dataclass(frozen=True)
class Offered:
  """The offered tools.

  Attributes:
    names: all of them.
    literal: the source of a pattern for the names that hold brackets, quotes,
      commas or the like, the longest first; empty without any.
    by_literal: those names, by what the pattern finds.
  """

  names: frozenset[str]
  literal: str
  by_literal: Mapping[str, str]

  @functools.cached_property
  def pattern(self) -> re.Pattern[str]:
    """`literal`, compiled."""
    return re.compile(self.literal)


def offered_tools(names: Collection[str]) -> Offered:
  """The tools of these names; the result is kept for the next turn."""
  return _offered_tools(tuple(names))


@functools.lru_cache(maxsize=1024)
def _offered_tools(names: tuple[str, ...]) -> Offered:
  special = {
    name.strip(): name
    for name in names
    if name.strip() and (len(name) > _MAX_PLAIN or not _PLAIN.fullmatch(name))
  }
  longest_first = sorted(special, key=lambda name: (-len(name), name))
  literal = "|".join(map(re.escape, longest_first))
  return Offered(frozenset(names), literal and f"(?:{literal})", special)
