"""JSON files that others wrote, read and checked; faults come all at once."""

import json
from typing import Any

from etils import epath

from tooldev_jax import io
from tooldev_jax.errors import UserError

# No size in a model is larger; beyond it arithmetic itself would fail.
_LARGEST = 1 << 31


def read_object(path: epath.Path, lacking: str = "no such file") -> dict:
  """The JSON object in a file.

  Args:
    path: the file.
    lacking: what to say where there is no such file.

  Raises:
    UserError: it cannot be read, or is not a JSON object.
  """
  try:
    fields = io.read_json(path)
    # Python reads NaN and Infinity; nobody else would read them back.
    json.dumps(fields, allow_nan=False)
  except FileNotFoundError as e:
    raise UserError(f"{path}: {lacking}.") from e
  except OSError as e:
    raise UserError(f"{path}: cannot be read ({e}).") from e
  except (ValueError, RecursionError) as e:
    raise UserError(f"{path}: not JSON ({e}).") from e
  return as_object(fields, path)


def as_object(fields: Any, where: Any) -> dict:
  """`fields`, which must be a JSON object; raises UserError if not."""
  if not isinstance(fields, dict):
    raise UserError(f"{where}: an object is needed, not {fields!r:.40}.")
  return fields


class Problems:
  """Collects what is wrong with one file, to tell all of it in one message.

  Attributes:
    found: one sentence a problem, without the file's name.
  """

  def __init__(self, where: Any):
    self.where = where
    self.found: list[str] = []

  def add(self, problem: str) -> None:
    """Notes a problem, once."""
    if problem not in self.found:
      self.found.append(problem)

  def number(self, field: str, value: Any, whole: bool = False) -> Any:
    """`value` if it is a number above 0, else None and a problem."""
    kinds = int if whole else (int, float)
    # A bool is an int, and NaN is neither above 0 nor below.
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if good and 0 < value < (_LARGEST if whole else 1e30):
      return value
    self.add(
      f"{field}={value!r:.60}; a positive {'whole ' if whole else ''}number "
      "is needed"
    )
    return None

  def flag(self, field: str, value: Any) -> bool:
    """`value` if it is true or false, else False and a problem."""
    if isinstance(value, bool):
      return value
    self.add(f"{field}={value!r:.60}; true or false is needed")
    return False

  def finish(self) -> None:
    """Raises UserError if anything was found."""
    if len(self.found) == 1:
      raise UserError(f"{self.where}: {self.found[0]}.")
    if self.found:
      lines = "".join(f"\n  - {problem}." for problem in self.found)
      raise UserError(
        f"{self.where}: {len(self.found)} things are not supported:{lines}"
      )
