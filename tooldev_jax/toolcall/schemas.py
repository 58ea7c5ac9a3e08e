"""Reading of parameter schemas.

Tool sets use JSON Schema, but with Python's, Java's and JavaScript's type
names (BFCL and ToolACE write "dict" and "float"), pydantic's nullable `anyOf`,
and local references. All code that compares or checks calls reads schemas
through this module. Nothing is ever fetched.
"""

import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Mapping

from tooldev_jax.toolcall.jsontext import Json

JSON_TYPES = frozenset(
  ("string", "number", "integer", "boolean", "array", "object", "null")
)

# Lower-cased names seen in BFCL v4, ToolACE, xLAM and Seal-Tools. None means
# that any value is allowed.
TYPE_ALIASES: Mapping[str, str | None] = {
  "str": "string",
  "char": "string",
  "text": "string",
  "int": "integer",
  "long": "integer",
  "short": "integer",
  "byte": "integer",
  "bigint": "integer",
  "float": "number",
  "double": "number",
  "decimal": "number",
  "bool": "boolean",
  "dict": "object",
  "hashmap": "object",
  "map": "object",
  "list": "array",
  "tuple": "array",
  "set": "array",
  "arraylist": "array",
  "none": "null",
  "any": None,
  "union": None,
}

_MAX_REFERENCES = 32
_MAX_ALTERNATIVES = 256

Schema = Mapping[str, Json]


def json_type(name: str) -> str | None:
  """The JSON Schema type for a type name of any dialect.

  Of Python's annotations, as xLAM writes them, the outermost type counts:
  `List[int], optional` is an array and `Optional[str]` a string. A `Union`
  allows anything.

  Returns:
    One of `JSON_TYPES`, or None if the name allows anything.

  Raises:
    KeyError: the name is not known.
  """
  lowered = name.strip().lower().removesuffix("optional").rstrip(" ,")
  outer, bracket, inner = lowered.partition("[")
  if outer == "optional" and bracket:
    return json_type(inner.removesuffix("]"))
  return outer if outer in JSON_TYPES else TYPE_ALIASES[outer]


def types_of(schema: Schema) -> frozenset[str]:
  """The JSON types that `schema` allows; empty if it allows any."""
  named = schema.get("type")
  names = named if isinstance(named, list) else [named]
  found = set()
  for name in names:
    try:
      found.add(json_type(name) if isinstance(name, str) else None)
    except KeyError:
      found.add(None)
  if None in found:
    return frozenset()
  return frozenset(name for name in found if name is not None)


def is_of_type(value: Json, types: Collection[str]) -> bool:
  """Whether `value` is of one of `types`; of no types, anything is."""
  if not types or value is None:
    return not types or "null" in types
  if isinstance(value, bool):
    return "boolean" in types
  if isinstance(value, int):
    return "integer" in types or "number" in types
  kinds = {float: "number", str: "string", list: "array", dict: "object"}
  return kinds.get(type(value)) in types


def resolve(schema: Json, root: Schema) -> Schema:
  """One flat view of a schema, with its properties and items.

  Local `$ref`s are followed, `allOf` is merged, and an `anyOf` or `oneOf` with
  a single branch besides null stands for that branch (what pydantic writes for
  Optional). Anything that cannot be followed is ignored.
  """
  if not isinstance(schema, Mapping):
    return {}  # `true` and `false` are schemas too.
  merged: dict[str, Json] = {}
  for part in _parts(schema, root):
    properties = {
      **_mapping(merged.get("properties")),
      **_mapping(part.get("properties")),
    }
    for key, value in part.items():
      merged.setdefault(key, value)
    if properties:
      merged["properties"] = properties
  return merged


def _parts(schema: Schema, root: Schema) -> Iterator[Schema]:
  """`schema`, and then the schemas that always apply together with it."""
  pending: list[Json] = [schema]
  for _ in range(_MAX_REFERENCES):
    if not pending:
      return
    part = pending.pop(0)
    if not isinstance(part, Mapping):
      continue
    yield part
    if isinstance(part.get("$ref"), str):
      pending.append(lookup(part["$ref"], root))
    if isinstance(part.get("allOf"), list):
      pending.extend(part["allOf"])
    for key in ("anyOf", "oneOf"):
      branches = part.get(key)
      if isinstance(branches, list):
        real = [
          branch
          for branch in branches
          if not (isinstance(branch, Mapping) and branch.get("type") == "null")
        ]
        if len(real) == 1:
          pending.append(real[0])


def alternatives(described: Iterable[Json], root: Schema) -> list[Schema]:
  """All schemas that apply, or may apply, where each of `described` does.

  References, `allOf` and every branch of `anyOf`, `oneOf` and `if` are
  followed, up to a bound; each schema is listed once.
  """
  pending = list(described)
  found: list[Schema] = []
  seen: set[int] = set()
  while pending and len(found) < _MAX_ALTERNATIVES:
    part = pending.pop(0)
    if not isinstance(part, Mapping) or id(part) in seen:
      continue
    seen.add(id(part))
    found.append(part)
    if isinstance(part.get("$ref"), str):
      pending.append(lookup(part["$ref"], root))
    for key in ("allOf", "anyOf", "oneOf"):
      if isinstance(part.get(key), list):
        pending.extend(part[key])
    pending.extend(part[key] for key in ("then", "else") if key in part)
  return found


def lookup(reference: str, root: Json) -> Json:
  """What a local reference such as `#/$defs/Point` points to, or None."""
  if reference != "#" and not reference.startswith("#/"):
    return None
  here = root
  for step in reference[1:].split("/")[1:]:
    if "%" in step and not (isinstance(here, Mapping) and step in here):
      step = urllib.parse.unquote(step)  # It is part of a URI.
    step = step.replace("~1", "/").replace("~0", "~")
    if isinstance(here, Mapping) and step in here:
      here = here[step]
    elif isinstance(here, list) and step.isdigit() and int(step) < len(here):
      here = here[int(step)]
    else:
      return None
  return here


def quote(pointer: str) -> str:
  """A JSON pointer as part of a URI."""
  return urllib.parse.quote(
    pointer, safe="/~!$&'()*+,;=:@-._", errors="replace"
  )


def enum_of(schema: Schema) -> list[Json]:
  """The values of the schema's enum; empty without an enum."""
  values = schema.get("enum")
  return values if isinstance(values, list) else []


def properties(schema: Schema) -> Mapping[str, Json]:
  """The properties of a resolved schema."""
  return _mapping(schema.get("properties"))


def _mapping(value: Json) -> Mapping[str, Json]:
  return value if isinstance(value, Mapping) else {}
