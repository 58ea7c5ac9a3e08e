"""YAML text as JSON values, for documents that are only data.

Nothing is constructed but what JSON has: the parser's events become lists,
objects, strings, numbers, booleans and null, in one loop without recursion.
Plain scalars mean what YAML 1.2's core schema says, so a country `NO`, a time
`12:30` and a date `2024-07-26` stay text, and keys such as `200` are text too.
Aliases and merge keys (`<<`) are followed, and what they unfold to is bounded.
"""

import re
from collections.abc import Callable, Hashable
from typing import Any, NoReturn

import yaml

from tooldev_jax.toolcall import jsontext
from tooldev_jax.toolcall.jsontext import Json

MAX_VALUES = 1_000_000  # of a document, aliases unfolded

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,1000}")
_BASED = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(
  r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS = {
  **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
  **dict.fromkeys(("true", "True", "TRUE"), True),
  **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PREFIX = "tag:yaml.org,2002:"
_PLAIN_TAGS = {None, "!", *(_PREFIX + x for x in ("str", "map", "seq"))}
_MERGE = object()  # the key `<<`


class YamlTextError(ValueError):
  """Text that is not YAML, or holds what JSON cannot; names the line."""


def load_all(text: str) -> list[tuple[int, Json]]:
  """The documents in `text`, each with the line on which it begins.

  Raises:
    YamlTextError: see there.
  """
  builder = _Builder()
  try:
    for event in yaml.parse(text, Loader=_Loader):
      builder.take(event)
  except yaml.YAMLError as error:
    raise YamlTextError(" ".join(str(error).split())) from None
  except RecursionError:
    raise YamlTextError("nested too deeply") from None
  return builder.documents


class _Open:
  """A list or object that is being read.

  Attributes:
    value: what was read so far.
    anchor: its name for aliases, or None.
    key: of the object's next value; `self` where a key comes next.
    merged: objects whose keys hold where the object has none.
    before: values counted before it.
  """

  def __init__(self, value: list | dict, anchor: str | None, before: int):
    self.value = value
    self.anchor = anchor
    self.key: Any = self
    self.merged: list[dict] = []
    self.before = before


class _Builder:
  """Turns events into documents."""

  def __init__(self) -> None:
    self.documents: list[tuple[int, Json]] = []
    self._open: list[_Open] = []
    self._line = 1
    self._count = 0
    # Name to (value, how many values it unfolds to).
    self._anchors: dict[str, tuple[Json, int]] = {}

  def take(self, event: yaml.Event) -> None:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.DocumentStartEvent):
      self._line, self._count, self._anchors = line, 0, {}
    elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
      _check_tag(event, line)
      if len(self._open) >= jsontext.MAX_DEPTH:
        _fail(line, f"nested deeper than {jsontext.MAX_DEPTH} levels")
      is_object = isinstance(event, yaml.MappingStartEvent)
      new = _Open({} if is_object else [], event.anchor, self._count)
      self._open.append(new)
    elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
      done = self._open.pop()
      if isinstance(done.value, dict):
        for other in done.merged:
          done.value = {**other, **done.value}
      self._add(done.value, done.anchor, self._count - done.before, line)
    elif isinstance(event, yaml.ScalarEvent):
      self._add(_scalar(event, line, self._at_key()), event.anchor, 0, line)
    elif isinstance(event, yaml.AliasEvent):
      if event.anchor not in self._anchors:
        _fail(line, f"the alias *{event.anchor} has no value yet")
      value, size = self._anchors[event.anchor]
      self._count += size
      self._add(value, None, size, line)

  def _at_key(self) -> bool:
    holder = self._open[-1] if self._open else None
    return (
      holder is not None
      and isinstance(holder.value, dict)
      and holder.key is holder
    )

  def _add(self, value: Any, anchor: str | None, size: int, line: int) -> None:
    """Puts a value that is complete where it belongs."""
    self._count += 1
    if self._count > MAX_VALUES:
      _fail(line, f"more than {MAX_VALUES} values")
    if anchor is not None:
      self._anchors[anchor] = (value, size + 1)
    if not self._open:
      self.documents.append((self._line, value))
      return
    holder = self._open[-1]
    if isinstance(holder.value, list):
      holder.value.append(value)
    elif holder.key is holder:
      holder.key = value if value is _MERGE else _key(value, line)
    else:
      key, holder.key = holder.key, holder
      if key is _MERGE:
        holder.merged += _merged(value, line)
      elif key in holder.value:
        _fail(line, f"the key {key!r} occurs twice in one object")
      else:
        holder.value[key] = value


def _merged(value: Json, line: int) -> list[dict]:
  others = value if isinstance(value, list) else [value]
  if not all(isinstance(other, dict) for other in others):
    _fail(line, "'<<' takes an object or a list of objects")
  return others


def _key(value: Json, line: int) -> Hashable:
  if isinstance(value, dict | list):
    _fail(line, "a key is no text")
  return value if isinstance(value, str) else jsontext.dump(value)


def _scalar(event: yaml.ScalarEvent, line: int, is_key: bool) -> Any:
  text: str = event.value
  plain, _ = event.implicit
  if not plain:
    return _tagged(event, line)
  if is_key and text == "<<":
    return _MERGE
  if is_key:  # `200`, `on` and `null` are names as they are written.
    return text
  if text in _WORDS:
    return _WORDS[text]
  if _NOT_FINITE.fullmatch(text):
    _fail(line, f"{text} is not JSON")
  return _number(text, line)


def _number(text: str, line: int) -> Json:
  """A number, where a plain scalar is one."""
  if _INTEGER.fullmatch(text):
    return int(text)
  if _BASED.fullmatch(text):
    return int(text, 0)
  if _FLOAT.fullmatch(text):
    number = float(text)
    if number in (float("inf"), float("-inf")):
      _fail(line, f"the number {text[:40]} is out of range")
    return number
  return text


def _tagged(event: yaml.ScalarEvent, line: int) -> Json:
  """A scalar in quotes, or one that says its type."""
  text: str = event.value
  _, quoted = event.implicit
  if quoted:
    return text
  read: dict[str, Callable[[], Json]] = {
    f"{_PREFIX}str": lambda: text,
    f"{_PREFIX}int": lambda: int(text),
    f"{_PREFIX}float": lambda: float(_number(text, line)),
    f"{_PREFIX}bool": lambda: _WORDS[text],
    f"{_PREFIX}null": lambda: None,
    "!": lambda: text,
  }
  if event.tag not in read:
    _fail(line, f"the tag {event.tag} is not known")
  try:
    return read[event.tag]()
  except (ValueError, KeyError):
    _fail(line, f"{text[:40]!r} is no {event.tag}")


def _check_tag(event: yaml.CollectionStartEvent, line: int) -> None:
  if event.tag not in _PLAIN_TAGS:
    _fail(line, f"the tag {event.tag} is not known")


def _fail(line: int, message: str) -> NoReturn:
  raise YamlTextError(f"line {line}: {message}")
