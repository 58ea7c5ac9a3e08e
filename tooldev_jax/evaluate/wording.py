"""How figures and foreign text are written in reports."""

import math
import unicodedata

from tooldev_jax.evaluate.intervals import Figure

NONE = "–"


def percent(value: float | None) -> str:
  """A share as a percentage with one decimal: 0.4213 is "42.1 %"."""
  return NONE if value is None else f"{100 * value:.1f} %"


def figure(found: Figure | None) -> str:
  """A share with its interval: "42.1 % (38.0–46.3)"."""
  if found is None:
    return NONE
  return f"{percent(found.value)} {interval(found)}"


def interval(found: Figure) -> str:
  """The interval of a share, in percent: "(38.0–46.3)"."""
  return f"({100 * found.low:.1f}–{100 * found.high:.1f})"


def points(found: Figure | None) -> str:
  """A difference of shares in percentage points: "+3.1 (−0.4 to +6.6)"."""
  if found is None:
    return NONE
  low, high = _signed(found.low), _signed(found.high)
  return f"{_signed(found.value)} ({low} to {high})"


def _signed(value: float) -> str:
  text = f"{100 * value:+.1f}"
  return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def p_value(value: float) -> str:
  """A p-value without false precision."""
  return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def count(value: int) -> str:
  """A whole number with thin groups: 12345 is "12,345"."""
  return f"{value:,}"


def number(value: float) -> str:
  """A figure of unknown size with three significant digits."""
  if math.isfinite(value) and float(value).is_integer() and abs(value) < 1e9:
    return count(int(value))
  return f"{value:.3g}"


def duration(seconds: float) -> str:
  """Wall time: "8.2 s", "3 min 20 s", "2 h 05 min"."""
  if round(seconds, 1) < 60:
    return f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  if minutes < 60:
    return f"{minutes} min {rest:02d} s"
  return f"{minutes // 60} h {minutes % 60:02d} min"


def spaced(name: str) -> str:
  """An identifier as words."""
  return name.replace("_", " ")


def visible(text: str) -> str:
  """Text from a model or a user with nothing in it that a page or a terminal
  would obey: control and direction characters become visible codes.

  Line ends and tabs stay.
  """
  return "".join(c if _is_plain(c) else f"⟨{ord(c):04X}⟩" for c in text)


def _is_plain(character: str) -> bool:
  if character in "\n\t":
    return True
  if ord(character) & 0xFFFE == 0xFFFE:
    return False  # No character at all; XML refuses it.
  # Cc control, Cf format (bidirectional overrides, zero width), Cs surrogate,
  # Zl and Zp line and paragraph separators.
  return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def shorten(text: str, limit: int) -> str:
  """At most `limit` characters, with a note of how many were left out."""
  if len(text) <= limit:
    return text
  return f"{text[:limit]} … [{count(len(text) - limit)} more characters]"
