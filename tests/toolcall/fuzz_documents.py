"""Fuzzes what meets documents: importers, checks, views, YAML, made tools.

`python -m tests.toolcall.fuzz_documents --count=100000` breaks good documents
in a few places each and fails on the first error that is not a reader's own.
The seed makes a run repeatable; CI runs a shorter one.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import random
import tempfile
from collections.abc import Sequence
from typing import Any

from tests.toolcall import mutations
from tooldev_jax.config import ViewConfig
from tooldev_jax.data import toolparse, views
from tooldev_jax.toolcall import canonical, checks, jsontext, yamltext
from tooldev_jax.toolcall.importers import import_tools
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool

_TREE = {
  "openapi": "3.0.3",
  "paths": {
    "/a/{id}": {
      "parameters": [
        {"name": "id", "in": "path", "schema": {"type": "string"}}
      ],
      "post": {
        "operationId": "make",
        "summary": "Makes.",
        "requestBody": {
          "description": "What.",
          "content": {
            "application/json": {
              "schema": {
                "oneOf": [
                  {"$ref": "#/components/schemas/N"},
                  {"properties": {"b": {"enum": [1, None]}}},
                ]
              }
            }
          },
        },
      },
      "get": {"parameters": [{"$ref": "#/components/parameters/Q"}]},
    }
  },
  "components": {
    "parameters": {
      "Q": {"name": "q", "in": "query", "content": {"x/y": {"schema": {}}}}
    },
    "schemas": {
      "N": {
        "type": "object",
        "required": ["v"],
        "properties": {
          "v": {"type": "integer", "minimum": 0, "example": 3},
          "next": {"$ref": "#/components/schemas/N"},
          "r": {"readOnly": True, "type": "string"},
        },
        "allOf": [{"properties": {"w": {"items": [{"type": "number"}]}}}],
      }
    },
  },
}
_SWAGGER = {
  "swagger": "2.0",
  "paths": {
    "/u": {
      "put": {
        "parameters": [
          {"name": "f", "in": "formData", "type": "file"},
          {"name": "t", "in": "query", "type": "array",
           "items": {"type": "string"}, "default": ["a"]},
          {"name": "b", "in": "body", "schema": {"$ref": "#/definitions/D"}},
        ]
      }
    }
  },
  "definitions": {"D": {"type": "object", "additionalProperties": True}},
}  # fmt: skip
_SCHEMA = {
  "type": "object",
  "properties": {
    "a": {"type": "string", "pattern": "^a+$", "default": "a"},
    "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "c": {"type": "array", "items": {"$ref": "#/$defs/c"}, "maxItems": 3},
    "d": {"type": "dict", "properties": {"e": {"type": "float"}}},
  },
  "required": ["a"],
  "$defs": {"c": {"type": "string", "format": "date", "enum": ["2024-01-01"]}},
}
_SEAL = {
  "api_name": "f",
  "api_description": "F.",
  "parameters": {"a": {"type": "str", "unit": "m", "examples": [1]}},
  "required": ["a"],
}
DOCUMENTS = (
  _TREE,
  _SWAGGER,
  {"tools": [{"name": "f", "description": "F.", "inputSchema": _SCHEMA}]},
  [{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}],
  _SEAL,
)
_ARGUMENTS: tuple[dict[str, Any], ...] = (
  {},
  {"a": "aaa", "b": 3, "c": ["2024-01-01"], "d": {"e": 1.0}},
  {"a": None, "x": [[{"a": {}}]], "": 1e300},
)


def broken(seed: int, whole: Sequence[Any] = DOCUMENTS) -> Any:
  """One of `whole` with one to six odd places."""
  rng = random.Random(seed)
  return mutations.mutate_tree(rng.choice(whole), rng)


def check(tree: Any, path: pathlib.Path) -> str:
  """Reads `tree` in every way; returns how the importer ended."""
  text = jsontext.dump(tree)
  path.write_text(text)
  imported = import_tools(path)
  for tool in imported.tools:
    assert jsontext.load(tool.dumps()) == tool.to_json()
    for arguments in _ARGUMENTS:
      call = Call(tool.name, arguments)
      checks.check_call(call, [tool])
      checks.check_grounded(call, tool, "a 3 2024")
      canonical.canonical_key([call], [tool])
  try:
    for tool in toolparse.parse_tools(text):
      checks.check_tool(tool)
  except toolparse.ToolParseError as error:
    assert 0 <= error.position <= len(text)
  for refusal in imported.refused:
    assert refusal.where.startswith(path.name), refusal
  if imported.tools:
    return "tools, some refused" if imported.refused else "tools"
  return str(imported.refused[0].reason) if imported.refused else "nothing"


def fuzz(count: int, seed: int) -> collections.Counter[str]:
  """Counts how `count` broken documents ended."""
  outcomes: collections.Counter[str] = collections.Counter()
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "document.json"
    for number in range(count):
      tree = broken(seed + number)
      try:
        outcomes[check(tree, path)] += 1
      except Exception as error:
        raise AssertionError(f"seed {seed + number}: {tree!r}") from error
  return outcomes


_ALL_CHANGED = ViewConfig(mask_names=1.0, shuffle_definitions=1.0)


def fuzz_schemas(count: int, seed: int) -> collections.Counter[str]:
  """Counts how views of `count` tools with any schema at all ended."""
  outcomes: collections.Counter[str] = collections.Counter()
  for number in range(count):
    schema = broken(seed + number, (_SCHEMA, {"properties": {"f": _SCHEMA}}))
    if not isinstance(schema, dict):
      continue
    tool = Tool("f", "Says a.", schema)
    for arguments in _ARGUMENTS:
      call = Call("f", arguments)
      message = Message("user", "Call f with a.")
      example = Example("e", (message,), (tool,), (call,), "See `a` of f().")
      try:
        for options in (ViewConfig(), _ALL_CHANGED):
          for kind in views.KINDS:
            found = views.make_view(example, kind, number, options)
            outcomes["views" if found else "none"] += 1
        checks.check_tool(tool)
        checks.check_call(call, [tool])
        checks.check_grounded(call, tool, "a 3")
        canonical.canonical_key([call], [tool])
      except Exception as error:
        raise AssertionError(f"seed {seed + number}: {schema!r}") from error
  return outcomes


def fuzz_texts(count: int, seed: int) -> collections.Counter[str]:
  """Counts how `count` mutated texts, as YAML and as made tools, ended."""
  outcomes: collections.Counter[str] = collections.Counter()
  whole = [json.dumps(tree, indent=1) for tree in DOCUMENTS]
  whole.append("a: &x [1, 2]\nb: {<<: {c: *x}}\n? d\n: |\n  e\n--- !!str f\n")
  for number in range(count):
    rng = random.Random(f"yaml {seed + number}")
    text = rng.choice(whole)
    for _ in range(rng.randint(1, 8)):
      at = rng.randint(0, len(text))
      piece = rng.choice(("", "*x", "&x ", "<<: ", "!!int ", "- ", "? ", "\n"))
      piece = piece or chr(rng.randrange(0xD800))
      text = text[:at] + piece + text[at + rng.choice((0, 0, 1, 3)) :]
    with contextlib.suppress(toolparse.ToolParseError):
      toolparse.parse_tools(text)
    try:
      documents = yamltext.load_all(text)
    except yamltext.YamlTextError:
      outcomes["refused"] += 1
      continue
    except Exception as error:
      raise AssertionError(repr(text)) from error
    for _, value in documents:
      assert jsontext.load(jsontext.dump(value)) == value
    outcomes["read"] += 1
  return outcomes


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--count", type=int, default=100_000)
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args()
  for name, run in (
    ("documents", fuzz),
    ("schemas", fuzz_schemas),
    ("texts", fuzz_texts),
  ):
    outcomes = run(options.count, options.seed)
    print(f"{options.count} {name}")
    for outcome, number in outcomes.most_common():
      print(f"  {number:7d} {outcome}")


if __name__ == "__main__":
  main()
