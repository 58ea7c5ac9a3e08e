"""Types as tool sets name them, as JSON Schema."""

import re
from collections.abc import Mapping

from tooldev_jax.toolcall import schemas
from tooldev_jax.toolcall.jsontext import Json

_MAX_DEPTH = 8  # of brackets
_MAX_LENGTH = 200  # What is longer is no name.

_GENERIC = re.compile(r"(\w+)\s*\[(.*)\]", re.DOTALL)
_QUOTED = re.compile(r"""\s*("[^"]*"|'[^']*')\s*""")
_OPTIONAL = re.compile(r"\s*[,(]\s*optional\b\W*\Z", re.IGNORECASE)
# Names that are no types of JSON Schema, but often written as such.
_TEXTS = (
  "enum", "select", "file", "binary", "image", "audio", "password",
  "creditcard", "geopoint", "character", "bytes", "path", "time", "datetime",
  "timestamp",
)  # fmt: skip
_FORMATS = {
  "date": "date",
  "email": "email",
  "uuid": "uuid",
  "uri": "uri",
  "url": "uri",
}
_WORDS: Mapping[str, dict[str, Json]] = {
  **{name: {"type": "string"} for name in _TEXTS},
  **{
    name: {"type": "string", "format": kind} for name, kind in _FORMATS.items()
  },
  "stringarray": {"type": "array", "items": {"type": "string"}},
  "sequence": {"type": "array"},
  "mapping": {"type": "object"},
  "numeric": {"type": "number"},
  "json": {},
  "": {},
}


def is_optional(name: str) -> bool:
  """Whether a type says that it may be left out: `str, optional`."""
  if len(name) > _MAX_LENGTH:
    return False
  return _bare(name) != name.strip() or name.lower().startswith("optional[")


def type_schema(name: str, depth: int = 0) -> dict[str, Json] | None:
  """JSON Schema of a type: `int`, `List[str]`, `DATE (YYYY-MM-DD)`.

  Returns:
    A schema, which is empty for a type that promises nothing; None for a name
    that is not known.
  """
  if depth > _MAX_DEPTH or len(name) > _MAX_LENGTH:
    return None
  name = _bare(name)
  generic = _GENERIC.fullmatch(name)
  if generic is None:
    name = re.sub(r"[\s_-]|\(.*", "", name.lower())  # `DATE (YYYY-MM-DD)`
    try:
      plain = schemas.json_type(name)
    except KeyError:
      return _WORDS.get(name)
    return {} if plain is None else {"type": plain}
  outer, inner = generic.group(1).lower(), _split(generic.group(2))
  if outer == "optional":
    return type_schema(inner[0], depth + 1)
  if outer == "literal" and all(map(_QUOTED.fullmatch, inner)):
    return {"type": "string", "enum": [item.strip()[1:-1] for item in inner]}
  if outer == "union":
    return _union([type_schema(item, depth + 1) for item in inner])
  base = type_schema(outer, depth + 1)
  if base == {"type": "array"} and len({item.strip() for item in inner}) == 1:
    items = type_schema(inner[0], depth + 1)
    return {**base, "items": items} if items else base
  return base


def _bare(name: str) -> str:
  return _OPTIONAL.sub("", name).strip()


def _union(options: list[dict[str, Json] | None]) -> dict[str, Json]:
  known = [option for option in options if option]
  if len(known) < len(options):
    return {}
  if all(len(one) == 1 and isinstance(one.get("type"), str) for one in known):
    return {"type": list(dict.fromkeys(one["type"] for one in known))}
  return {"anyOf": known}


def _split(text: str) -> list[str]:
  """Splits at commas outside of brackets."""
  parts, depth, start = [], 0, 0
  for i, char in enumerate(text):
    depth += (char == "[") - (char == "]")
    if char == "," and depth == 0:
      parts.append(text[start:i])
      start = i + 1
  return [*parts, text[start:]]
