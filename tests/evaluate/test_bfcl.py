"""BFCL without its package: reading, slicing, sums, and honest skipping."""

import collections
import importlib.metadata
import json

import pytest

from tooldev_jax import errors
from tooldev_jax.evaluate import bfcl, bfcl_cases, bfcl_checker, metrics
from tooldev_jax.evaluate.bfcl import BfclJudgement
from tooldev_jax.evaluate.outputs import RecordedOutputs

FUNCTION = {
  "name": "area.get",
  "description": "The area.",
  "parameters": {
    "type": "dict",
    "properties": {
      "base": {"type": "integer", "description": "The base."},
      "unit": {"type": "string", "description": "The unit."},
    },
    "required": ["base"],
  },
}


def write(folder, category, functions, answers=None, n=3):
  questions = [
    {
      "id": f"{category}_{i}",
      "question": [[{"role": "user", "content": f"Area {i}?"}]],
      "function": functions,
    }
    for i in range(n)
  ]
  text = "".join(json.dumps(q) + "\n" for q in questions)
  (folder / f"BFCL_v4_{category}.json").write_text(text)
  if answers is not None:
    rows = [{"id": q["id"], "ground_truth": answers} for q in questions]
    (folder / "possible_answer").mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "possible_answer" / f"BFCL_v4_{category}.json").write_text(text)


@pytest.fixture
def folder(tmp_path):
  gold = [{"area.get": {"base": [3], "unit": ["cm", ""]}}]
  write(tmp_path, "simple_python", [FUNCTION], gold)
  write(tmp_path, "irrelevance", [FUNCTION])
  write(tmp_path, "live_relevance", [FUNCTION])
  return tmp_path


def test_cases_carry_what_is_asked_and_what_is_judged(folder):
  cases = bfcl_cases.read_cases(folder)
  counts = collections.Counter(case.category for case in cases)
  assert counts == {"simple_python": 3, "irrelevance": 3, "live_relevance": 3}
  case = cases[0]
  assert case.example.query == "Area 0?"
  assert [c.to_json() for c in case.example.calls] == [
    {"name": "area.get", "arguments": {"base": 3}}
  ]
  assert case.functions == (FUNCTION,)
  assert case.answers == ({"area.get": {"base": [3], "unit": ["cm", ""]}},)
  assert cases[3].answers == ()


def test_java_cases_ask_for_literals(tmp_path):
  function = {
    "name": "f",
    "description": "",
    "parameters": {
      "type": "dict",
      "properties": {
        "n": {"type": "long", "description": "How many."},
        "on": {"type": "boolean", "description": ""},
        "names": {
          "type": "ArrayList",
          "description": "",
          "items": {"type": "String"},
        },
        "sizes": {"type": "Array", "items": {"type": "integer"}},
        "map": {"type": "HashMap", "description": ""},
        "expression": {"type": "any", "description": ""},
      },
      "required": [],
    },
  }
  gold = {
    "n": [5],
    "on": [True],
    "names": [["a", "b"]],
    "sizes": [[1, 2]],
    "map": [{"k": ["v"]}],
    "expression": ["this.x"],
  }
  write(tmp_path, "simple_java", [function], [{"f": gold}], n=1)
  (case,) = bfcl_cases.read_cases(tmp_path)
  assert case.language == "java"
  assert case.example.calls[0].arguments == {
    "n": "5L",
    "on": "true",
    "names": 'new ArrayList<>(Arrays.asList("a", "b"))',
    "sizes": "new Object[]{1, 2}",
    "map": 'new HashMap<>() {{ put("k", "v"); }}',
    "expression": "this.x",
  }
  shown = case.example.tools[0].parameters["properties"]
  assert {schema["type"] for schema in shown.values()} == {"string"}
  assert shown["n"]["description"] == (
    "How many. A string that holds a Java value of type long."
  )
  assert "items" not in shown["names"]
  assert "String" in shown["names"]["description"]
  # The checker still sees the benchmark's own document.
  assert case.functions == (function,)


@pytest.mark.parametrize(
  "spoil,message",
  [
    (lambda f: (f / "BFCL_v4_irrelevance.json").write_text("{"), "not a BFCL"),
    (
      lambda f: (f / "possible_answer" / "BFCL_v4_simple_python.json").unlink(),
      "does not exist",
    ),
    (
      lambda f: (
        f / "possible_answer" / "BFCL_v4_simple_python.json"
      ).write_text('{"id": "simple_python_0", "ground_truth": []}\n'),
      "'simple_python_1'|no possible answer",
    ),
    (
      lambda f: (
        f / "possible_answer" / "BFCL_v4_simple_python.json"
      ).write_text("nonsense\n"),
      ":1",
    ),
  ],
)
def test_a_spoilt_file_is_named(folder, spoil, message):
  spoil(folder)
  with pytest.raises(errors.UserError, match=message):
    bfcl_cases.read_cases(folder)


def test_unknown_places_and_categories_are_named(folder, tmp_path):
  with pytest.raises(errors.UserError, match="'hard' is not known; allowed: s"):
    bfcl_cases.read_cases(folder, ["simple_python", "hard"])
  with pytest.raises(errors.UserError, match=r"BFCL folder .* does not exist"):
    bfcl_cases.find_folder(tmp_path / "none")
  (tmp_path / "empty").mkdir()
  with pytest.raises(errors.UserError, match="has no file BFCL_v4_<category>"):
    bfcl_cases.read_cases(tmp_path / "empty")


@pytest.fixture
def many(tmp_path):
  gold = [{"area.get": {"base": [3]}}]
  write(tmp_path, "simple_python", [FUNCTION], gold, n=60)
  write(tmp_path, "live_parallel", [FUNCTION], gold, n=3)
  write(tmp_path, "irrelevance", [FUNCTION], n=37)
  return bfcl_cases.read_cases(tmp_path)


def test_a_slice_is_seeded_stratified_and_nested(many):
  taken = bfcl_cases.slice_cases(many, 20, seed=1)
  assert taken == bfcl_cases.slice_cases(list(many), 20, seed=1)
  assert taken != bfcl_cases.slice_cases(many, 20, seed=2)
  counts = collections.Counter(case.category for case in taken)
  assert counts == {"simple_python": 12, "irrelevance": 7, "live_parallel": 1}
  ids = [case.id for case in many]
  assert [case.id for case in taken] == sorted(
    (case.id for case in taken), key=ids.index
  )
  larger = {case.id for case in bfcl_cases.slice_cases(many, 50, seed=1)}
  assert {case.id for case in taken} <= larger
  assert (
    bfcl_cases.slice_cases(many, 0) == bfcl_cases.slice_cases(many, 100) == many
  )


def judged(**accuracy):
  """Ten judgements a category, `accuracy` tenths of them right."""
  return [
    BfclJudgement(f"{c}_{i}", c, i < right, "" if i < right else "bad")
    for c, right in accuracy.items()
    for i in range(10)
  ]


def test_sums_are_the_leaderboards():
  non_live = {
    "simple_python": 9,
    "simple_java": 3,
    "simple_javascript": 6,
    "multiple": 8,
    "parallel": 7,
    "parallel_multiple": 5,
  }
  scores = bfcl.score(judged(**non_live, irrelevance=10), "1.0")
  assert scores.non_live_ast == pytest.approx((0.6 + 0.8 + 0.7 + 0.5) / 4)
  assert scores.live_ast is None
  assert scores.ast.value == pytest.approx(38 / 60)
  assert scores.irrelevance.value == 1.0
  assert scores.relevance is None
  assert scores.errors == {"bad": 22}
  assert [c.category for c in scores.categories] == [*non_live, "irrelevance"]


def test_live_is_weighted_by_cases():
  live = judged(live_simple=10, live_multiple=5, live_parallel=0)
  live += judged(live_parallel_multiple=1)[:4]
  scores = bfcl.score(live, "1.0")
  assert scores.live_ast == pytest.approx(16 / 34)
  assert scores.non_live_ast is None


def test_irrelevance_is_never_in_ast():
  scores = bfcl.score(judged(irrelevance=10, live_irrelevance=9), "1.0")
  assert scores.ast is None
  assert scores.irrelevance.n == 20
  assert scores.irrelevance.value == 0.95


def test_without_the_package_scores_are_skipped_and_say_why(
  folder, monkeypatch
):
  def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, "version", missing)
  with pytest.raises(bfcl_checker.CheckerMissingError, match="bfcl-eval"):
    bfcl_checker.Checker()
  # Nothing is generated: recorded outputs without records would raise.
  judgements, scores = bfcl.evaluate_bfcl(
    RecordedOutputs([]), bfcl_cases.read_cases(folder), "pythonic"
  )
  assert judgements == [] and scores.categories == ()
  assert scores.skipped.startswith("official BFCL scores were skipped: the")


def test_relevance_cases_have_no_gold_to_be_judged_by(folder):
  (case, *_) = bfcl_cases.read_cases(folder, ["live_relevance"])
  with pytest.raises(errors.UserError, match="has no known answer"):
    metrics.judge_all(
      [case.example], metrics.garbage_outputs([case.example]), "pythonic"
    )


def test_every_category_has_a_group():
  assert set(bfcl_cases.CATEGORIES.values()) == {
    "ast",
    "irrelevance",
    "relevance",
  }
  assert len(bfcl_cases.CATEGORIES) == 13
