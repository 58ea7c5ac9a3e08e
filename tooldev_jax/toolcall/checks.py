"""Checks of tool definitions, and of calls against them.

Each check returns all its findings in a stable order; without findings the
definition or call is right. Nothing that a document or a model writes raises.

A call may only use parameters that are described: an object that lists its
properties is closed, unless it says `additionalProperties` itself. JSON Schema
would let anything pass, and BFCL counts it as wrong. Names that the object
requires are allowed too, described or not.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tooldev_jax.toolcall import (
  dialects,
  jsontext,
  patterns,
  schemas,
  validation,
)
from tooldev_jax.toolcall.findings import Finding, Reason, pointer
from tooldev_jax.toolcall.grounding import check_grounded
from tooldev_jax.toolcall.jsontext import Json, JsonTextError, dump, load
from tooldev_jax.toolcall.schemas import Schema
from tooldev_jax.toolcall.validation import ValidationError, Validator
from tooldev_jax.toolcall.vocabulary import Call, Tool

__all__ = [
  "Finding",
  "Reason",
  "check_call",
  "check_grounded",
  "check_tool",
  "check_tools",
]

MAX_NAME = 256

_BY_KEYWORD = {
  "required": Reason.MISSING_ARGUMENT,
  "dependentRequired": Reason.MISSING_ARGUMENT,
  "additionalProperties": Reason.UNKNOWN_ARGUMENT,
  "propertyNames": Reason.UNKNOWN_ARGUMENT,
  "type": Reason.WRONG_TYPE,
  dialects.INTEGER: Reason.WRONG_TYPE,
  "falseSchema": Reason.NO_ALTERNATIVE,
  "enum": Reason.NOT_IN_ENUM,
  "const": Reason.NOT_IN_ENUM,
  "pattern": Reason.BAD_PATTERN,
  "format": Reason.BAD_FORMAT,
  "anyOf": Reason.NO_ALTERNATIVE,
  "oneOf": Reason.NO_ALTERNATIVE,
  "not": Reason.NO_ALTERNATIVE,
}  # All others bound a number, a length or a count.
_TYPING = frozenset(("type", "enum", "const", "anyOf", "oneOf", "properties"))


def check_tools(tools: Sequence[Tool]) -> tuple[Finding, ...]:
  """`check_tool` for each, and names that occur twice.

  A set can be used if none of its findings is `unsound`.
  """
  found: list[Finding] = []
  seen: dict[str, int] = {}
  for index, tool in enumerate(tools):
    place = pointer(index)
    found.extend(
      Finding(one.reason, place + one.where, one.detail)
      for one in check_tool(tool)
    )
    first = seen.setdefault(tool.name, index)
    if first != index:
      detail = f"{tool.name!r} is also the name of /{first}"
      found.append(Finding(Reason.DUPLICATE_NAME, f"{place}/name", detail))
  return tuple(found)


def check_tool(tool: Tool) -> tuple[Finding, ...]:
  """Checks a definition; findings point into `tool.to_json()`.

  The names of parameters are unique by construction: reading a document with
  two equal keys fails.
  """
  found = list(_check_texts(tool))
  try:
    schema = dialects.checkable(tool.parameters)
  except dialects.SchemaTooLarge as large:
    return (*found, Finding(Reason.TOO_LARGE, "/parameters", str(large)))
  types = schemas.types_of(tool.parameters)
  if types != {"object"}:
    detail = f"the type is {tool.parameters.get('type')!r}, not 'object'"
    found.append(Finding(Reason.NOT_AN_OBJECT, "/parameters/type", detail))
  errors = validation.schema_errors(schema)
  for error in errors:
    where = pointer("parameters", *error.instance_path)
    found.append(Finding(Reason.BAD_SCHEMA, where, error.message[:200]))
  if errors:
    return tuple(found)  # Keywords may hold anything.
  for where, node in dialects.subschemas(tool.parameters, "/parameters"):
    found.extend(_check_node(where, node, schema))
  if all(finding.reason is not Reason.BAD_REFERENCE for finding in found):
    try:
      found.extend(_check_values(tool.parameters, Validator(schema)))
    except ValueError as error:  # A reference to something else than a schema.
      detail = str(error).partition("\n")[0][:200]
      found.append(Finding(Reason.BAD_SCHEMA, "/parameters", detail))
  return tuple(found)


def _check_texts(tool: Tool) -> Iterator[Finding]:
  name = tool.name
  if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
    detail = f"{name[:40]!r} is blank, over {MAX_NAME} or not printable"
    yield Finding(Reason.BAD_NAME, "/name", detail)
  if not tool.description.strip():
    yield Finding(Reason.NO_DESCRIPTION, "/description", "is empty")
  described = schemas.properties(tool.parameters)
  for name, parameter in described.items():
    where = pointer("parameters", "properties", name)
    view = schemas.resolve(parameter, tool.parameters)
    if not str(view.get("description") or "").strip():
      detail = "has no description"
      yield Finding(Reason.UNDESCRIBED_PARAMETER, where, detail)
    if not _TYPING & view.keys():
      yield Finding(Reason.UNTYPED_PARAMETER, where, "has no type")


def _check_node(where: str, node: Schema, root: Schema) -> Iterator[Finding]:
  """Checks one subschema, but not those inside it."""
  types = node.get("type", [])
  for name in types if isinstance(types, list) else [types]:
    try:
      known = isinstance(name, str)
      if known:
        schemas.json_type(name)
    except KeyError:
      known = False
    if not known:
      yield Finding(Reason.UNKNOWN_TYPE, f"{where}/type", f"{name!r}")
  reference = node.get("$ref")
  if reference is not None and (
    schemas.lookup(dialects.modern_place(reference), root) is None
  ):
    detail = f"{reference!r} is not in this document"
    yield Finding(Reason.BAD_REFERENCE, f"{where}/$ref", detail)
  if "pattern" in node and not patterns.is_known(node["pattern"]):
    detail = f"{node['pattern'][:80]!r} is no regular expression known here"
    yield Finding(Reason.UNKNOWN_PATTERN, f"{where}/pattern", detail)
  properties = schemas.properties(schemas.resolve(node, root))
  if properties:
    for name in node.get("required") or ():
      if name not in properties:
        detail = f"{name!r} is no property"
        yield Finding(Reason.UNKNOWN_REQUIRED, f"{where}/required", detail)


def _check_values(schema: Schema, validator: Validator) -> Iterator[Finding]:
  """Checks defaults and enums against their own schemas.

  Args:
    schema: as its source wrote it.
    validator: of the same schema, made modern.
  """
  steps = validation.Steps()
  for place, _ in dialects.subschemas(schema, ""):
    modern_place = dialects.modern_place(place)
    modern = schemas.lookup(f"#{modern_place}", validator.schema)
    if not isinstance(modern, Mapping):
      continue
    yield from _check_enum(f"/parameters{place}/enum", modern)
    default = modern.get("default")
    if default is None:  # "None" in most sources, whatever the type.
      continue
    try:
      errors = validator.errors(default, steps, modern_place)
    except validation.GivenUp as error:
      yield Finding(Reason.TOO_COSTLY, f"/parameters{place}", str(error))
      return
    if errors:
      where = f"/parameters{place}/default"
      yield Finding(Reason.BAD_DEFAULT, where, errors[0].message[:200])


def _check_enum(where: str, modern: Schema) -> Iterator[Finding]:
  types = schemas.types_of(modern)
  seen: set[str] = set()
  for index, value in enumerate(schemas.enum_of(modern)):
    text = dump(value, sort_keys=True)
    if text in seen:
      yield Finding(Reason.BAD_ENUM, f"{where}/{index}", f"{text} occurs twice")
    seen.add(text)
    if not schemas.is_of_type(value, types):
      detail = f"{text} is not of type {modern['type']!r}"
      yield Finding(Reason.BAD_ENUM, f"{where}/{index}", detail)


def check_call(call: Call, tools: Iterable[Tool]) -> tuple[Finding, ...]:
  """Checks a call against its tool; findings point into `call.to_json()`.

  Args:
    call: any call.
    tools: the offered tools; of several with one name, the first counts.
  """
  tool = next((tool for tool in tools if tool.name == call.name), None)
  if tool is None:
    detail = f"no tool is called {call.name[:80]!r}"
    return (Finding(Reason.UNKNOWN_TOOL, "/name", detail),)
  validator = _sound_validator(tool.dumps())
  if validator is None:
    detail = f"the parameters of {tool.name!r} are not a sound schema"
    return (Finding(Reason.UNSOUND_TOOL, "/name", detail),)
  arguments = dict(call.arguments)
  if not jsontext.is_within(arguments):
    return (Finding(Reason.TOO_COSTLY, "/arguments", "nested too deeply"),)
  schema = validator.schema
  found = list(_unknown(arguments, [schema], schema, ("arguments",)))
  try:
    for error in validator.errors(arguments):
      found.extend(_findings(error))
  except validation.GivenUp as error:
    found.append(Finding(Reason.TOO_COSTLY, "/arguments", str(error)))
  by_place = {(one.reason, one.where): one for one in reversed(found)}
  return tuple(by_place.values())[::-1]


@functools.lru_cache(maxsize=4096)
def _sound_validator(tool: str) -> Validator | None:
  """Of the parameters of a tool given as text; None if they are unsound."""
  try:
    schema = dialects.checkable(load(tool)["parameters"])
  except (dialects.SchemaTooLarge, JsonTextError):
    return None
  if validation.schema_errors(schema):
    return None
  try:
    return Validator(schema)
  except ValueError:
    return None


def _findings(error: ValidationError) -> Iterator[Finding]:
  """The findings for one error of the library."""
  path = ("arguments", *error.instance_path)
  keyword = error.kind.name
  details = error.kind.as_dict()
  if keyword == "required":
    where = pointer(*path, details["property"])
    yield Finding(Reason.MISSING_ARGUMENT, where, "is required")
  elif keyword == "additionalProperties":
    return  # `_unknown` names each one.
  elif keyword in ("anyOf", "oneOf") and (
    branch := _real_branch(details["context"])
  ):
    for inner in branch:
      yield from _findings(inner)
  else:
    reason = _BY_KEYWORD.get(keyword, Reason.OUT_OF_RANGE)
    yield Finding(reason, pointer(*path), error.message[:200])


def _real_branch(
  branches: Sequence[Sequence[ValidationError]],
) -> Sequence[ValidationError]:
  """The errors of the one branch besides null; none if there are others."""
  real = [
    errors for errors in branches if errors and not _wants_null(errors[0])
  ]
  return real[0] if len(real) == 1 else ()


def _wants_null(error: ValidationError) -> bool:
  kind = error.kind
  return kind.name == "type" and kind.as_dict()["types"] == ["null"]


def _unknown(
  value: Json,
  described: Sequence[Json],
  root: Schema,
  path: tuple[str | int, ...],
) -> Iterator[Finding]:
  """Finds properties that a closed object does not describe.

  It follows the value, and for each part of it all schemas that may apply.
  """
  parts = schemas.alternatives(described, root)
  if isinstance(value, list):
    items = [part["items"] for part in parts if "items" in part]
    for index, item in enumerate(value):
      yield from _unknown(item, items, root, (*path, index))
  if not isinstance(value, Mapping):
    return
  extra = [
    part["additionalProperties"]
    for part in parts
    if "additionalProperties" in part
  ]
  listed = any(part.get("properties") for part in parts)
  top = path == ("arguments",)
  closed = (listed or top or False in extra) and all(
    one is False for one in extra
  )
  for name, item in value.items():
    inner = [
      schemas.properties(part)[name]
      for part in parts
      if name in schemas.properties(part)
    ]
    if inner:
      yield from _unknown(item, inner, root, (*path, name))
    elif closed and not any(name in _required(part) for part in parts):
      where = pointer(*path, name)
      yield Finding(Reason.UNKNOWN_ARGUMENT, where, "is no parameter")


def _required(schema: Schema) -> Sequence[Json]:
  names = schema.get("required")
  return names if isinstance(names, list) else ()
