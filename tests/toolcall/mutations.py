"""Seeded mutations of what is read: JSON, JSON lines, YAML, text, templates.

`mutated(text, kind, seed)` gives one broken copy of a good text; the same seed
gives the same copy. Structure is broken where the kind has one (keys deleted,
doubled, renamed, values swapped for odd ones), and now and then the characters.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
  None, True, False, 0, -1, 1.5, 1e300, 10**40, "", " ", "a", "true", "10", "#",
  "#/", "#/a", "object", "\u0000", "\x1b[31m", "\ud800", "\u202e", "é\u0301",
  "订单", "😀", "x" * 3000, [], {}, [[]], [None], {"": ""}, {"$ref": "#"},
  {"$ref": "#/paths"}, ["object", "null"], {"type": "object"}, [{"name": "a"}],
  {"properties": {"a": {}}}, "(", "(?=a)a", "__proto__", "{a}", "$ref",
)  # fmt: skip
ODD_KEYS = (
  "", "type", "properties", "required", "$ref", "enum", "items", "allOf",
  "oneOf", "anyOf", "not", "default", "parameters", "schema", "content",
  "name", "in", "additionalProperties", "readOnly", "example", "nullable",
  "minimum", "tools", "exclusiveMinimum", "pattern", "format",
  "description", "operationId", "function", "arguments", "const",
  "maxLength", "examples", "x-a", "订单",
)  # fmt: skip
_PIECES: Mapping[str, tuple[str, ...]] = {
  "text": (
    "", "\n", "\r\n", "\t", "\u0000", "\x07", "\ufeff", "\u2028", "😀",
    "é\u0301", *"\"'\\{}[]()<>,:=", "null", "None", "NaN", "1e999", "9" * 400,
    "[" * 300, "{" * 300, '{"a":' * 200, "</", "<think>",
    "</think>", "<tool_call>", "[TOOL_CALLS]", "```", "\\ud83d",
  ),
  "yaml": (
    ":", ": ", "- ", "? ", "*x", "&x ", "<<: ", "!!int ", "!!python/none ", "|",
    ">", "@", "`", "%YAML 1.1\n", "---\n", "...", "~", "no", "0x1F", ".nan",
    "  ", "{", "[", "]", "#", "\t", "2024-01-01",
  ),
  "template": (
    "{{", "}}", "{%", "%}", "{#", "#}", "{% if %}", "{% endif %}", "{{ x() }}",
    "{% for a in b %}", "{% endfor %}", "{{ raise_exception('no') }}",
    "{{ a.b }}",
    "{{ messages }}", "{{ ''.__class__ }}", "{% include 'a' %}", "|tojson", "-",
    "{{ 9 ** 9 }}",
  ),
}  # fmt: skip


def mutated(text: str, kind: str, seed: int) -> str:
  """A broken copy of `text`.

  Args:
    text: a good one.
    kind: "json", "jsonl", "yaml", "text" or "template".
    seed: chooses what is broken.
  """
  rng = random.Random(f"{kind} {seed}")
  return _KINDS[kind](text, rng)


def mutate_tree(tree: Any, rng: random.Random) -> Any:
  """A copy of a JSON value with one to six odd places."""
  holder = [copy.deepcopy(tree)]
  for _ in range(rng.randint(1, 6)):
    places = list(_places(holder))
    inside, key = rng.choice(places)
    _CHANGES[rng.randrange(len(_CHANGES))](inside, key, places, rng)
    if not holder:
      return None
  return holder[0]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
  """(holder, key or index) of everything in a list or an object."""
  pending = [tree]
  while pending:
    item = pending.pop()
    for key in item if isinstance(item, dict) else range(len(item)):
      yield item, key
      if isinstance(item[key], dict | list):
        pending.append(item[key])


def _replace(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  inside[key] = copy.deepcopy(rng.choice(ODD_VALUES))


def _retype(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  value = inside[key]
  ways = [[value], {"a": value}, None, json.dumps(value), len(str(value))]
  if isinstance(value, dict):
    ways += [list(value.values()), list(value)]
  elif isinstance(value, list):
    ways.append({str(index): item for index, item in enumerate(value)})
  inside[key] = rng.choice(ways)


def _move(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  source, other = rng.choice(places)
  inside[key] = copy.deepcopy(source[other])


def _delete(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  del inside[key]


def _double(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  if isinstance(inside, list):
    inside.insert(key, copy.deepcopy(inside[key]))
  else:
    inside[rng.choice(ODD_KEYS)] = copy.deepcopy(inside[key])


def _rename(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  if isinstance(inside, dict):
    new = rng.choice((key + "s", key.upper(), key[1:], rng.choice(ODD_KEYS)))
    items = [(new if name == key else name, inside[name]) for name in inside]
    inside.clear()
    inside.update(items)


def _add(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  if isinstance(inside, dict):
    inside[rng.choice(ODD_KEYS)] = copy.deepcopy(rng.choice(ODD_VALUES))


def _deepen(inside: Any, key: Any, places: Any, rng: random.Random) -> None:
  value = inside[key]
  for _ in range(rng.choice((3, 40, 130))):
    value = [value] if rng.random() < 0.5 else {"properties": {"a": value}}
  inside[key] = value


_CHANGES: tuple[Callable[[Any, Any, Any, random.Random], None], ...] = (
  _replace, _replace, _replace, _retype, _retype, _move, _move, _delete,
  _delete, _double, _rename, _add, _add, _deepen,
)  # fmt: skip


def _json(text: str, rng: random.Random) -> str:
  changed = json.dumps(
    mutate_tree(json.loads(text), rng), ensure_ascii=rng.random() < 0.5
  )
  # Files hold UTF-8, which has no lone surrogates.
  changed = changed.encode("utf-8", "backslashreplace").decode()
  return _text(changed, rng) if rng.random() < 0.15 else changed


def _jsonl(text: str, rng: random.Random) -> str:
  lines = text.splitlines()
  for _ in range(rng.randint(1, 3)):
    at = rng.randrange(len(lines))
    if rng.random() < 0.8:
      lines[at] = _json(text.splitlines()[at % len(text.splitlines())], rng)
    elif rng.random() < 0.5:
      lines.insert(at, lines[at])
    else:
      lines[at] = ""
  return "\n".join(lines)


def _yaml(text: str, rng: random.Random) -> str:
  lines = text.splitlines()
  for _ in range(rng.randint(1, 4)):
    at = rng.randrange(len(lines))
    line = lines[at]
    key, colon, _ = line.partition(": ")
    lines[at : at + 1] = rng.choice(
      (
        [], [line, line], [" " + line], [line[2:]], [key + colon],
        [key + colon + rng.choice(_PIECES["yaml"])],
        [key + colon + json.dumps(rng.choice(ODD_VALUES))],
        [line + rng.choice(_PIECES["yaml"])],
      )
    )  # fmt: skip
    if not lines:
      return ""
  changed = "\n".join(lines)
  return _text(changed, rng, "yaml") if rng.random() < 0.3 else changed


def _text(text: str, rng: random.Random, kind: str = "text") -> str:
  pieces = (*_PIECES["text"], *_PIECES.get(kind, ()) * 3)
  for _ in range(rng.randint(1, 4)):
    start = rng.randint(0, len(text))
    end = min(len(text), start + rng.choice((0, 0, 1, 3, 20)))
    piece = rng.choice(pieces)
    text = rng.choice(
      (
        text[:start] + piece + text[end:],
        text[:start] + text[end:],
        text[:end] + text[start:],
        text[:start],
        text[:start] + chr(rng.randrange(1, 0xD800)) + text[end:],
      )
    )
  return text


def _template(text: str, rng: random.Random) -> str:
  return _text(text, rng, "template")


_KINDS: Mapping[str, Callable[[str, random.Random], str]] = {
  "json": _json,
  "jsonl": _jsonl,
  "yaml": _yaml,
  "text": _text,
  "template": _template,
}
