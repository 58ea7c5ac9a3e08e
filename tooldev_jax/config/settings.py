"""How a config declares its fields: one table for docs, checks and identity.

A config is a frozen dataclass that inherits from `Settings`. Each of its
fields is made by `setting` or, where the field is a config itself, by `group`:

    @dataclasses.dataclass(frozen=True)
    class LoraConfig(Settings):
      rank: int = setting(16, "inner size of the update", at_least=1)

A config checks itself when it is made, so a wrong one cannot exist.
"""

import contextlib
import contextvars
import dataclasses
import difflib
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ml_collections import ConfigDict, config_dict

from tooldev_jax import records
from tooldev_jax.errors import UserError

T = TypeVar("T")

_KEY = "setting"
_CHECKS = contextvars.ContextVar("checks", default=True)


@dataclasses.dataclass(frozen=True)
class Setting:
  """What is known of a field beside its type and default.

  Attributes:
    doc: what it means.
    at_least, above, at_most, below: bounds of a number, or of each number of a
      tuple.
    one_of: allowed texts, or those of each entry of a tuple.
    decides: the earliest part of a run whose files depend on it; "" takes that
      of the field that holds this config.
  """

  doc: str
  at_least: float | None = None
  above: float | None = None
  at_most: float | None = None
  below: float | None = None
  one_of: tuple[str, ...] = ()
  decides: str = ""

  @property
  def allowed(self) -> str:
    """What is allowed, in words; "" if all values of the type are."""
    if self.one_of:
      return f"one of {', '.join(self.one_of)}"
    bounds = [
      ("at least", self.at_least),
      ("above", self.above),
      ("at most", self.at_most),
      ("below", self.below),
    ]
    return ", ".join(f"{word} {x}" for word, x in bounds if x is not None)

  def allows(self, value: Any) -> bool:
    """Whether a value of the right type is within the bounds."""
    if isinstance(value, Sequence) and not isinstance(value, str):
      return all(self.allows(item) for item in value)
    if isinstance(value, str):
      return not self.one_of or value in self.one_of
    if isinstance(value, bool) or not isinstance(value, int | float):
      return True
    return (
      math.isfinite(value)
      and (self.at_least is None or value >= self.at_least)
      and (self.above is None or value > self.above)
      and (self.at_most is None or value <= self.at_most)
      and (self.below is None or value < self.below)
    )


class Field(NamedTuple):
  """A field of a tree of configs that is not a config itself.

  Attributes:
    path: as "lora.rank".
    kind: its type.
    default: its default.
    setting: what else is known of it; `decides` is filled in.
  """

  path: str
  kind: Any
  default: Any
  setting: Setting


def setting(default: T, doc: str, **known: Any) -> T:
  """A field with its default; `known` are attributes of `Setting`."""
  field: T = dataclasses.field(
    default=default, metadata={_KEY: Setting(doc, **known)}
  )
  return field


def group(kind: type[T], doc: str, decides: str = "") -> T:
  """A field that holds another config, with that config's defaults."""
  with unchecked():
    default = kind()
  return setting(default, doc, decides=decides)


class Settings:
  """Base of all configs; checks values and combinations when one is made."""

  def __post_init__(self) -> None:
    if not _CHECKS.get():
      return
    name = type(self).__name__.removesuffix("Config").lower()
    own = {f.name: getattr(self, f.name) for f in _fields(type(self))}
    problems = list(_wrong_values(type(self), own, name))
    problems += [f"{name}.{problem}" for problem in self.combinations()]
    if problems:
      raise UserError("\n".join(problems))

  def combinations(self) -> Iterator[str]:
    """Problems of fields that do not go together, named within this config."""
    yield from ()


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
  """Configs that are made within it do not check themselves."""
  token = _CHECKS.set(False)
  try:
    yield
  finally:
    _CHECKS.reset(token)


def fields_of(kind: type, path: str = "", decides: str = "") -> Iterator[Field]:
  """Every field of a tree of configs, in order.

  Args:
    kind: the config at the top.
    path: of the config.
    decides: of the field that holds it.
  """
  hints = typing.get_type_hints(kind)
  for field in _fields(kind):
    known: Setting = field.metadata[_KEY]
    known = dataclasses.replace(known, decides=known.decides or decides)
    where = f"{path}.{field.name}" if path else field.name
    hint = hints[field.name]
    if dataclasses.is_dataclass(hint):
      yield from fields_of(typing.cast(type, hint), where, known.decides)
    else:
      yield Field(where, hint, field.default, known)


def from_config_dict(
  kind: type[T], fields: ConfigDict, where: str = "config"
) -> T:
  """The frozen form of a ConfigDict, checked as a whole.

  Args:
    kind: the config's class.
    fields: its values.
    where: what messages call it.

  Raises:
    UserError: has a line for each problem: the field, what was found and what
      is allowed.
  """
  values = _plain(fields.to_dict())
  try:
    with unchecked():
      config = records.from_json(kind, values, where)
  except records.MismatchError as e:
    # The other values are still worth a look, but no combination is.
    raise UserError(
      "\n".join([str(e), *_wrong_values(kind, values, where)])
    ) from None
  problems = list(_wrong_values(kind, values, where))
  problems += _wrong_combinations(config, where)
  if problems:
    raise UserError("\n".join(problems))
  return config


def to_config_dict(kind: type) -> ConfigDict:
  """A ConfigDict with every field of a config and its default."""
  hints = typing.get_type_hints(kind)
  fields: dict[str, Any] = {}
  for field in _fields(kind):
    hint = hints[field.name]
    if dataclasses.is_dataclass(hint):
      fields[field.name] = to_config_dict(typing.cast(type, hint))
    elif field.default is None:
      (inner,) = (x for x in typing.get_args(hint) if x is not type(None))
      # None, and yet of a type, so that a flag can set it.
      fields[field.name] = config_dict.placeholder(inner)
    else:
      fields[field.name] = field.default
  return ConfigDict(fields)


def described(kind: type, fields: Mapping[str, Any]) -> str:
  """Every field of a config with its value, type, default and meaning.

  Args:
    kind: the config's class.
    fields: its values, as a ConfigDict or its mapping.
  """
  lines = []
  for field in fields_of(kind):
    value: Any = fields
    for part in field.path.split("."):
      value = value[part]
    plain = isinstance(field.kind, type) and not typing.get_args(field.kind)
    type_name = field.kind.__name__ if plain else str(field.kind)
    allowed = field.setting.allowed and f" ({field.setting.allowed})"
    lines += [
      f"{field.path} = {value!r}  [{type_name}, default {field.default!r}]",
      f"    {field.setting.doc}{allowed}",
    ]
  return "\n".join(lines)


def nearest_field(kind: type, path: str) -> str:
  """The path of the field whose path, or else name, is most like `path`; ""
  if none is like it."""
  paths = [field.path for field in fields_of(kind)]
  by_name = {x.rpartition(".")[2]: x for x in reversed(paths)}
  found = difflib.get_close_matches(path, paths, n=1)
  name = path.rpartition(".")[2]
  named = difflib.get_close_matches(name, by_name, n=1)
  return found[0] if found else by_name[named[0]] if named else ""


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


def _fields(kind: Any) -> tuple[dataclasses.Field, ...]:
  return dataclasses.fields(kind)


def _wrong_values(
  kind: Any, values: Mapping[str, Any], where: str
) -> Iterator[str]:
  """Every value out of its bounds, in mappings below as well.

  Values of a wrong type are passed over.
  """
  hints = typing.get_type_hints(kind)
  for field in _fields(kind):
    value, path = values.get(field.name), f"{where}.{field.name}"
    known: Setting | None = field.metadata.get(_KEY)
    if isinstance(value, Mapping):
      if dataclasses.is_dataclass(hints[field.name]):
        yield from _wrong_values(hints[field.name], value, path)
    elif known is not None and not known.allows(value):
      yield f"{path}: {value!r}; allowed: {known.allowed or 'finite numbers'}"


def _wrong_combinations(config: Any, where: str) -> Iterator[str]:
  """Every problem of fields that do not go together, of a whole tree."""
  for field in _fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      yield from _wrong_combinations(value, f"{where}.{field.name}")
  if isinstance(config, Settings):
    for problem in config.combinations():
      yield f"{where}.{problem}"


def _plain(value: Any) -> Any:
  """Tuples become lists, as in JSON."""
  if isinstance(value, Mapping):
    return {k: _plain(v) for k, v in value.items()}
  if isinstance(value, Sequence) and not isinstance(value, str):
    return [_plain(x) for x in value]
  return value
