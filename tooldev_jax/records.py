"""Frozen dataclasses to JSON and back without loss.

Configs, states and scores are trees of frozen dataclasses, tuples, mappings
with string keys and plain JSON values. One pair of functions turns such a
tree into JSON values and back by its type annotations, so a record has its
shape written down once.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tooldev_jax import errors

T = TypeVar("T")


class MismatchError(errors.UserError):
  """A JSON value that is not the record it should be.

  Attributes:
    problems: one sentence each, with the path of the value.
  """

  def __init__(self, *problems: str):
    super().__init__("\n".join(problems))
    self.problems = problems


def to_json(value: Any) -> Any:
  """The JSON value of a record: dataclasses become objects, tuples lists."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {
      field.name: to_json(getattr(value, field.name))
      for field in dataclasses.fields(value)
    }
  if isinstance(value, Mapping):
    return {str(k): to_json(v) for k, v in value.items()}
  if isinstance(value, (tuple, list)):
    return [to_json(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    raise MismatchError(
      f"{value} has no place in a record: JSON cannot hold it"
    )
  return value


def from_json(kind: type[T], value: Any, where: str = "") -> T:
  """Rebuilds the record that `to_json` wrote.

  Args:
    kind: the record's dataclass.
    value: its JSON value.
    where: path of the value, for messages.

  Raises:
    MismatchError: fields are missing, unknown or of another type; the message
      names the path of each, what was found and what is allowed.
  """
  found: T = _read(kind, value, where or kind.__name__)
  return found


def _read(kind: Any, value: Any, where: str) -> Any:
  origin = typing.get_origin(kind)
  arguments = typing.get_args(kind)
  if kind is Any:
    return value
  if origin in (typing.Union, types.UnionType):
    return _read_union(arguments, value, where)
  if origin is tuple:
    return _read_tuple(arguments, value, where)
  if origin is not None and issubclass(origin, Mapping):
    _require(isinstance(value, dict), where, value, "an object")
    items = {k: (arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    return _read_all(items)
  if dataclasses.is_dataclass(kind):
    return _read_dataclass(kind, value, where)
  if kind is float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    _require(number, where, value, "a number")
    return float(value)
  exact = isinstance(value, kind) and (kind is bool or type(value) is not bool)
  _require(exact, where, value, kind.__name__)
  return value


def _read_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
  """Reads `X | None`, the one union records use."""
  if value is None and type(None) in options:
    return None
  (kind,) = (option for option in options if option is not type(None))
  return _read(kind, value, where)


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
  """Reads `tuple[X, ...]`, or a tuple with a type for each entry."""
  _require(isinstance(value, list), where, value, "a list")
  if kinds[-1] is Ellipsis:
    kinds = kinds[:1] * len(value)
  if len(value) != len(kinds):
    raise MismatchError(
      f"{where}: found {len(value)} entries, allowed: {len(kinds)}"
    )
  items = {
    i: (kind, item, f"{where}[{i}]")
    for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
  }
  return tuple(_read_all(items).values())


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
  _require(
    isinstance(value, dict), where, value, f"an object ({kind.__name__})"
  )
  hints = typing.get_type_hints(kind)
  names = [field.name for field in dataclasses.fields(kind)]
  problems = [
    f"{where}: unknown field {name!r}{_nearest(name, names)}; allowed:"
    f" {', '.join(names)}"
    for name in value
    if name not in names
  ]
  problems += [
    f"{where}: field {field.name!r} is missing"
    for field in dataclasses.fields(kind)
    if field.name not in value
    and field.default is dataclasses.MISSING
    and field.default_factory is dataclasses.MISSING
  ]
  items = {
    name: (hints[name], value[name], f"{where}.{name}")
    for name in names
    if name in value
  }
  return kind(**_read_all(items, problems))


def _read_all(
  items: Mapping[Any, tuple[Any, Any, str]], problems: Sequence[str] = ()
) -> dict[Any, Any]:
  """Reads every (kind, value, where), and raises all problems together."""
  found, problems = {}, list(problems)
  for key, (kind, value, where) in items.items():
    try:
      found[key] = _read(kind, value, where)
    except MismatchError as e:
      problems += e.problems
  if problems:
    raise MismatchError(*problems)
  return found


def _nearest(name: str, names: Sequence[str]) -> str:
  """A question about the nearest name; "" if none is near."""
  near = difflib.get_close_matches(name, names, n=1)
  return f" (did you mean {near[0]!r}?)" if near else ""


def _require(holds: bool, where: str, value: Any, allowed: str) -> None:
  if not holds:
    found = type(value).__name__
    raise MismatchError(f"{where}: found {found}, allowed: {allowed}")
