"""BFCL's single-turn cases: its files (v4) as cases, and cases as examples.

The files are `BFCL_v4_<category>.json` and `possible_answer/` with the same
names, JSON lines, in a folder of the user's or in the installed package.
"""

import collections
import dataclasses
import hashlib
import importlib.util
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from tooldev_jax import errors, storage
from tooldev_jax.evaluate import bfcl_checker
from tooldev_jax.tools.jsontext import Json
from tooldev_jax.tools.vocabulary import Call, Example, Message, Tool

# Category → what is judged: "ast" by the checker, the others by call or none.
CATEGORIES: Mapping[str, str] = {
  "simple_python": "ast",
  "simple_java": "ast",
  "simple_javascript": "ast",
  "multiple": "ast",
  "parallel": "ast",
  "parallel_multiple": "ast",
  "irrelevance": "irrelevance",
  "live_simple": "ast",
  "live_multiple": "ast",
  "live_parallel": "ast",
  "live_parallel_multiple": "ast",
  "live_irrelevance": "irrelevance",
  "live_relevance": "relevance",
}
_PREFIX = "BFCL_v4_"


class BfclError(errors.UserError):
  """BFCL files that are missing or not what they should be."""


@dataclasses.dataclass(frozen=True)
class BfclCase:
  """One case of the benchmark.

  Attributes:
    id: BFCL's id.
    category: a key of `CATEGORIES`.
    messages: the question.
    functions: its function documents, untouched: the checker wants them so.
    answers: its possible answers; empty for relevance and irrelevance.
  """

  id: str
  category: str
  messages: tuple[Message, ...]
  functions: tuple[Mapping[str, Any], ...]
  answers: tuple[Mapping[str, Any], ...]

  @property
  def language(self) -> str:
    """The language whose literals the arguments are in."""
    language = self.category.removeprefix("simple_")
    return language if language in bfcl_checker.LANGUAGES else "python"

  def example(self) -> Example:
    """The example a model is asked, with one possible answer as gold calls."""
    return Example(
      id=self.id,
      messages=self.messages,
      tools=tuple(_tool(f, self.language) for f in self.functions),
      calls=tuple(
        _gold_call(a, self.functions, self.language) for a in self.answers
      ),
      provenance={
        "source": "bfcl",
        "split": "test",
        "category": self.category,
        "language": self.language,
      },
    )


def find_folder(folder: storage.PathLike | None = None) -> epath.Path:
  """The folder with BFCL's files: the one given, or the package's own.

  Raises:
    BfclError: neither is there.
  """
  if folder is not None:
    found = epath.Path(folder)
    if not found.is_dir():
      raise BfclError(f"BFCL folder {found} does not exist")
    return found
  spec = importlib.util.find_spec("bfcl_eval")
  for place in (spec.submodule_search_locations or ()) if spec else ():
    if (epath.Path(place) / "data").is_dir():
      return epath.Path(place) / "data"
  raise BfclError(
    "no BFCL folder was given and the package bfcl-eval is not installed"
  )


def read_cases(
  folder: storage.PathLike, categories: Sequence[str] | None = None
) -> list[BfclCase]:
  """Reads the cases of some categories.

  Args:
    folder: the folder with BFCL's files.
    categories: names; None means those of `CATEGORIES` with a file there.

  Raises:
    BfclError: an unknown category, a missing file or a bad row.
  """
  folder = epath.Path(folder)
  if categories is None:
    categories = [c for c in CATEGORIES if _file(folder, c).exists()]
  unknown = sorted(set(categories) - set(CATEGORIES))
  if unknown:
    raise BfclError(
      f"BFCL category {unknown[0]!r} is not known; allowed:"
      f" {', '.join(CATEGORIES)}"
    )
  if not categories:
    raise BfclError(f"{folder} has no file {_PREFIX}<category>.json")
  return [case for c in categories for case in _read_category(folder, c)]


def _file(folder: epath.Path, category: str) -> epath.Path:
  return folder / f"{_PREFIX}{category}.json"


def _rows(path: epath.Path) -> dict[str, Mapping[str, Any]]:
  """Rows by id, in file order."""
  if not path.exists():
    raise BfclError(f"BFCL file {path} does not exist")
  rows: dict[str, Mapping[str, Any]] = {}
  lines = path.read_text(encoding="utf-8").split("\n")
  for number, line in enumerate(lines, start=1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
      rows[row["id"]] = row
    except (ValueError, KeyError, TypeError, RecursionError) as e:
      raise BfclError(f"{path}:{number}: not a BFCL row: {e!r}") from e
  return rows


def _read_category(folder: epath.Path, category: str) -> list[BfclCase]:
  path = _file(folder, category)
  questions = _rows(path)
  answers: Mapping[str, Mapping[str, Any]] = {}
  if CATEGORIES[category] == "ast":
    answers = _rows(folder / "possible_answer" / path.name)
    missing = sorted(set(questions) - set(answers))
    if missing:
      raise BfclError(f"{path}: {missing[0]!r} has no possible answer")
  cases = []
  for id, row in questions.items():
    try:
      cases.append(
        BfclCase(
          id=id,
          category=category,
          messages=tuple(
            Message(m["role"], m["content"]) for m in row["question"][0]
          ),
          functions=tuple(row["function"]),
          answers=tuple(answers[id]["ground_truth"]) if answers else (),
        )
      )
    except (KeyError, IndexError, TypeError) as e:
      raise BfclError(f"{path}: {id!r} is not a BFCL case: {e!r}") from e
  return cases


def slice_cases(
  cases: Sequence[BfclCase], size: int, seed: int = 0
) -> list[BfclCase]:
  """A seeded slice with each category's share kept, and at least one of each.

  Within a category cases are ranked by a hash of seed and id, so a larger
  slice contains a smaller one, whatever the machine. Order is kept.

  Args:
    cases: all cases.
    size: how many to take (a few more where categories are tiny); 0 takes all.
    seed: of the choice.
  """
  if size <= 0 or size >= len(cases):
    return list(cases)
  counts = collections.Counter(case.category for case in cases)
  taken: set[str] = set()
  for category, count in counts.items():
    share = max(1, math.floor(size * count / len(cases) + 0.5))
    ids = [case.id for case in cases if case.category == category]
    taken.update(sorted(ids, key=lambda id: _rank(seed, id))[:share])
  return [case for case in cases if case.id in taken]


def _rank(seed: int, id: str) -> str:
  return hashlib.sha256(f"{seed}:{id}".encode()).hexdigest()


def _tool(function: Mapping[str, Any], language: str) -> Tool:
  """A function document as a tool.

  Java and JavaScript arguments are strings that hold a literal of the
  language, for the checker and so for the model; their types move into the
  descriptions, as in the benchmark's own prompts.
  """
  parameters = dict(function["parameters"])
  if language != "python":
    parameters["properties"] = {
      name: _in_words(schema, language)
      for name, schema in parameters.get("properties", {}).items()
    }
  return Tool(function["name"], function.get("description", ""), parameters)


def _in_words(schema: Mapping[str, Any], language: str) -> Mapping[str, Any]:
  title = {"java": "Java", "javascript": "JavaScript"}[language]
  inner = {k: schema[k] for k in ("items", "properties") if k in schema}
  note = f"A string that holds a {title} value of type {schema.get('type')}."
  if inner:
    note += f" Contents: {json.dumps(inner, ensure_ascii=False)}"
  kept = {k: v for k, v in schema.items() if k not in inner}
  description = f"{schema.get('description', '')} {note}".strip()
  return {**kept, "type": "string", "description": description}


def _gold_call(
  answer: Mapping[str, Any],
  functions: Iterable[Mapping[str, Any]],
  language: str,
) -> Call:
  """One possible answer: the first option of each parameter that needs one."""
  ((name, parameters),) = answer.items()
  schema: Mapping[str, Any] = {}
  for function in functions:
    if function["name"] == name:
      schema = function["parameters"]
  arguments: dict[str, Json] = {}
  for parameter, choices in parameters.items():
    given = [choice for choice in choices if choice != ""]
    optional = parameter not in schema.get("required", ())
    if optional and (not given or "" in choices):
      continue
    value = _first(given[0]) if given else ""
    if language != "python":
      kind = schema.get("properties", {}).get(parameter, {}).get("type", "any")
      value = _literal(value, kind, language)
    arguments[parameter] = value
  return Call(name, arguments)


def _first(value: Any) -> Json:
  """A possible value, with the choices inside objects settled."""
  if isinstance(value, list):
    return [_first(item) for item in value]
  if not isinstance(value, dict):
    return value
  settled: dict[str, Json] = {}
  for key, choices in value.items():
    if not isinstance(choices, list):
      settled[key] = choices
    elif "" not in choices:
      settled[key] = _first(choices[0]) if choices else []
  return settled


def _literal(value: Json, kind: str, language: str) -> str:
  """A value as Java or JavaScript source, as the official converter reads it.

  A string stands for itself: BFCL writes variables and expressions so.
  """
  if isinstance(value, str):
    return value
  if language == "javascript" or isinstance(value, bool):
    return json.dumps(value, ensure_ascii=False)
  if isinstance(value, list):
    items = ", ".join(json.dumps(item, ensure_ascii=False) for item in value)
    if kind == "ArrayList":
      return f"new ArrayList<>(Arrays.asList({items}))"
    return f"new Object[]{{{items}}}"
  if isinstance(value, Mapping):
    puts = " ".join(
      f'put("{k}", {json.dumps(v, ensure_ascii=False)});'
      for k, v in value.items()
    )
    return f"new HashMap<>() {{{{ {puts} }}}}"
  return f"{value}{ ({'long': 'L', 'float': 'f'}.get(kind, '')) }"
