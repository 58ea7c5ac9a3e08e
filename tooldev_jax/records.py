"""Frozen dataclasses to JSON and back without loss.

Configs, states and scores are trees of frozen dataclasses, tuples, mappings
with string keys and plain JSON values. One pair of functions turns such a
tree into JSON values and back by its type annotations, so a record has its
shape written down once.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tooldev_jax import errors

T = TypeVar("T")


class RecordError(errors.UserError):
  """A JSON value that is not the record it should be."""


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
    raise RecordError(f"{value} has no place in a record: JSON cannot hold it")
  return value


def from_json(kind: type[T], value: Any, where: str = "") -> T:
  """Rebuilds the record that `to_json` wrote.

  Args:
    kind: the record's dataclass.
    value: its JSON value.
    where: path of the value, for messages.

  Raises:
    RecordError: a field is missing, unknown or of another type; the message
      names its path, what was found and what is allowed.
  """
  return _read(kind, value, where or kind.__name__)


def _read(kind: Any, value: Any, where: str) -> Any:
  origin = typing.get_origin(kind)
  arguments = typing.get_args(kind)
  if kind is Any:
    return value
  if origin in (typing.Union, types.UnionType):
    return _read_union(arguments, value, where)
  if origin is tuple:
    _require(isinstance(value, list), where, value, "a list")
    return tuple(
      _read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)
    )
  if origin is not None and issubclass(origin, Mapping):
    _require(isinstance(value, dict), where, value, "an object")
    return {k: _read(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
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


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
  _require(
    isinstance(value, dict), where, value, f"an object ({kind.__name__})"
  )
  hints = typing.get_type_hints(kind)
  fields = {field.name: field for field in dataclasses.fields(kind)}
  unknown = sorted(set(value) - set(fields))
  if unknown:
    raise RecordError(
      f"{where}: unknown field {unknown[0]!r}; allowed: {sorted(fields)}"
    )
  found = {}
  for name, field in fields.items():
    if name in value:
      found[name] = _read(hints[name], value[name], f"{where}.{name}")
    elif (
      field.default is dataclasses.MISSING
      and field.default_factory is dataclasses.MISSING
    ):
      raise RecordError(f"{where}: field {name!r} is missing")
  return kind(**found)


def _require(holds: bool, where: str, value: Any, allowed: str) -> None:
  if not holds:
    found = type(value).__name__
    raise RecordError(f"{where}: found {found}, allowed: {allowed}")
