"""Validation by `jsonschema-rs`, with bounds for untrusted schemas and values.

The library is set up to fetch nothing. It matches patterns in linear time or
with a bound on backtracking, counts multiples in decimals, and stops at a
reference to itself. Three things are added:

- `count_steps` bounds the work before any is done. Definitions that double at
  each level would otherwise take exponential time: 2^23 evaluations are 0.4 s,
  and listing the errors of 2^15 took 22 s.
- 3.0 is not an `integer`, as in BFCL's checker.
- Times without a zone, and a space between date and time, are accepted.
"""

import datetime
import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from tooldev_jax.toolcall import schemas
from tooldev_jax.toolcall.dialects import INTEGER
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.patterns import PATTERN_OPTIONS
from tooldev_jax.toolcall.schemas import Schema

MAX_STEPS = 20_000  # of one check, or of several together: about 1 s at worst
MAX_ERRORS = 100  # listed for one value
_MAX_DEPTH = 300  # of references and keywords inside one another
_CHARS_PER_STEP = 64  # of a text that a pattern searches

ValidationError = jsonschema_rs.ValidationError

_SAME_VALUE = ("not", "if", "then", "else")
_SAME_VALUE_LISTED = ("allOf", "anyOf", "oneOf")


class GivenUp(Exception):
  """A check that was not made because it would go over a bound."""


class Steps:
  """How many steps are left, for one check or several."""

  def __init__(self, left: int = MAX_STEPS):
    self.left = left


class Validator:
  """A compiled schema.

  Attributes:
    schema: as given, of `dialects.checkable`, and valid itself.
  """

  def __init__(self, schema: Schema):
    """Compiles `schema`.

    Raises:
      ValueError: the library refuses it; the message says why.
    """
    self.schema = schema
    self._whole = jsonschema_rs.Draft202012Validator(
      _storable(schema), **_OPTIONS
    )

  @functools.cached_property
  def _parts(self) -> jsonschema_rs.ValidatorMap:
    return jsonschema_rs.validator_map_for(_storable(self.schema), **_OPTIONS)

  def errors(
    self, value: Json, steps: Steps | None = None, where: str = ""
  ) -> tuple[ValidationError, ...]:
    """What is wrong with `value`, at most `MAX_ERRORS` errors.

    Args:
      value: any JSON value.
      steps: of several checks together; its own by default.
      where: JSON pointer of the subschema to check against; all by default.

    Raises:
      GivenUp: the check would go over a bound.
    """
    part = schemas.lookup(f"#{where}", self.schema)
    count_steps(part, value, self.schema, steps or Steps())
    compiled = self._parts[_storable(f"#{where}")] if where else self._whole
    value = _storable(value)
    if compiled.is_valid(value):
      return ()
    found = tuple(itertools.islice(compiled.iter_errors(value), MAX_ERRORS))
    for error in found:
      if isinstance(error.kind, _COSTLY):
        raise GivenUp(error.message[:200])
    return found


def schema_errors(schema: Json) -> tuple[ValidationError, ...]:
  """The meta-schema's errors about `schema`, at most one for each path."""
  schema = _storable(schema)
  if _META.is_valid(schema):
    return ()
  errors = itertools.islice(_META.iter_errors(schema), 100 * MAX_ERRORS)
  by_place = {tuple(error.instance_path): error for error in errors}
  return tuple(by_place.values())


def count_steps(schema: Json, value: Json, root: Schema, steps: Steps) -> None:
  """Subtracts from `steps` the cost of checking `value` against `schema`.

  Raises:
    GivenUp: there are not as many left.
  """
  steps.left -= _Count(root, steps.left).of(schema, value, 0)


class _Count:
  """Counts evaluations, each pair of a schema and a value once."""

  def __init__(self, root: Schema, limit: int):
    self._root = root
    self._limit = limit
    self._known: dict[tuple[int, int], int] = {}

  def of(self, schema: Json, value: Json, depth: int) -> int:
    if not isinstance(schema, Mapping):
      return 1
    key = (id(schema), id(value))
    if key in self._known:
      return self._known[key]
    if depth > _MAX_DEPTH:
      raise GivenUp("the schema unfolds too deeply")
    self._known[key] = 0  # A reference to itself ends here.
    total = 1
    if "pattern" in schema and isinstance(value, str):
      total += len(value) // _CHARS_PER_STEP
    for inner, item in self._inner(schema, value):
      total += self.of(inner, item, depth + 1)
      if total > self._limit or len(self._known) > self._limit:
        raise GivenUp(f"more than {self._limit} steps")
    self._known[key] = total
    return total

  def _inner(self, schema: Schema, value: Json) -> Iterator[tuple[Json, Json]]:
    """The subschemas that are evaluated, each with its value."""
    if isinstance(schema.get("$ref"), str):
      yield schemas.lookup(schema["$ref"], self._root), value
    for key in _SAME_VALUE_LISTED:
      for inner in schema.get(key, ()):
        yield inner, value
    for key in _SAME_VALUE:
      if key in schema:
        yield schema[key], value
    if isinstance(value, Mapping):
      yield from self._in_object(schema, value)
    elif isinstance(value, list):
      first = schema.get("prefixItems", ())
      yield from zip(first, value, strict=False)
      for key, items in (("items", value[len(first) :]), ("contains", value)):
        if key in schema:
          yield from ((schema[key], item) for item in items)

  def _in_object(
    self, schema: Schema, value: Mapping[str, Json]
  ) -> Iterator[tuple[Json, Json]]:
    described = schemas.properties(schema)
    for name, item in value.items():
      if name in described:
        yield described[name], item
      elif "additionalProperties" in schema:
        yield schema["additionalProperties"], item
      if "propertyNames" in schema:
        yield schema["propertyNames"], name
    for name, inner in schema.get("dependentSchemas", {}).items():
      if name in value:
        yield inner, value


def _storable(value: Json) -> Json:
  """`value` with "?" for lone surrogates, which UTF-8 cannot encode."""
  text = json.dumps(value, ensure_ascii=False)
  try:
    text.encode()
  except UnicodeEncodeError:
    return json.loads(text.encode("utf-8", "replace"))
  return value


class _WrittenAsInteger:
  """The keyword `INTEGER`, which stands beside `type`."""

  def __init__(self, parent: Any, value: Any, path: Any):
    pass

  def validate(self, instance: Json) -> None:
    if isinstance(instance, float):
      raise ValueError(f"{instance!r} is not written as an integer")


def _is_time(value: str) -> bool:
  try:
    datetime.time.fromisoformat(value)
  except ValueError:
    return False
  return re.match(r"\d\d:\d\d:\d\d", value, re.ASCII) is not None


def _is_date_time(value: str) -> bool:
  try:
    datetime.date.fromisoformat(value[:10])
  except ValueError:
    return False
  separated = value[10:11] in ("T", "t", " ") and value[4:5] == "-"
  return separated and _is_time(value[11:])


_COSTLY = (
  jsonschema_rs.ValidationErrorKind.BacktrackLimitExceeded,
  jsonschema_rs.ValidationErrorKind.RegexEngineFailure,
)
_OPTIONS: dict[str, Any] = {
  "formats": {"time": _is_time, "date-time": _is_date_time},
  "keywords": {INTEGER: _WrittenAsInteger},
  "offline": True,
  "pattern_options": PATTERN_OPTIONS,
  "validate_formats": True,
}
_META = jsonschema_rs.Draft202012Validator(
  {"$ref": "https://json-schema.org/draft/2020-12/schema"},
  validate_formats=False,
  offline=True,
)
