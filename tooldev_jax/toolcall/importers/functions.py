"""Lists of tools in the dialects of chat APIs, agent libraries and tool sets.

They differ in three things: where in a document the tools are, under which keys
a tool has its name and description, and under which keys and in which form its
parameters. Each has its table here. Keys are compared without regard to case
style, so `inputSchema` and `input_schema` are one.

Read are MCP's `tools/list`, OpenAI (chat and responses), Anthropic, Gemini,
Bedrock, Cohere, Mistral, LangChain, LlamaIndex, CrewAI, AutoGen, smolagents,
Semantic Kernel, transformers, ToolBench, T-Eval, API-Bank, xLAM, Gorilla,
Seal-Tools, and our own tools. JSON Schemas are kept as their source wrote them,
`schema_reader` aside. An entry with parameters under any other key is refused:
a tool that lost its parameters would teach wrong calls.
"""

import functools
from collections.abc import Iterator, Mapping

from tooldev_jax.toolcall import dialects, jsontext, schemas
from tooldev_jax.toolcall.findings import pointer
from tooldev_jax.toolcall.importers import tables
from tooldev_jax.toolcall.importers.base import (
  Entry,
  RefusalReason,
  Refused,
  Tell,
  refuse,
  refused_entry,
)
from tooldev_jax.toolcall.importers.schema_reader import (
  KEYWORDS,
  SchemaReader,
  as_text,
  shown,
)
from tooldev_jax.toolcall.importers.tables import plain_key
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Tool

# Keys that hold tools, as a list, an object by name, or JSON text of these.
_CONTAINERS = frozenset(
  ("tools", "functions", "function_declarations", "tool_config", "result",
   "apis", "api_list", "function_schema")
)  # fmt: skip
# Keys that hold one tool, beside which there is nothing to read.
_WRAPPERS = frozenset(("function", "tool_spec"))
_NAMES = ("name", "api_name", "function_name", "func_name", "tool_name")
_DESCRIPTIONS = (
  "description", "api_description", "tool_description", "functionality", "desc",
  "function_description", "func_description", "summary", "docstring",
)  # fmt: skip
# Keys that hold parameters, first those that say most; and whether parameters
# in them are required that say nothing about it (None: see `tables`).
_PARAMETERS: Mapping[str, bool | None] = {
  "parameters": None,
  "input_schema": None,
  "parameters_json_schema": None,
  "args_schema": None,
  "args_json_schema": None,
  "tool_call_schema": None,
  "fn_schema": None,
  "fn_schema_str": None,
  "input_parameters": None,
  "required_parameters": True,
  "required_params": True,
  "required_args": True,
  "optional_parameters": False,
  "optional_params": False,
  "optional_args": False,
  "parameter_definitions": False,
  "api_arguments": None,
  "api_parameters": None,
  "params": None,
  "args": None,
  "arguments": None,
  "inputs": None,
  "properties": None,
}
# Words of other keys under which parameters may be; those in the second set
# often say something else, and count where nothing else is known.
_LIKE = frozenset(
  ("param", "params", "parameter", "parameters", "arg", "args", "argument",
   "arguments", "kwargs", "input", "inputs", "slot", "slots")
)  # fmt: skip
_PERHAPS = frozenset(("schema", "fields", "signature", "payload", "body"))
_OF_RESULTS = frozenset(
  ("output", "outputs", "return", "returns", "response", "responses", "result",
   "results", "example", "examples", "annotations", "meta")
)  # fmt: skip


def matches(document: Json) -> bool:
  """Whether anything in a document is a tool or a list of tools."""
  if isinstance(document, list):
    return any(map(matches, document))
  return isinstance(document, Mapping) and (
    bool(_held(document)) or _is_tool(document) or _are_named(document)
  )


def entries(document: Json) -> Iterator[Entry]:
  """The tools of a document, in order, and what should be one but is not.

  Raises:
    Refused: it has nothing to do with tools.
  """
  if not matches(document):
    detail = "neither OpenAPI nor a list of tools in a dialect that is known"
    refuse(detail, RefusalReason.UNKNOWN_KIND)
  yield from _walk(document, "")


def _walk(node: Json, where: str) -> Iterator[Entry]:
  if isinstance(node, list):
    for index, item in enumerate(node):
      yield from _walk(item, where + pointer(index))
  elif isinstance(node, Mapping) and (held := _held(node)):
    for key, value in held.items():
      if plain_key(key) in _WRAPPERS:
        beside = {name: one for name, one in node.items() if name != key}
        yield Entry(where, functools.partial(_build, value, beside))
      elif value:
        yield from _walk(value, where + pointer(key))
  elif isinstance(node, Mapping) and _is_tool(node):
    yield Entry(where, functools.partial(_build, node, {}))
  elif isinstance(node, Mapping) and _are_named(node):
    for name, tool in node.items():
      build = functools.partial(_build, {"name": name, **tool}, {})
      yield Entry(where + pointer(name), build)
  else:
    detail = f"{shown(node)} is no tool"
    yield refused_entry(where, Refused(RefusalReason.BAD_RECORD, detail))


def _held(node: Mapping[str, Json]) -> dict[str, Json]:
  """The lists of tools, or the one tool, that an object holds.

  A tool that has parameters holds none, whatever it has under such a key.
  """
  is_tool = any(key in _PARAMETERS for key in _keys(node))
  found: dict[str, Json] = {}
  for key, value in node.items():
    plain = plain_key(key)
    if plain in _WRAPPERS and isinstance(value, Mapping):
      found[key] = value
    elif plain in _CONTAINERS and not is_tool:
      value = _loaded(value)
      if isinstance(value, Mapping | list):
        found[key] = value
  # A result may be of anything.
  return {
    key: value
    for key, value in found.items()
    if plain_key(key) != "result"
    or (isinstance(value, Mapping) and _held(value))
  }


def _loaded(value: Json) -> Json:
  """What JSON text holds, as in xLAM's rows; anything else as it is."""
  if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
    try:
      return jsontext.load(value)
    except jsontext.JsonTextError:
      return value
  return value


def _keys(record: Mapping[str, Json]) -> dict[str, Json]:
  """What a record says, by plain key; the first of two that are one."""
  found: dict[str, Json] = {}
  for key, value in record.items():
    if value is not None:
      found.setdefault(plain_key(key), value)
  return found


def _is_tool(record: Mapping[str, Json]) -> bool:
  """Whether it says more than a name, which much else has too."""
  keys = _keys(record)
  more = keys.get("type") == "function" or any(
    key in keys for key in (*_DESCRIPTIONS, *_PARAMETERS)
  )
  return more and any(key in keys for key in _NAMES)


def _are_named(node: Mapping[str, Json]) -> bool:
  """Whether all values are tools whose names are the keys."""
  values = [
    _keys(value) for value in node.values() if isinstance(value, Mapping)
  ]
  return (
    0 < len(values) == len(node)
    and all("description" in keys for keys in values)
    and any(key in keys for keys in values for key in _PARAMETERS)
  )


def _build(record: Json, beside: Mapping[str, Json], tell: Tell) -> Tool:
  """Makes a tool of a record that stands in a wrapper, `beside` other keys."""
  keys = _keys(record)
  name = next((keys[key] for key in _NAMES if key in keys), None)
  if not isinstance(name, str) or not name:
    refuse(f"the name is {shown(name)}, not text")
  given = {key: keys[key] for key in _PARAMETERS if key in keys}
  description = _description(keys, tell)
  kinds = (keys.get("type"), beside.get("type"))
  if "custom" in kinds and not given:
    refuse(f"{name!r:.60} takes free text, no parameters")
  empty = not description and given.keys() <= {"arguments"}
  if empty and (given or "function" not in kinds):  # A call, or only a name.
    refuse(f"{name!r:.60} has neither a description nor parameters")
  unread = [
    (key, value)
    for key, value in (*record.items(), *beside.items())
    if _hides_parameters(plain_key(key), value, given)
  ]
  for key, value in unread:
    detail = f"{name!r:.60} has parameters under {key!r}: {shown(value)}"
    refuse(detail, RefusalReason.UNKNOWN_PARAMETERS)
  schema = _parameters(given, keys.get("required"), tell)
  schema = SchemaReader(tell).schema(schema)
  return Tool(name, description, {**schema, **_object_type(schema)})


def _description(keys: Mapping[str, Json], tell: Tell) -> str:
  for key in _DESCRIPTIONS:
    if keys.get(key):
      try:
        return as_text(keys[key])
      except ValueError as error:
        tell(f"{key} is {shown(keys[key])}, {error}")
  return ""


def _hides_parameters(key: str, value: Json, given: Mapping[str, Json]) -> bool:
  """Whether a key may hold parameters other than those that are read."""
  if not value or value == given.get(key):
    return False
  if key in _PARAMETERS or (key in _CONTAINERS and isinstance(value, str)):
    return True  # The second of two spellings, or a list written as text.
  words = set(key.split("_"))
  if words & _OF_RESULTS or not isinstance(value, Mapping | list):
    return key == "signature" and not given
  return bool(words & _LIKE or (words & _PERHAPS and not given))


def _parameters(
  given: Mapping[str, Json], required: Json, tell: Tell
) -> dict[str, Json]:
  """One schema of all that is given; parameters of one name are the same."""
  if required is not None and not isinstance(required, list):
    if not isinstance(required, str):
      tell(f"required is {shown(required)}, not a list of names")
    required = [required] if isinstance(required, str) else None
  # Who is required may be said beside the parameters.
  said = required is not None or any(_PARAMETERS[key] for key in given)
  schema: dict[str, Json] = {}
  for key, value in given.items():
    default = False if said and _PARAMETERS[key] is None else _PARAMETERS[key]
    schema = _union(schema, _schema_of(key, value, default, tell))
  schema = schema or {**_OBJECT, "properties": {}}
  if required is not None:
    own = schema.get("required")
    schema["required"] = [*(own if isinstance(own, list) else ()), *required]
  return schema


def _schema_of(
  key: str, value: Json, required: bool | None, tell: Tell
) -> dict[str, Json]:
  """The schema under one key; empty if there is nothing."""
  value = _loaded(value)
  if isinstance(value, Mapping) and len(value) == 1:
    inner = value.get("json", value.get("jsonSchema"))  # Bedrock's
    value = inner if isinstance(inner, Mapping) and _is_schema(inner) else value
  if value in (None, "", [], {}):
    return {}
  if isinstance(value, Mapping) and _is_schema(value):
    return dict(value)
  if isinstance(value, Mapping | list):
    return tables.schema_of(value, key, required, tell)
  refuse(
    f"{key} is {shown(value)}, neither a schema nor a table",
    RefusalReason.UNKNOWN_PARAMETERS,
  )


_OBJECT = {"type": "object"}


def _object_type(schema: Mapping[str, Json]) -> dict[str, Json]:
  """Arguments are an object, also where their schema says less or more."""
  kind = schema.get("type")
  if kind is None or (isinstance(kind, list) and "object" in kind):
    return _OBJECT
  return {}


def _union(schema: dict[str, Json], more: dict[str, Json]) -> dict[str, Json]:
  """The parameters of two keys of one tool; the first of a name counts."""
  if not schema or not more:
    return schema or more
  own, other = schemas.properties(schema), schemas.properties(more)
  properties = {**own, **other, **own}
  lists = [one.get("required") for one in (schema, more)]
  required = [x for names in lists if isinstance(names, list) for x in names]
  found = {**more, **schema, "properties": properties}
  return {**found, "required": required} if required else found


def _is_schema(value: Mapping[str, Json]) -> bool:
  """Whether it is a JSON Schema, and not a table of parameters by name."""
  inside = value.get("properties")
  if isinstance(inside, Mapping) and all(
    item is None or isinstance(item, Mapping | bool) for item in inside.values()
  ):
    return True
  kind = value.get("type")
  if isinstance(kind, str) and kind.lower() in ("object", "dict"):
    return True
  if isinstance(value.get("$ref"), str) or "$schema" in value:
    return True
  return any(isinstance(value.get(key), list) for key in dialects.LISTED) or (
    isinstance(kind, str | list) and all(key in KEYWORDS for key in value)
  )
