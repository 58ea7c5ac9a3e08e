"""One schema for several that all hold, as the parts of an `allOf` do."""

import math
from collections.abc import Callable, Mapping

from tooldev_jax.toolcall import jsontext, schemas
from tooldev_jax.toolcall.importers.base import Tell
from tooldev_jax.toolcall.importers.schema_reader import shown
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.schemas import Schema

# Keywords that mean something only as a group.
_TOGETHER = (
  ("if", "then", "else"),
  ("contains", "minContains", "maxContains"),
  ("items", "prefixItems"),
)
# Of two values the second counts.
_NOTES = frozenset(("title", "description", "examples", "default"))


class _CannotMergeError(ValueError):
  """No single value says what both say."""


def merge(first: Json, second: Json, tell: Tell) -> Json:
  """The schema that holds where both hold.

  Bounds are tightened, lists of values are intersected, properties and items
  are merged. Of two titles, descriptions, defaults or lists of examples the
  second counts. What no single keyword can say (two patterns, values that
  contradict one another) stays in an `allOf`.

  Args:
    first: a schema without references.
    second: another one.
    tell: gets what the merged schema does not say.
  """
  if not isinstance(first, Mapping) or not isinstance(second, Mapping):
    if first is False or second is False:
      return False
    return second if first is True else first
  found, more = dict(first), dict(second)
  rest = _split(found, more)
  if "properties" in found or "properties" in more:
    found["properties"] = _properties(found, more, tell)
  for key, value in more.items():
    if key == "properties" or (key in found and _same(found[key], value)):
      continue
    if key == "default" and key in found:
      detail = f"where another part has {shown(value)}"
      tell(f"default {shown(found[key])}, {detail}")
    if key not in found or key in _NOTES:
      found[key] = value
    elif key in ("items", "additionalProperties"):
      found[key] = merge(found[key], value, tell)
    else:
      try:
        found[key] = _MERGES[key](found[key], value)
      except (KeyError, _CannotMergeError):
        rest[key] = value
  if rest:
    found["allOf"] = [*found.get("allOf", []), rest]
  return found


def _split(found: Schema, more: dict[str, Json]) -> dict[str, Json]:
  """Takes out of `more` the groups of which `found` has another one."""
  rest: dict[str, Json] = {}
  for group in _TOGETHER:
    own = {key: found[key] for key in group if key in found}
    other = {key: more[key] for key in group if key in more}
    both = [*own.values(), *other.values()]
    if "items" in group and not any(isinstance(x, list) for x in both):
      continue
    if own and other and not _same(own, other):
      rest |= other
  for key in rest:
    del more[key]
  return rest


def _properties(found: Schema, more: Schema, tell: Tell) -> dict[str, Json]:
  own, other = schemas.properties(found), schemas.properties(more)
  for part, names in ((more, own), (found, other)):
    beside = [name for name in names if name not in schemas.properties(part)]
    if beside and part.get("additionalProperties") is False:
      # Taken at its word, the part would forbid what is beside it.
      tell(f"additionalProperties: false, for {shown(beside)}")
  merged = {name: _also(item, name, more, tell) for name, item in own.items()}
  for name, item in other.items():
    if name not in own:
      merged[name] = _also(item, name, found, tell)
  return merged


def _also(item: Json, name: str, part: Schema, tell: Tell) -> Json:
  """A property's schema, and what another part says of that name."""
  if name in schemas.properties(part):
    return merge(item, part["properties"][name], tell)
  others = part.get("additionalProperties", True)
  if others is False or "patternProperties" in part:
    return item
  return merge(item, others, tell)


def _same(one: Json, other: Json) -> bool:
  """Whether two values are equal as JSON; there 1 is not true."""
  return one == other and _key(one) == _key(other)


def _key(value: Json) -> str:
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return jsontext.dump(value, sort_keys=True)


def _enum(one: Json, other: Json) -> Json:
  allowed = set(map(_key, other))
  both = [value for value in one if _key(value) in allowed]
  if not both:
    raise _CannotMergeError
  return both


def _type(one: Json, other: Json) -> Json:
  left, right = (schemas.types_of({"type": item}) for item in (one, other))
  if not left or not right:  # A name that means anything.
    return other if not left else one
  both = left & right
  if "number" in left | right and "integer" in left | right:
    both |= {"integer"}
  if not both:
    raise _CannotMergeError
  return sorted(both) if len(both) > 1 else next(iter(both))


def _multiple(one: Json, other: Json) -> Json:
  if isinstance(one, int) and isinstance(other, int):
    return math.lcm(one, other)
  raise _CannotMergeError


def _union(one: Json, other: Json) -> Json:
  if isinstance(one, bool):  # `required`, as a property says it of itself.
    return other or one
  if isinstance(other, bool):
    return one
  return [*one, *(item for item in other if item not in one)]


def _either(one: Json, other: Json) -> Json:
  return one or other


def _both(one: Json, other: Json) -> Json:
  return one and other


_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_MERGES: Mapping[str, Callable[[Json, Json], Json]] = {
  **dict.fromkeys((*_LOWER, "minProperties"), max),
  **dict.fromkeys((*_UPPER, "maxProperties"), min),
  **dict.fromkeys(("uniqueItems", "readOnly", "writeOnly"), _either),
  "deprecated": _either,
  "nullable": _both,
  "enum": _enum,
  "type": _type,
  "multipleOf": _multiple,
  "required": _union,
  "allOf": _union,
}
