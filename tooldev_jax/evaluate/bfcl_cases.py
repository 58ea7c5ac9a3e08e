"""BFCL's single-turn cases (v4): files in, cases to ask and judge out.

The files are `BFCL_v4_<category>.json` and `possible_answer/` with the same
names, JSON lines, in a folder of the user's or in the installed package.
"""

import collections
import dataclasses
import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from tooldev_jax import errors, io
from tooldev_jax.data import sources
from tooldev_jax.evaluate import bfcl_checker
from tooldev_jax.seeds import fold
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Call, Example

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
    category: a key of `CATEGORIES`.
    example: what a model is asked, with one possible answer as gold calls.
    functions: its function documents, as BFCL wrote them for the checker.
    answers: its possible answers; empty for relevance and irrelevance.
  """

  category: str
  example: Example
  functions: tuple[Mapping[str, Any], ...]
  answers: tuple[Mapping[str, Any], ...]

  @property
  def id(self) -> str:
    """BFCL's id."""
    return self.example.id

  @property
  def language(self) -> str:
    """The language whose literals the arguments are in."""
    return _language(self.category)


def _language(category: str) -> str:
  language = category.removeprefix("simple_")
  return language if language in bfcl_checker.LANGUAGES else "python"


def find_folder(folder: io.PathLike | None = None) -> epath.Path:
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
  folder: io.PathLike, categories: Sequence[str] | None = None
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


def _read_category(folder: epath.Path, category: str) -> list[BfclCase]:
  path = _file(folder, category)
  read = sources.read_examples(path, "bfcl")
  if read.rejected:
    raise BfclError(f"not a BFCL case: {read.rejected[0]}")
  answers: Mapping[str, Sequence[Mapping[str, Any]]] = {}
  if CATEGORIES[category] == "ast":
    answers = _read_answers(folder / "possible_answer" / path.name)
    missing = sorted({e.id for e in read.examples} - set(answers))
    if missing:
      raise BfclError(f"{path}: {missing[0]!r} has no possible answer")
  language = _language(category)
  return [
    BfclCase(
      category=category,
      example=example if language == "python" else _as_text(example, language),
      functions=tuple(tool.to_json() for tool in example.tools),
      answers=tuple(answers.get(example.id, ())),
    )
    for example in read.examples
  ]


def _read_answers(path: epath.Path) -> dict[str, Sequence[Mapping[str, Any]]]:
  """Ground truths by id."""
  if not path.exists():
    raise BfclError(f"BFCL file {path} does not exist")
  answers = {}
  lines = path.read_text(encoding="utf-8").split("\n")
  for number, line in enumerate(lines, start=1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
      answers[row["id"]] = row["ground_truth"]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
      raise BfclError(f"{path}:{number}: not a BFCL answer: {e!r}") from e
  return answers


def slice_cases(
  cases: Sequence[BfclCase], size: int, seed: int = 0
) -> list[BfclCase]:
  """A seeded slice with each category's share kept, and at least one of each.

  Within a category cases are ranked by a seed of their own, so a larger
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
    taken.update(sorted(ids, key=lambda id: fold(seed, id))[:share])
  return [case for case in cases if case.id in taken]


def _as_text(example: Example, language: str) -> Example:
  """A Java or JavaScript case, whose arguments are strings with literals.

  The checker wants them so, and a model must know: types move into the
  descriptions of parameters, as in the benchmark's own prompts.
  """
  types = {
    (tool.name, name): schema.get("type", "any")
    for tool in example.tools
    for name, schema in tool.parameters.get("properties", {}).items()
  }
  return dataclasses.replace(
    example,
    tools=tuple(
      dataclasses.replace(
        tool,
        parameters={
          **tool.parameters,
          "properties": {
            name: _in_words(schema, language)
            for name, schema in tool.parameters.get("properties", {}).items()
          },
        },
      )
      for tool in example.tools
    ),
    calls=tuple(
      Call(
        call.name,
        {
          name: _literal(value, types.get((call.name, name), "any"), language)
          for name, value in call.arguments.items()
        },
      )
      for call in example.calls
    ),
  )


def _in_words(schema: Mapping[str, Any], language: str) -> Mapping[str, Any]:
  title = {"java": "Java", "javascript": "JavaScript"}[language]
  inner = {k: schema[k] for k in ("items", "properties") if k in schema}
  note = f"A string that holds a {title} value of type {schema.get('type')}."
  if inner:
    note += f" Contents: {json.dumps(inner, ensure_ascii=False)}"
  kept = {k: v for k, v in schema.items() if k not in inner}
  description = f"{schema.get('description', '')} {note}".strip()
  return {**kept, "type": "string", "description": description}


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
