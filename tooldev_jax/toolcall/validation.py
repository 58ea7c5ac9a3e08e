"""`jsonschema`, made safe for schemas and values from strangers.

The library judges by JSON Schema 2020-12. Changed are what a stranger could
turn against us, and one type:

- references are local, nothing is fetched;
- `pattern` is matched by `tools.patterns`, never by `re`;
- `multipleOf` counts in decimals, so 19.99 is a multiple of 0.01;
- `uniqueItems` takes linear time, and errors come in one order, whatever the
  hash seed;
- the evaluation of keywords is counted, so definitions that unfold without end
  (`$ref` to itself, or doubling at each level) are given up, not followed;
- `integer` is an integer in writing too: 3.0 is none, as for BFCL's checker.
"""

import datetime
import fractions
import functools
import ipaddress
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from tooldev_jax.toolcall import dialects, jsontext, patterns, schemas
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema

MAX_KEYWORDS = 10_000  # evaluated in one check: about 0.3 s
MAX_ERRORS = 100  # told of one value


class GivenUp(Exception):
  """A check that went over a bound, or a reference that leads nowhere."""


class Budget:
  """How many keywords may still be evaluated, in one check or several."""

  def __init__(self, keywords: int = MAX_KEYWORDS):
    self.keywords_left = keywords


def errors_of(
  value: Json,
  schema: Schema,
  root: Schema | None = None,
  budget: Budget | None = None,
) -> tuple[ValidationError, ...]:
  """What is wrong with `value`.

  Args:
    value: any JSON value.
    schema: a modern and sound schema.
    root: the whole schema that references in `schema` point into; itself by
      default.
    budget: of several checks together; its own by default.

  Returns:
    The first `MAX_ERRORS` errors.

  Raises:
    GivenUp: the check went over a bound, or a reference leads nowhere.
  """
  meter = _Meter(schema if root is None else root, budget or Budget())
  try:
    errors = _VALIDATOR(schema, format_checker=meter).iter_errors(value)
    return tuple(itertools.islice(errors, MAX_ERRORS))
  except (_TooMany, patterns.TooCostly) as error:
    raise GivenUp(str(error)) from None
  except RecursionError:
    raise GivenUp("the schema unfolds without end") from None


def schema_errors(schema: Json) -> tuple[ValidationError, ...]:
  """What the meta-schema finds wrong with a modern `schema`.

  A schema is sound where all schemas in it are, each taken alone. Alone, those
  of tools are much alike, so nearly all were judged before.
  """
  if isinstance(schema, Mapping):
    nodes = dialects.subschemas(schema, "")
    if all(_is_sound_alone(json.dumps(_alone(node))) for _, node in nodes):
      return ()
  return _meta_errors(schema)


def _meta_errors(schema: Json) -> tuple[ValidationError, ...]:
  meter = _Meter(_META, Budget(sys.maxsize))  # `modernise` bounds the schema.
  return tuple(_VALIDATOR(_META, format_checker=meter).iter_errors(schema))


@functools.lru_cache(maxsize=1 << 14)
def _is_sound_alone(text: str) -> bool:
  return not _meta_errors(json.loads(text))


def _alone(schema: Schema) -> Schema:
  """`schema` without the schemas in it, and without what may be anything."""
  rules = _META["properties"]
  return {
    key: _keyword_alone(key, value, rules[key])
    for key, value in schema.items()
    if key in rules and rules[key] is not True
  }


def _keyword_alone(key: str, value: Json, rule: Json) -> Json:
  if isinstance(value, str):
    return "" if rule.get("type") == "string" else value
  if isinstance(value, Mapping):
    if key in dialects.NAMED:
      return {k: v for k, v in value.items() if not isinstance(v, Mapping)}
    return True if key in dialects.SINGLE else value
  if not isinstance(value, list):
    return value
  if key in dialects.LISTED:
    return [True if isinstance(item, Mapping) else item for item in value]
  is_any = rule.get("items") is True or (
    key == "required"
    and all(isinstance(name, str) for name in value)
    and len(set(value)) == len(value)
  )
  return [] if is_any else value


class _TooMany(Exception):
  """The count of keywords reached its bound."""


class _Meter(jsonschema.FormatChecker):
  """Our formats, the root of references, and the budget.

  A validator makes a new validator for each subschema; the format checker is
  the one thing of ours that it hands on, so these live here.
  """

  def __init__(self, root: Schema, budget: Budget) -> None:
    super().__init__(formats=())
    self.root = root
    self.checkers = _FORMATS
    self.budget = budget

  def count(self) -> None:
    self.budget.keywords_left -= 1
    if self.budget.keywords_left < 0:
      raise _TooMany("too many keywords to evaluate")


_Keyword = Callable[..., Iterator[ValidationError] | None]


def _counted(keyword: _Keyword) -> _Keyword:
  @functools.wraps(keyword)
  def count_and_evaluate(validator: Any, *rest: Any) -> Any:
    validator.format_checker.count()
    return keyword(validator, *rest)

  return count_and_evaluate


def _reference(
  validator: Any, reference: Json, value: Json, schema: Json
) -> Iterator[ValidationError]:
  """A reference into the same document; the library's own may fetch."""
  target = schemas.lookup(str(reference), validator.format_checker.root)
  if target is None:
    raise GivenUp(f"the reference {reference!r} leads nowhere")
  yield from validator.descend(value, target)


def _pattern(
  validator: Any, source: Json, value: Json, schema: Json
) -> Iterator[ValidationError]:
  if isinstance(value, str) and isinstance(source, str):
    try:
      found = patterns.compile_pattern(source).search(value)
    except patterns.PatternError:
      return  # `check_tool` says so; a call cannot be blamed for it.
    if not found:
      yield ValidationError(f"{value[:80]!r} does not match {source!r}")


def _additional_properties(
  validator: Any, allowed: Json, value: Json, schema: Json
) -> Iterator[ValidationError]:
  """In the order of the value; the library's own goes by the hash seed."""
  if not isinstance(value, dict):
    return
  known = schema.get("properties", {})
  for name, item in value.items():
    if name in known:
      continue
    if allowed is False:
      yield ValidationError(f"{name!r} is no property")
    else:
      yield from validator.descend(item, allowed, path=name)


def _multiple_of(
  validator: Any, step: Json, value: Json, schema: Json
) -> Iterator[ValidationError]:
  if not validator.is_type(value, "number"):
    return
  if (_exactly(value) / _exactly(step)).denominator != 1:
    yield ValidationError(f"{value!r} is no multiple of {step!r}"[:200])


def _exactly(number: int | float) -> fractions.Fraction:
  """The number as it is written: 0.1 is a tenth."""
  return fractions.Fraction(number if isinstance(number, int) else str(number))


def _unique_items(
  validator: Any, unique: Json, value: Json, schema: Json
) -> Iterator[ValidationError]:
  if unique and isinstance(value, list):
    texts = {jsontext.dump(item, sort_keys=True) for item in value}
    if len(texts) < len(value):
      yield ValidationError("has an item twice")


def _is_integer(checker: Any, value: Json) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _is_date(value: str) -> bool:
  return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII)) and bool(
    datetime.date.fromisoformat(value)
  )


def _is_time(value: str) -> bool:
  return bool(re.match(r"\d\d:\d\d:\d\d", value, re.ASCII)) and bool(
    datetime.time.fromisoformat(value)
  )


def _is_date_time(value: str) -> bool:
  return (
    value[10:11] in ("T", "t", " ")
    and _is_date(value[:10])
    and _is_time(value[11:])
  )


def _matches(pattern: str) -> Callable[[str], bool]:
  compiled = re.compile(pattern)
  return lambda value: compiled.fullmatch(value) is not None


# Formats outside this table promise nothing. Each either returns whether the
# text fits or raises ValueError where it does not.
_TESTS: dict[str, Callable[[str], Any]] = {
  "date": _is_date,
  "time": _is_time,
  "date-time": _is_date_time,
  "email": _matches(r"[^@\s]{1,64}@[^@\s]{1,255}"),
  "ipv4": ipaddress.IPv4Address,
  "ipv6": ipaddress.IPv6Address,
  "hostname": _matches(
    r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
    r"(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*"
  ),
  "duration": _matches(
    r"P(?!\Z)(?:[0-9]+W|(?:[0-9]+Y)?(?:[0-9]+M)?(?:[0-9]+D)?"
    r"(?:T(?=[0-9])(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]+)?S)?)?)"
  ),
  "uri": _matches(r"[A-Za-z][A-Za-z0-9+.-]*:\S+"),
  "uuid": _matches(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}


def _format(test: Callable[[str], Any]) -> tuple[Callable[[Json], bool], Any]:
  return (
    lambda value: not isinstance(value, str) or bool(test(value)),
    ValueError,
  )


_FORMATS = {name: _format(test) for name, test in _TESTS.items()}
_VALIDATOR = jsonschema.validators.extend(
  jsonschema.Draft202012Validator,
  validators={
    **{
      name: _counted(keyword)
      for name, keyword in jsonschema.Draft202012Validator.VALIDATORS.items()
    },
    "$ref": _counted(_reference),
    "additionalProperties": _counted(_additional_properties),
    "multipleOf": _counted(_multiple_of),
    "pattern": _counted(_pattern),
    "uniqueItems": _counted(_unique_items),
  },
  type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", _is_integer
  ),
)


def _meta_schema() -> Schema:
  """The meta-schema of draft 7, with what 2020-12 added since.

  The one of 2020-12 is spread over eight documents joined by dynamic
  references, and takes seven times as long for the same verdicts.
  """
  draft7 = jsonschema.Draft7Validator.META_SCHEMA
  schema = {"$ref": "#"}
  named = {"type": "object", "additionalProperties": schema}
  count = {"$ref": "#/definitions/nonNegativeInteger"}
  texts = {"$ref": "#/definitions/stringArray"}
  new = {
    "$defs": named,
    "dependentSchemas": named,
    "dependentRequired": {"type": "object", "additionalProperties": texts},
    "items": schema,
    "prefixItems": {"$ref": "#/definitions/schemaArray"},
    "minContains": count,
    "maxContains": count,
  }
  kept = {key: draft7[key] for key in ("definitions", "type")}
  return {**kept, "properties": {**draft7["properties"], **new}}


_META = _meta_schema()
