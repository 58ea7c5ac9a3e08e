"""System texts that offer tools: the tools, and what is said beside them.

Public sets write their tools as JSON into the system text, together with the
rules of their call format. We write tools and rules ourselves, so those are
taken out. Whatever else stands there is kept for the prompt: the date, the
user's city and the like are what gold arguments are made of.

Only a block of tools is read as tools: what stands between `<tools>` tags, or,
without tags, JSON that defines tools. Any other JSON is text. A definition in
the block that is broken is an error, never one tool less.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from tooldev_jax.data.sources import padding, rows
from tooldev_jax.toolcall import jsontext, vocabulary
from tooldev_jax.toolcall.importers import base, functions

_TAGGED = re.compile(
  r"<(tools|functions|available_tools|available_functions)>"
  r"(?P<body>[^<{\[]*[\[{].*?|\s*\[\s*\]\s*)</\1>",
  re.DOTALL | re.IGNORECASE,
)
_SAMPLE_CALL = re.compile(
  r"<(tool_calls?|function_calls?|functioncall)>.*?(?:</\1>|\Z)", re.DOTALL
)
_BETWEEN = re.compile(r"[\s,;]*\Z")
_PARAMETERS = re.compile(r"\bparameters[\"']?\s*:\s*(?:\{|\Z)", re.IGNORECASE)
_ITS_NAME = re.compile(r"\bname[\"']?\s*:\s*[\"']?([^\"'\n,}]{1,80})")
_START = re.compile(r"[\[{]")
_SCHEMA_KEYS = (
  "parameters", "input_schema", "inputSchema", "args_schema",
  "input_parameters", "required_parameters", "optional_parameters",
  "parameter_definitions",
)  # fmt: skip
_MAX_STARTS = 10_000

_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_LIST_MARK = re.compile(r"\A\s*(?:\d{1,2}[.)]\s+|[-*#>]+\s*)+")
_WORD = re.compile(r"[^\W_]+")
# The words of the prompts that public sets (Hermes, Glaive, ToolACE, xLAM,
# Hammer, ToolRL) and chat templates explain calling with. A sentence made of
# nothing else is such an explanation, and holds no value of an argument.
_RULE_WORDS = """
a about above access according achieve action actions adhere ai also always
an and answer answers any api apis appropriate are argument arguments array
as ask assist assistant assistants assumptions at available avoid based be
before below best by call called calling calls can capable chat choose code
complete composing conversation correct could decide define defined
description details dialogue dict dictionary directly do does don done each
either else empty enclosed ensure error example examples execute expert
external fill first follow following follows for format formatted from func
function functioncall functions generate given have help helpful here how i
if in included including incorrect inside instead into invoke is it its json
key keys lack lacking lacks latest less leveraging like list make making may
meet missing model more multi multiple must name named names necessary need
needed needs no none not note nothing object objects of on once one only or
order other otherwise out output outside pad parallel param parameter
parameters params pass perform planning please plug point possible prompt
proper properties property provide provided purpose put pydantic query
question questions reasoning record refuse relevant reply request requested
requests require required requires respond response responses result results
return returned returning s schema scratch section sections see select set
should shouldn signature signatures so solve some specific step strictly
string structured such suitable sure syntax system t tag tags task tasks
text than that the their them then there these they this those title to
together tool tools true turn type types unless until use used user users
uses using valid value values variables want well what when where whether
which will wish with within without write xml you your
"""
_ABOUT_CALLS = """
api apis call called calling calls format func function functioncall functions
invoke json output parameter parameters tag tags tool tools xml reply respond
"""
_RULES = frozenset(_RULE_WORDS.split())
_CALLING = frozenset(_ABOUT_CALLS.split())


@dataclasses.dataclass(frozen=True)
class SystemText:
  """A system text, taken apart.

  Attributes:
    definitions: JSON values of the block of tools, not yet checked.
    said: what is said beside the tools and the rules of calling.
    broken: what looks like a definition and is not JSON; empty if there is
      none.
  """

  definitions: tuple[jsontext.Json, ...]
  said: str
  broken: str = ""

  def tools(self) -> tuple[vocabulary.Tool, ...]:
    """The tools of the block.

    Raises:
      RowError: a definition is broken; the error names it.
    """
    if self.broken:
      raise rows.RowError("a tool cannot be read", self.broken)
    return tuple(map(read_tool, self.definitions))

  def messages(self) -> list[vocabulary.Message]:
    """What is said, as a system turn; nothing where nothing is said."""
    return [vocabulary.Message("system", self.said)] if self.said else []


def read_tool(definition: jsontext.Json) -> vocabulary.Tool:
  """One tool, which may be padded or in a dialect that importers know.

  Raises:
    RowError: it is none; the error names it where it has a name.
  """
  inner = _inner(definition)
  try:
    if inner.get("parameters") is None:
      (entry,) = functions.entries(definition)
      tool = entry.build(_refuse)
      schema = padding.clean_schema(tool.parameters)
      return dataclasses.replace(tool, parameters=schema)
    return padding.read_tool(definition)
  except (vocabulary.MalformedError, base.Refused, ValueError) as e:
    shown = jsontext.dump(inner.get("name", definition))
    raise rows.RowError("a tool cannot be read", f"{shown[:80]}: {e}") from e


def _refuse(detail: str) -> NoReturn:
  """Raises where an importer would leave something out of a tool."""
  raise ValueError(detail)


def take_apart(text: str) -> SystemText:
  """Finds the block of tools in a system text, and what stands beside it.

  Raises:
    RowError: JSON in it has equal keys or NaN, or is nested too deeply.
  """
  tagged = list(_TAGGED.finditer(text))
  if tagged:
    definitions: list[jsontext.Json] = []
    broken = ""
    for match in tagged:
      found = _values(match["body"])
      definitions += [item for value in found for item in _items(value)]
      broken = broken or _not_json(match["body"], found)
    beside = _TAGGED.sub("\n", text)
    return SystemText(tuple(definitions), _said(beside), broken)
  return _untagged(text)


@dataclasses.dataclass(frozen=True)
class _Value:
  """A JSON value in a text, and where it stands."""

  value: jsontext.Json
  start: int
  end: int


def _untagged(text: str) -> SystemText:
  values = _values(text)
  runs: list[list[_Value]] = []
  for value in values:
    follows = runs and _BETWEEN.match(text, runs[-1][-1].end, value.start)
    if follows and isinstance(value.value, Mapping):
      runs[-1].append(value)
    else:
      runs.append([value])
  blocks = [run for run in runs if _defines(run, _has_schema)]
  blocks = blocks or [run for run in runs if _defines(run, _is_described)]
  # What is left of a definition that is not JSON has parameters all the same.
  left = [x for x in _between(text, values) if _PARAMETERS.search(x)]
  cursor, beside = 0, ""
  for run in blocks:
    beside += text[cursor : run[0].start] + "\n"
    cursor = run[-1].end
  definitions = [x for run in blocks for v in run for x in _items(v)]
  return SystemText(
    tuple(definitions),
    said=_said(beside + text[cursor:]),
    broken=_broken(left[0]) if left else "",
  )


def _values(text: str) -> list[_Value]:
  """The JSON objects and lists in `text`, outermost ones only."""
  found: list[_Value] = []
  cursor = tries = 0
  while match := _START.search(text, cursor):
    tries += 1
    if tries > _MAX_STARTS:
      raise rows.RowError("a tool cannot be read", "too many brackets")
    try:
      value, cursor = jsontext.load_at(text, match.start())
    except jsontext.JsonSyntaxError:
      cursor = match.end()
    except jsontext.JsonTextError as e:
      raise rows.RowError("a tool cannot be read", str(e)) from e
    else:
      found.append(_Value(value, match.start(), cursor))
  return found


def _items(found: _Value) -> Sequence[jsontext.Json]:
  return found.value if isinstance(found.value, list) else [found.value]


def _between(text: str, found: Sequence[_Value]) -> list[str]:
  """The pieces of `text` before, between and after the values."""
  bounds = [(0, 0), *((v.start, v.end) for v in found), (len(text), 0)]
  return [text[a:b] for (_, a), (b, _) in itertools.pairwise(bounds)]


def _not_json(body: str, found: Sequence[_Value]) -> str:
  """What stands in a tagged block beside its JSON values; empty is right."""
  pieces = [x for x in _between(body, found) if x.strip(" \t\r\n,;")]
  return _broken("".join(pieces)) if pieces else ""


def _broken(text: str) -> str:
  """Says which definition is left in `text`, by its name if it has one."""
  name = _ITS_NAME.search(text)
  shown = name.group(1).strip() if name else " ".join(text.split())[:80]
  return f"{shown}: the definition is not JSON"


def _inner(item: jsontext.Json) -> Mapping[str, jsontext.Json]:
  """The definition itself, with or without OpenAI's wrapping."""
  if not isinstance(item, Mapping):
    return {}
  function = item.get("function")
  return function if isinstance(function, Mapping) else item


def _defines(
  run: Sequence[_Value],
  looks_right: Callable[[Mapping[str, jsontext.Json]], bool],
) -> bool:
  return any(looks_right(_inner(x)) for value in run for x in _items(value))


def _has_schema(item: Mapping[str, jsontext.Json]) -> bool:
  """Whether `item` has the shape of a tool with parameters."""
  keys = [key for key in _SCHEMA_KEYS if key in item]
  if not keys or "arguments" in item:
    return False
  schema = item[keys[0]]
  if not isinstance(schema, Mapping):
    return "description" in item
  # A sample call may say "parameters" too; its values are no schemas.
  return (
    "type" in schema
    or "properties" in schema
    or all(isinstance(value, Mapping) for value in schema.values())
  )


def _is_described(item: Mapping[str, jsontext.Json]) -> bool:
  """Whether `item` is a name and a description and nothing else."""
  return {"name", "description"} == set(item)


def _said(text: str) -> str:
  """`text` without what explains how to call."""
  lines: list[str] = []
  explained = False
  for line in _SAMPLE_CALL.sub(" ", text).split("\n"):
    mark = _LIST_MARK.match(line)
    body = line[mark.end() :] if mark else line
    kept = []
    for sentence in _SENTENCE.split(body.strip()):
      words = _words(sentence)
      rule = words <= _RULES and (explained or not words.isdisjoint(_CALLING))
      # "Use them if required" is about calls after a sentence that is.
      explained = rule if words else explained
      if words and not rule:
        kept.append(sentence)
    if kept:
      lines.append((mark.group() if mark else "") + " ".join(kept))
    elif lines and lines[-1]:
      lines.append("")
  return "\n".join(lines).strip()


def _words(sentence: str) -> set[str]:
  """The words without numbers at their end: `func1` is `func`."""
  found = _WORD.findall(sentence.lower())
  return {word.rstrip("0123456789") or word for word in found}
