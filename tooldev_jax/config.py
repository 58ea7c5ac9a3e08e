"""From a ConfigDict to frozen dataclasses, checked once, at the edge.

A wrong field name, type or value is an error that names the field and what is
allowed, before anything is loaded. No other file knows ml_collections.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tooldev_jax.errors import UserError

T = TypeVar("T")


def build(cls: type[T], fields: Any, where: str = "config") -> T:
  """Makes a dataclass, and those inside it, from nested mappings.

  Args:
    cls: a frozen dataclass; its annotations say what is allowed.
    fields: a ConfigDict or a mapping; missing fields take their defaults.
    where: name of `fields`, for messages.

  Raises:
    UserError: names the field, what was found and what is allowed.
  """
  if hasattr(fields, "to_dict"):
    fields = fields.to_dict()
  if not isinstance(fields, Mapping):
    raise UserError(f"{where}: {fields!r} is not a group of fields")
  hints = typing.get_type_hints(cls)
  known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
  for name in fields:
    if name not in known:
      raise UserError(
        f"{where}.{name}: no such field; allowed: {', '.join(known)}"
      )
  values = {
    name: _convert(hints[name], fields[name], f"{where}.{name}")
    for name in known
    if name in fields
  }
  try:
    return cls(**values)
  except TypeError as e:
    missing = [name for name in known if name not in values]
    raise UserError(f"{where}: lacks one of {', '.join(missing)}") from e


def _convert(hint: Any, value: Any, where: str) -> Any:
  """`value` as the annotation `hint` wants it."""
  if dataclasses.is_dataclass(hint):
    return build(typing.cast(type, hint), value, where)
  origin, inner = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    if value is None and type(None) in inner:
      return None
    kept = [h for h in inner if h is not type(None)]
    return _convert(kept[0], value, where)
  if origin is tuple:
    if isinstance(value, str) or not isinstance(value, Sequence):
      raise UserError(f"{where}: {value!r} is not a list")
    if len(inner) == 2 and inner[1] is Ellipsis:
      kinds = [inner[0]] * len(value)
    else:
      kinds = list(inner)
    if len(kinds) != len(value):
      raise UserError(
        f"{where}: {len(value)} entries; {len(kinds)} are allowed"
      )
    return tuple(
      _convert(kind, x, f"{where}[{i}]")
      for i, (kind, x) in enumerate(zip(kinds, value, strict=True))
    )
  if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
    if not isinstance(value, Mapping):
      raise UserError(f"{where}: {value!r} is not a group of fields")
    return dict(value)
  return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
  if hint is Any:
    return value
  good = isinstance(value, hint)
  if hint is float:
    good = isinstance(value, int | float)
  if hint in (int, float) and isinstance(value, bool):
    good = False
  if not good:
    raise UserError(
      f"{where}: {value!r} is of type {type(value).__name__}; allowed:"
      f" {hint.__name__}"
    )
  return hint(value) if hint is float else value


def to_json(value: Any) -> Any:
  """Nested dataclasses as JSON: what manifests and comparisons use."""
  if dataclasses.is_dataclass(value):
    return {
      f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)
    }
  if isinstance(value, tuple | list):
    return [to_json(x) for x in value]
  if isinstance(value, Mapping):
    return {k: to_json(x) for k, x in value.items()}
  return value


def differences(old: Any, new: Any, where: str = "config") -> list[str]:
  """Where two JSON values differ, one line each."""
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    lines = []
    for key in sorted({*old, *new}):
      lines += differences(
        old.get(key, "(absent)"), new.get(key, "(absent)"), f"{where}.{key}"
      )
    return lines
  return [] if old == new else [f"{where}: was {old!r}, is now {new!r}"]
