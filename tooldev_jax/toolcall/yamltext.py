"""YAML text as JSON values.

`ruamel.yaml` parses the text; what is here keeps to what JSON can hold. Plain
scalars mean what YAML 1.2's core schema says, so a country `NO`, a time `12:30`
and a date `2024-07-26` stay text. Keys are text as they are written: `200`,
`on`, `null`. Aliases and merge keys (`<<`) are followed, and what they unfold
to is bounded. Tags of anything that JSON does not know are refused.

The parser is pure Python and reads 0.1 to 0.3 MB a second.
"""

import math
import re
from collections.abc import Mapping
from typing import ClassVar, NoReturn

import ruamel.yaml
from ruamel.yaml import composer, error, nodes, reader, resolver

from tooldev_jax.toolcall import jsontext
from tooldev_jax.toolcall.jsontext import Json

MAX_VALUES = 1_000_000  # of a document, aliases unfolded

_PREFIX = "tag:yaml.org,2002:"
_WORDS: Mapping[str, Json] = {
  **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
  **dict.fromkeys(("true", "True", "TRUE"), True),
  **dict.fromkeys(("false", "False", "FALSE"), False),
}
_CORE = {
  "null": "(?:~|null|Null|NULL|)",
  "bool": "(?:true|True|TRUE|false|False|FALSE)",
  "int": "(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)",
  "float": (
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
  ),
  "merge": "<<",
}


class YamlTextError(ValueError):
  """Text that is not YAML, or holds what JSON cannot; names the line."""


def load_all(text: str) -> list[tuple[int, Json]]:
  """Reads the documents in `text`.

  Returns:
    For each document the line of its first value, from 1, and what it holds.

  Raises:
    YamlTextError: the text is not YAML, an object has a key twice, or a value
      is too deep, too large or not of JSON.
  """
  yaml = ruamel.yaml.YAML(typ="safe", pure=True)
  yaml.Resolver = _CoreResolver
  yaml.composer.warn_double_anchors = False  # An anchor may be set anew.
  yaml.max_depth = jsontext.MAX_DEPTH + 1  # Scalars count as a level.
  found: list[tuple[int, Json]] = []
  try:
    for node in yaml.compose_all(text):
      found.append((_line(node), _Document().value(node, 0)))
  except composer.MaxDepthExceededError as failure:
    line = failure.problem_mark.line + 1
    raise YamlTextError(f"line {line}: {_TOO_DEEP}") from None
  except error.MarkedYAMLError as failure:
    raise YamlTextError(_marked(failure)) from None
  except reader.ReaderError as failure:
    line = text.count("\n", 0, failure.position) + 1
    raise YamlTextError(f"line {line}: {failure.reason}") from None
  except YamlTextError:
    raise
  except (error.YAMLError, ValueError, OverflowError) as failure:
    # An escape beyond Unicode, or a version that is no number.
    detail = f"line {yaml.reader.line + 1}: {failure}"
    raise YamlTextError(detail) from None
  return found


def _marked(failure: error.MarkedYAMLError) -> str:
  mark = failure.problem_mark or failure.context_mark
  parts = (failure.context, failure.problem)
  said = ", ".join(" ".join(part.split()) for part in parts if part)
  return f"line {mark.line + 1}: {said}" if mark else said


_TOO_DEEP = f"nested deeper than {jsontext.MAX_DEPTH} levels"


class _CoreResolver(resolver.VersionedResolver):
  """Knows the core schema only, also under a directive such as %YAML 1.1."""

  versioned_resolver: ClassVar[dict] = {
    None: [
      (_PREFIX + name, re.compile(rf"{pattern}\Z"))
      for name, pattern in _CORE.items()
    ]
  }


class _Document:
  """Turns the nodes of one document into a value.

  A node that has aliases is read once, and counted each time it is used.
  """

  def __init__(self) -> None:
    self._count = 0
    # Value and size of each list and object; None while it is being read.
    self._read: dict[int, tuple[Json, int] | None] = {}

  def value(self, node: nodes.Node, depth: int) -> Json:
    """The value of `node`, inside `depth` lists and objects."""
    if isinstance(node, nodes.ScalarNode):
      self._add(node, 1)
      return _scalar(node)
    if depth >= jsontext.MAX_DEPTH:
      _fail(node, _TOO_DEEP)
    if id(node) in self._read:
      known = self._read[id(node)]
      if known is None:
        _fail(node, f"*{node.anchor} is inside itself")
      self._add(node, known[1])
      return known[0]
    before = self._count
    self._read[id(node)] = None
    self._add(node, 1)
    value: Json
    if isinstance(node, nodes.MappingNode):
      _check_tag(node, "map")
      value = self._object(node, depth + 1)
    else:
      _check_tag(node, "seq")
      value = [self.value(item, depth + 1) for item in node.value]
    self._read[id(node)] = (value, self._count - before)
    return value

  def _object(self, node: nodes.MappingNode, depth: int) -> dict[str, Json]:
    own: dict[str, Json] = {}
    merged: dict[str, Json] = {}
    for key_node, value_node in node.value:
      if not isinstance(key_node, nodes.ScalarNode):
        _fail(key_node, "a key is not text")
      value = self.value(value_node, depth)
      if key_node.tag == f"{_PREFIX}merge":
        others = value if isinstance(value, list) else [value]
        if not all(isinstance(other, dict) for other in others):
          _fail(key_node, "'<<' takes an object or a list of objects")
        for other in others:  # The first that has a key counts.
          merged = {**other, **merged}
      elif (key := _paired(key_node.value)) in own:
        _fail(key_node, f"the key {key!r} occurs twice in one object")
      else:
        own[key] = value
    return {**merged, **own}

  def _add(self, node: nodes.Node, count: int) -> None:
    self._count += count
    if self._count > MAX_VALUES:
      _fail(node, f"more than {MAX_VALUES} values")


def _scalar(node: nodes.ScalarNode) -> Json:
  """The value of text, plain or in quotes, that knows its type."""
  text = _paired(node.value)
  kind = str(node.tag).removeprefix(_PREFIX)
  if kind in ("str", "merge"):
    return text
  if kind not in _CORE:
    _fail(node, f"the tag {node.tag} is not known")
  try:
    if kind == "int":
      return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    if kind == "float":
      number = float(text)
      if not math.isfinite(number):
        _fail(node, f"the number {text[:40]} is out of range")
      return number
    return _WORDS[text]
  except (ValueError, KeyError) as failure:
    if isinstance(failure, YamlTextError):
      raise
    if re.fullmatch(r"[-+]?\.\w+", text):  # `float` does not know `.inf`.
      _fail(node, f"{text} is not JSON")
    _fail(node, f"{text[:40]!r} cannot be read as {kind}")


def _paired(text: str) -> str:
  """Joins the surrogates that JSON's `"\\ud83d\\ude00"` is written with."""
  if text.isascii():
    return text
  return text.encode("utf-16", "surrogatepass").decode(
    "utf-16", "surrogatepass"
  )


def _check_tag(node: nodes.Node, kind: str) -> None:
  if node.tag != _PREFIX + kind:
    _fail(node, f"the tag {node.tag} is not known here")


def _line(node: nodes.Node) -> int:
  return node.start_mark.line + 1


def _fail(node: nodes.Node, message: str) -> NoReturn:
  raise YamlTextError(f"line {_line(node)}: {message}")
