"""The central records: tool, call, message, example.

Each is a frozen dataclass with lossless JSON, `from_json(x.to_json()) == x`.
Mappings inside are shared, not copied: treat them as read-only.

In a row, an example's tools are one string of JSON text. Columnar stores give
every row of a nested column the union of all fields, padded with nulls; tool
schemas differ from row to row, and the padding would change them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tooldev_jax.toolcall import jsontext
from tooldev_jax.toolcall.jsontext import Json

ROLES = ("system", "user", "assistant", "tool")

_T = TypeVar("_T")


class MalformedError(ValueError):
  """A record that lacks a field or has one of the wrong kind.

  Attributes:
    where: JSON pointer of the field, such as `/messages/2/role`.
    detail: what was found and what is allowed.
  """

  def __init__(self, where: str, detail: str):
    super().__init__(f"{where or '/'}: {detail}")
    self.where = where
    self.detail = detail

  def under(self, prefix: str) -> "MalformedError":
    """The same error, seen from a record that holds this one."""
    return MalformedError(prefix + self.where, self.detail)


@dataclasses.dataclass(frozen=True)
class Tool:
  """The definition of a tool; nothing here can be executed.

  Attributes:
    name: what calls say.
    description: for the model.
    parameters: a JSON Schema whose type is object. It is kept as its source
      wrote it, Python type names included; `toolcall.schemas` reads those.
  """

  name: str
  description: str = ""
  parameters: Mapping[str, Json] = dataclasses.field(
    default_factory=lambda: {"type": "object", "properties": {}}
  )

  def to_json(self) -> dict[str, Json]:
    return {
      "name": self.name,
      "description": self.description,
      "parameters": self.parameters,
    }

  @classmethod
  def from_json(cls, obj: Json) -> "Tool":
    """Reads our own form or OpenAI's `{"type": "function", "function": …}`.

    A missing or null description is empty, missing or null parameters are
    none. Other fields (`strict`, `response`) are not part of a definition and
    are left behind.

    Raises:
      MalformedError: the name is missing or empty, or a field has another type.
    """
    record = _mapping(obj, "")
    if "function" in record and "name" not in record:
      return _within("/function", cls.from_json, record["function"])
    name = _text(record, "name", "")
    if not name:
      raise MalformedError("/name", "is missing or empty")
    parameters = record.get("parameters")
    if parameters is None:
      parameters = {"type": "object", "properties": {}}
    return cls(
      name=name,
      description=_text(record, "description", ""),
      parameters=_mapping(parameters, "/parameters"),
    )

  def dumps(self) -> str:
    """One line of compact JSON."""
    return jsontext.dump(self.to_json())

  @classmethod
  def loads(cls, text: str) -> "Tool":
    """The inverse of `dumps`.

    Raises:
      MalformedError: the text is not JSON, or not a tool.
    """
    return cls.from_json(_load(text, ""))


@dataclasses.dataclass(frozen=True)
class Call:
  """One use of a tool: its name and the arguments by parameter name."""

  name: str
  arguments: Mapping[str, Json] = dataclasses.field(default_factory=dict)

  def to_json(self) -> dict[str, Json]:
    return {"name": self.name, "arguments": self.arguments}

  @classmethod
  def from_json(cls, obj: Json) -> "Call":
    """Raises MalformedError where name or arguments are not as above."""
    record = _mapping(obj, "")
    name = _text(record, "name", "")
    if not name:
      raise MalformedError("/name", "is missing or empty")
    return cls(name, _mapping(record.get("arguments", {}), "/arguments"))


@dataclasses.dataclass(frozen=True)
class Message:
  """One turn of a conversation.

  Attributes:
    role: one of `ROLES`.
    content: the text; a tool's result as text.
    calls: what an assistant's turn calls.
    name: of the tool, in a turn of the role tool.
    trained: False for an assistant's turn that is only context.
  """

  role: str
  content: str = ""
  calls: tuple[Call, ...] = ()
  name: str = ""
  trained: bool = True

  def to_json(self) -> dict[str, Json]:
    """Fields at their default are left out, as chat templates expect."""
    obj: dict[str, Json] = {"role": self.role, "content": self.content}
    if self.calls:
      obj["calls"] = [call.to_json() for call in self.calls]
    if self.name:
      obj["name"] = self.name
    if not self.trained:
      obj["trained"] = False
    return obj

  @classmethod
  def from_json(cls, obj: Json) -> "Message":
    """Raises MalformedError: an unknown role, or a field of another type."""
    record = _mapping(obj, "")
    role = _text(record, "role", "")
    if role not in ROLES:
      raise MalformedError("/role", f"is {role!r}; allowed: {', '.join(ROLES)}")
    return cls(
      role=role,
      content=_text(record, "content", ""),
      calls=_each(record.get("calls", ()), "/calls", Call.from_json),
      name=_text(record, "name", ""),
      trained=_flag(record, "trained", True),
    )


@dataclasses.dataclass(frozen=True)
class Example:
  """A query or a conversation, the tools at hand, and what is right.

  Attributes:
    id: unique within its source.
    messages: the conversation so far; it ends with the turn to answer.
    tools: what may be called.
    calls: the gold calls; empty where no tool fits.
    answer: text beside the calls, or instead of them.
    provenance: where it came from: `source`, `split`, `category`, `line`.
  """

  id: str
  messages: tuple[Message, ...]
  tools: tuple[Tool, ...] = ()
  calls: tuple[Call, ...] = ()
  answer: str = ""
  provenance: Mapping[str, Json] = dataclasses.field(default_factory=dict)

  @property
  def query(self) -> str:
    """The text of the last user turn; empty where there is none."""
    for message in reversed(self.messages):
      if message.role == "user":
        return message.content
    return ""

  @property
  def called_tools(self) -> tuple[Tool, ...]:
    """The tools that the gold calls name, in the order of `tools`."""
    names = {call.name for call in self.calls}
    return tuple(tool for tool in self.tools if tool.name in names)

  def to_json(self) -> dict[str, Json]:
    """A row; `tools` is a string of JSON text."""
    return {
      "id": self.id,
      "messages": [message.to_json() for message in self.messages],
      "tools": jsontext.dump([tool.to_json() for tool in self.tools]),
      "calls": [call.to_json() for call in self.calls],
      "answer": self.answer,
      "provenance": self.provenance,
    }

  @classmethod
  def from_json(cls, obj: Json) -> "Example":
    """Reads a row; `tools` may also be a plain list.

    Raises:
      MalformedError: names the field that is missing or of the wrong kind.
    """
    record = _mapping(obj, "")
    tools = record.get("tools", ())
    if isinstance(tools, str):
      tools = _load(tools, "/tools")
    return cls(
      id=_text(record, "id", ""),
      messages=_each(record.get("messages"), "/messages", Message.from_json),
      tools=_each(tools, "/tools", Tool.from_json),
      calls=_each(record.get("calls", ()), "/calls", Call.from_json),
      answer=_text(record, "answer", ""),
      provenance=_mapping(record.get("provenance", {}), "/provenance"),
    )


def _mapping(value: Any, where: str) -> Mapping[str, Json]:
  if not isinstance(value, Mapping):
    raise MalformedError(where, f"must be an object, not {_kind(value)}")
  return value


def _text(record: Mapping[str, Json], key: str, default: str) -> str:
  """The string at `key`; null counts as missing."""
  value = record.get(key)
  if value is None:
    return default
  if not isinstance(value, str):
    raise MalformedError(f"/{key}", f"must be a string, not {_kind(value)}")
  return value


def _flag(record: Mapping[str, Json], key: str, default: bool) -> bool:
  """The boolean at `key`; null counts as missing."""
  value = record.get(key)
  if value is None:
    return default
  if not isinstance(value, bool):
    raise MalformedError(f"/{key}", f"must be a boolean, not {_kind(value)}")
  return value


def _each(
  values: Any, where: str, read: Callable[[Json], _T]
) -> tuple[_T, ...]:
  if not isinstance(values, Sequence) or isinstance(values, str):
    raise MalformedError(where, f"must be a list, not {_kind(values)}")
  return tuple(
    _within(f"{where}/{index}", read, value)
    for index, value in enumerate(values)
  )


def _within(where: str, read: Callable[[Json], _T], value: Json) -> _T:
  """`read(value)`, whose errors then name the place in the whole record."""
  try:
    return read(value)
  except MalformedError as error:
    raise error.under(where) from None


def _load(text: Any, where: str) -> Json:
  if not isinstance(text, str):
    raise MalformedError(where, f"must be JSON text, not {_kind(text)}")
  try:
    return jsontext.load(text)
  except jsontext.JsonTextError as error:
    raise MalformedError(where, f"is not JSON text: {error}") from None


def _kind(value: Any) -> str:
  """JSON's name for the type of `value`."""
  if value is None:
    return "null"
  if isinstance(value, bool):
    return "a boolean"
  if isinstance(value, int | float):
    return "a number"
  if isinstance(value, str):
    return "a string"
  if isinstance(value, Mapping):
    return "an object"
  if isinstance(value, Sequence):
    return "a list"
  return type(value).__name__
