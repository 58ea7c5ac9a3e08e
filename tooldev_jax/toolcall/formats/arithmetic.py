"""Arithmetic on plain numbers, bounded: what models write for a value.

BFCL's decoder computes `2 * 3.5` where a value should stand, with Python's
`eval`. Here operands are numbers, the operators are listed, and results have a
bound; nothing is evaluated.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

MAX_BITS = 3300  # of an integer; a number of 1,000 digits has 3,322
MAX_POWER = 64

# Operator: how closely it binds, and what it computes.
OPERATORS: Mapping[str, tuple[int, Callable[[Any, Any], Any]]] = {
  "+": (1, operator.add),
  "-": (1, operator.sub),
  "*": (2, operator.mul),
  "/": (2, operator.truediv),
  "//": (2, operator.floordiv),
  "%": (2, operator.mod),
  "**": (4, operator.pow),
}
SIGN_BINDS = 3  # -2**2 is -4, and - 2*2 is (-2)*2.


def compute(sign: str, left: int | float, right: int | float) -> int | float:
  """`left sign right`.

  Raises:
    ValueError: an operand or the result is beyond a bound, or no real number.
    ArithmeticError: as Python's, on division by zero and overflow.
  """
  if sign == "**" and abs(right) > MAX_POWER:
    raise ValueError(f"power {right} is over {MAX_POWER}")
  result = OPERATORS[sign][1](left, right)
  if isinstance(result, int):
    if result.bit_length() > MAX_BITS:
      raise ValueError("the result is out of bounds")
  elif isinstance(result, complex) or not math.isfinite(result):
    raise ValueError("the result is no real number")
  return result
