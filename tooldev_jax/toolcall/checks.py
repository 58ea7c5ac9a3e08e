"""Is this definition sound, and does this call fit it?

Each check returns findings, all of them, in a stable order; none means sound.
Nothing is raised for what a document or a model says.

A call may only use parameters that are described: an object that lists its
properties is closed, unless it says `additionalProperties` itself. JSON Schema
would let anything pass, and BFCL counts it as wrong. What such an object
requires may be used too, described or not.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jsonschema.exceptions import ValidationError

from tooldev_jax.toolcall import dialects, patterns, schemas, validation
from tooldev_jax.toolcall.findings import Finding, Reason, pointer
from tooldev_jax.toolcall.grounding import check_grounded
from tooldev_jax.toolcall.jsontext import Json, JsonTextError, dump, load
from tooldev_jax.toolcall.schemas import Schema
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
  """What is wrong with a definition; places are in `tool.to_json()`.

  The names of parameters are unique by construction: reading a document with
  two equal keys fails.
  """
  found = list(_check_texts(tool))
  try:
    schema = dialects.modernise(tool.parameters)
  except dialects.SchemaTooLarge as large:
    return (*found, Finding(Reason.TOO_LARGE, "/parameters", str(large)))
  types = schemas.types_of(tool.parameters)
  if types != {"object"}:
    detail = f"the type is {tool.parameters.get('type')!r}, not 'object'"
    found.append(Finding(Reason.NOT_AN_OBJECT, "/parameters/type", detail))
  errors = validation.schema_errors(schema)
  for error in errors:
    where = pointer("parameters", *error.absolute_path)
    found.append(Finding(Reason.BAD_SCHEMA, where, error.message[:200]))
  if not errors:  # Else keywords may hold anything.
    nodes = list(dialects.subschemas(tool.parameters, "/parameters"))
    for where, node in nodes:
      found.extend(_check_node(where, node, schema))
    found.extend(_check_all_values(nodes, schema))
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
  """What is wrong with one subschema, those inside it aside."""
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
  if reference is not None and schemas.lookup(reference, root) is None:
    detail = f"{reference!r} is not in this document"
    yield Finding(Reason.BAD_REFERENCE, f"{where}/$ref", detail)
  if "pattern" in node:
    try:
      patterns.compile_pattern(node["pattern"])
    except patterns.PatternError as error:
      detail = f"{node['pattern'][:80]!r}: {error}"
      yield Finding(Reason.UNKNOWN_PATTERN, f"{where}/pattern", detail)
  properties = schemas.properties(schemas.resolve(node, root))
  if properties:
    for name in node.get("required") or ():
      if name not in properties:
        detail = f"{name!r} is no property"
        yield Finding(Reason.UNKNOWN_REQUIRED, f"{where}/required", detail)


def _check_all_values(
  nodes: Iterable[tuple[str, Schema]], root: Schema
) -> Iterator[Finding]:
  """The values that schemas name, as far as one budget goes."""
  budget = validation.Budget()
  for where, node in nodes:
    if node.get("enum") or node.get("default") is not None:
      try:
        yield from _check_values(where, node, root, budget)
      except validation.GivenUp as error:
        yield Finding(Reason.TOO_COSTLY, where, str(error))
        return


def _check_values(
  where: str, node: Schema, root: Schema, budget: validation.Budget
) -> Iterator[Finding]:
  """The values that a schema itself names must fit it."""
  modern = dialects.modernise(node)
  seen: set[str] = set()
  types = {"type": modern["type"]} if "type" in modern else {}
  for index, value in enumerate(modern.get("enum", ())):
    place = f"{where}/enum/{index}"
    text = dump(value, sort_keys=True)
    if text in seen:
      yield Finding(Reason.BAD_ENUM, place, f"{text} occurs twice")
    seen.add(text)
    if validation.errors_of(value, types, root, budget):
      detail = f"{text} is not of type {node['type']!r}"
      yield Finding(Reason.BAD_ENUM, place, detail)
  # null stands for "none" in most sources, whatever the type.
  if modern.get("default") is not None:
    errors = validation.errors_of(modern["default"], modern, root, budget)
    if errors:
      detail = errors[0].message[:200]
      yield Finding(Reason.BAD_DEFAULT, f"{where}/default", detail)


def check_call(call: Call, tools: Iterable[Tool]) -> tuple[Finding, ...]:
  """Does the call fit the tool that it names? Places are in `call.to_json()`.

  Args:
    call: any call.
    tools: those at hand; the first of a name counts.
  """
  tool = next((tool for tool in tools if tool.name == call.name), None)
  if tool is None:
    detail = f"no tool is called {call.name[:80]!r}"
    return (Finding(Reason.UNKNOWN_TOOL, "/name", detail),)
  schema = _sound_schema(tool.dumps())
  if schema is None:
    detail = f"the parameters of {tool.name!r} are not a sound schema"
    return (Finding(Reason.UNSOUND_TOOL, "/name", detail),)
  arguments = dict(call.arguments)
  found = list(_unknown(arguments, [schema], schema, ("arguments",)))
  try:
    for error in validation.errors_of(arguments, schema):
      found.extend(_findings(error, ("arguments",)))
  except validation.GivenUp as error:
    found.append(Finding(Reason.TOO_COSTLY, "/arguments", str(error)))
  by_place = {(one.reason, one.where): one for one in reversed(found)}
  return tuple(by_place.values())[::-1]


@functools.lru_cache(maxsize=4096)
def _sound_schema(tool: str) -> Schema | None:
  """The modern parameters of a tool given as text; None if unsound."""
  try:
    schema = dialects.modernise(load(tool)["parameters"])
  except (dialects.SchemaTooLarge, JsonTextError):
    return None
  if validation.schema_errors(schema):
    return None
  for _, node in dialects.subschemas(schema, ""):
    if "$ref" in node and schemas.lookup(node["$ref"], schema) is None:
      return None
  return schema


def _findings(
  error: ValidationError, path: tuple[str | int, ...]
) -> Iterator[Finding]:
  """A finding of ours for an error of the library."""
  path = (*path, *error.relative_path)
  keyword = str(error.validator)
  if keyword == "required":
    for name in error.validator_value:
      if name not in error.instance:
        where = pointer(*path, name)
        yield Finding(Reason.MISSING_ARGUMENT, where, "is required")
  elif keyword == "additionalProperties":
    return  # `_unknown` names each one.
  elif keyword in ("anyOf", "oneOf") and (branch := _real_branch(error)):
    for inner in branch:
      yield from _findings(inner, path)
  else:
    reason = _BY_KEYWORD.get(keyword, Reason.OUT_OF_RANGE)
    yield Finding(reason, pointer(*path), error.message[:200])


def _real_branch(error: ValidationError) -> list[ValidationError]:
  """The errors of the one branch besides null; none if there are others."""
  branches: dict[str | int, list[ValidationError]] = {}
  for inner in error.context or ():
    # The schema `false` has no path.
    branch = (*inner.relative_schema_path, "false")[0]
    branches.setdefault(branch, []).append(inner)
  real = [
    errors
    for errors in branches.values()
    if not (
      errors[0].validator == "type" and errors[0].validator_value == "null"
    )
  ]
  return real[0] if len(real) == 1 else []


def _unknown(
  value: Json,
  described: Sequence[Json],
  root: Schema,
  path: tuple[str | int, ...],
) -> Iterator[Finding]:
  """Names in objects that are closed and do not have them.

  The walk follows the value, under all schemas that may describe it.
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
