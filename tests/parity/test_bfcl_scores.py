"""Our BFCL scores against the package's own runner, and hostile answers.

Needs `bfcl-eval` (requirements-parity.txt). Cases are those of the package;
set TOOLDEV_BFCL to a folder of the same layout to use another version.
"""

import collections
import importlib
import os
import random
import subprocess
import sys
import time
import types

import pytest

from tooldev_jax.evaluate import bfcl, bfcl_cases, bfcl_checker, metrics
from tooldev_jax.evaluate.outputs import OutputRecord, RecordedOutputs
from tooldev_jax.toolcall import formats

pytest.importorskip("bfcl_eval", reason="needs bfcl-eval")
pytestmark = pytest.mark.parity

# Gold answers of BFCL v4 that its own checker refuses; test_bfcl_gold says why.
IMPOSSIBLE = {
  "live_simple_106-63-0",
  "live_simple_112-68-0",
  "live_multiple_862-181-3",
  "live_multiple_964-207-0",
}


@pytest.fixture(scope="module")
def cases():
  return bfcl_cases.read_cases(
    bfcl_cases.find_folder(os.environ.get("TOOLDEV_BFCL"))
  )


@pytest.fixture(scope="module")
def checker():
  return bfcl_checker.Checker()


@pytest.fixture(scope="module")
def runner(checker):
  """The package's own runner, without what it needs for other benchmarks."""
  with pytest.MonkeyPatch.context() as patch:
    for name in (
      "pandas",
      "dotenv",
      "tqdm",
      "bfcl_eval.constants.model_config",
      "bfcl_eval.model_handler.base_handler",
      "bfcl_eval.eval_checker.agentic_eval.agentic_checker",
      "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker",
      "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils",
    ):
      stand_in = types.ModuleType(name)
      stand_in.__getattr__ = lambda attribute: object
      stand_in.__all__ = []
      patch.setitem(sys.modules, name, stand_in)
    yield importlib.import_module("bfcl_eval.eval_checker.eval_runner")


def gold_outputs(cases, call_format):
  render = formats.get_format(call_format).render
  return [
    OutputRecord(
      c.id, render(c.example.calls, "" if c.answers else "None of them fits.")
    )
    for c in cases
  ]


@pytest.mark.parametrize("call_format", formats.CALL_FORMATS)
def test_gold_scores_what_it_can_in_every_format(cases, checker, call_format):
  python = [c for c in cases if c.language == "python"]
  judged = bfcl.judge_all(
    python, gold_outputs(python, call_format), call_format, checker
  )
  wrong = {
    j.example_id
    for j in judged
    if not j.valid and bfcl_cases.CATEGORIES[j.category] == "ast"
  }
  assert wrong == IMPOSSIBLE
  scores = bfcl.score(judged, checker.version)
  assert scores.ast.n == 2351
  assert scores.ast.value == 2347 / 2351
  assert scores.irrelevance.value == 1.0
  assert scores.irrelevance.n == 1124
  assert scores.live_ast == pytest.approx(1347 / 1351)


def test_garbage_scores_nothing_but_irrelevance(cases, checker):
  garbage = metrics.garbage_outputs([c.example for c in cases])
  for call_format in formats.CALL_FORMATS:
    judged = bfcl.judge_all(cases, garbage, call_format, checker)
    scores = bfcl.score(judged, checker.version)
    assert scores.ast.value == scores.non_live_ast == scores.live_ast == 0.0
    assert scores.relevance.value == 0.0
    assert scores.irrelevance.value == 1.0


def test_gold_literals_pass_the_official_java_and_javascript(cases, checker):
  other = [c for c in cases if c.language != "python"]
  # Through native function calls, whose arguments are the literals' text.
  judged = bfcl.judge_all(
    other, gold_outputs(other, "hermes"), "hermes", checker
  )
  right = collections.Counter(j.category for j in judged if j.valid)
  # Java's strings in arrays keep their quotes in the official converter and
  # then equal no gold; two hash maps and a list hold more than it can read.
  assert right == {"simple_java": 88, "simple_javascript": 50}


@pytest.mark.parametrize(
  "language,category,parameter,gold,text,valid",
  [
    ("java", "simple_java", "long", [5], "[Shape.draw(x=5L)]", True),
    ("java", "simple_java", "long", [5], "[Shape.draw(x=5)]", False),
    ("java", "simple_java", "boolean", [True], "[Shape.draw(x=true)]", True),
    ("java", "simple_java", "boolean", [True], "[Shape.draw(x=True)]", False),
    ("java", "simple_java", "String", ["a b"], '[Shape.draw(x="a b")]', True),
    ("java", "simple_java", "any", ["this.y"], "[Shape.draw(x=this.y)]", True),
    ("java", "simple_java", "any", ["y"], "[Shape.draw(x=y)]", True),
    (
      "javascript",
      "simple_javascript",
      "Bigint",
      [5],
      "[Shape.draw(x=5n)]",
      True,
    ),
    (
      "javascript",
      "simple_javascript",
      "Boolean",
      [True],
      "Shape.draw(x=true)",
      True,
    ),
    (
      "javascript",
      "simple_javascript",
      "Boolean",
      [True],
      "Shape.draw(x=True)",
      False,
    ),
    (
      "javascript",
      "simple_javascript",
      "dict",
      [{"a": [1]}],
      "[Shape.draw(x={a: 1})]",
      True,
    ),
  ],
)
def test_literals_of_other_languages(
  checker, runner, language, category, parameter, gold, text, valid
):
  """Raw source text as prompted models write it; the runner agrees."""
  schema = {"x": {"type": parameter, "description": ""}}
  function = {
    "name": "Shape.draw",
    "description": "",
    "parameters": {"type": "dict", "properties": schema, "required": ["x"]},
  }
  error = checker.error(
    text,
    "pythonic",
    language,
    category,
    [function],
    [{"Shape.draw": {"x": gold}}],
  )
  official = official_error(
    runner, language, category, [function], [{"Shape.draw": {"x": gold}}], text
  )
  assert error == official
  assert (error == "") == valid


class PromptedHandler:
  """What the package's handlers of prompted models do with an answer."""

  def __init__(self):
    self.utils = importlib.import_module("bfcl_eval.model_handler.utils")

  def decode_ast(self, result, language, has_tool_call_tag):
    return self.utils.default_decode_ast_prompting(
      result, language, has_tool_call_tag
    )


def official_error(runner, language, category, functions, answers, text):
  """The runner's error type, or "" where it finds the answer right."""
  handler = PromptedHandler()
  entry = {"id": "x", "function": list(functions)}
  with pytest.MonkeyPatch.context() as patch:
    # Undo our bounded arithmetic: these answers are harmless.
    patch.delattr(handler.utils, "eval")
    if bfcl_cases.CATEGORIES[category] == "ast":
      found = runner._evaluate_single_ast_entry(
        handler,
        "x",
        text,
        list(answers),
        entry,
        "any",
        category,
        runner.Language(language),
        runner.ReturnFormat(language),
      )
    else:
      found = runner._evaluate_single_relevance_entry(
        handler, "x", text, entry, "any", category
      )
  return "" if found["valid"] else found["error_type"]


def spoil(rng, text):
  """An answer near gold, as models write them."""
  kind = rng.randrange(14)
  if kind == 0:
    return text
  if kind == 1:
    return text.strip("[]")
  if kind == 2:
    return f"```python\n{text}\n```"
  if kind == 3:
    return f"```\n{text}\n```"
  if kind == 4:
    return f"Sure, here you are: {text}"
  if kind == 5:
    return text.replace("=", "='", 1)
  if kind == 6 and text:
    at = rng.randrange(len(text))
    return text[:at] + text[at + 1 :]
  if kind == 7 and text:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice("()[]{}',=a1. \n\\\"") + text[at:]
  if kind == 8:
    return text[: rng.randrange(len(text) + 1)]
  if kind == 9:
    return text.replace("1", "1*1").replace("5", "(2 + 3)")
  if kind == 10:
    return text.replace("True", "true").replace("False", "false")
  if kind == 11:
    return f"[{text}, {text}]" if rng.random() < 0.5 else text.upper()
  if kind == 12:
    return rng.choice(("", "[]", "[[]]", "[{}]", "I cannot.", "None", "'a'"))
  return text.replace('"', "'")


def test_every_verdict_is_the_official_runners(cases, checker, runner):
  """Thousands of spoilt answers; error types and all."""
  rng = random.Random(0)
  pythonic = formats.get_format("pythonic")
  seen = collections.Counter()
  chosen = rng.sample(cases, 1500)
  for case in chosen:
    for _ in range(2):
      text = spoil(rng, pythonic.render(case.example.calls))
      (judged,) = bfcl.judge_all(
        [case], [OutputRecord(case.id, text)], "pythonic", checker
      )
      try:
        official = official_error(
          runner,
          case.language,
          case.category,
          case.functions,
          case.answers,
          text,
        )
      except Exception as e:  # There the runner itself would stop.
        official = f"ast_checker:raised_{type(e).__name__}"
      if bfcl_cases.CATEGORIES[case.category] == "ast":
        assert judged.error == official, (case.id, text)
      else:
        assert judged.valid == (official == ""), (case.id, text)
      seen[official] += 1
  assert seen[""] > 500 and len(seen) > 10


def test_sums_are_those_of_the_runner(runner):
  helper = importlib.import_module("bfcl_eval.eval_checker.eval_runner_helper")
  rng = random.Random(1)
  judged = [
    bfcl.BfclJudgement(f"{c}_{i}", c, rng.random() < 0.6, "x")
    for c in bfcl_cases.CATEGORIES
    for i in range(rng.randrange(5, 40))
  ]
  scores = bfcl.score(judged, "")
  entry = {
    c.category: {
      "accuracy": c.accuracy.value,
      "total_count": c.accuracy.n,
      "display_accuracy": c.accuracy.value,
    }
    for c in scores.categories
  }
  simple = helper.calculate_unweighted_accuracy(
    [entry[f"simple_{x}"] for x in ("python", "java", "javascript")]
  )
  non_live = helper.calculate_unweighted_accuracy(
    [simple, *(entry[c] for c in ("multiple", "parallel", "parallel_multiple"))]
  )
  live = helper.calculate_weighted_accuracy(
    [
      entry[f"live_{c}"]
      for c in ("simple", "multiple", "parallel", "parallel_multiple")
    ]
  )
  assert scores.non_live_ast == pytest.approx(non_live["accuracy"], abs=1e-12)
  assert scores.live_ast == pytest.approx(live["accuracy"], abs=1e-12)


HOSTILE = (
  "[f(x=__import__('os').system('touch {path}') + 1)]",
  "[f(x=open('{path}', 'w').write('') + 1)]",
  "[f(x=lambda: open('{path}', 'w'))]",
  "[f(x=(1).__class__.__base__.__subclasses__() + 1)]",
  "[f(x=9**9**9**9)]",
  "[f(x='a' * 10**10)]",
  "[f(x=[0] * 10**10)]",
  "[f(x=1 << 10**10)]",
  "[f(x=" + "-" * 15000 + "1)]",
  "[f(x=" + "(" * 15000 + ")]",
  "[f(x=" + "[" * 8000 + "]" * 8000 + ")]",
  "[f(x=" + "a." * 8000 + "b)]",
  "[f(x=" + "1+" * 8000 + "1)]",
  "[f(x=" + "not " * 4000 + "1)]",
  "[f(x=" + "lambda:" * 2000 + "1)]",
  "f(x=" * 4000,
  "[f(x='" + "\\" * 15000 + "')]",
  "[f(x=" + "9" * 15000 + ")]",
  "[f(x=1e999)]",
  "\x00[f()]",
  "[f(**{'a': 1})]",
  "[f(*[1])]",
  "[f(x=f'{1}')]",
  "[f(x={**{}})]",
  "[f(x=y:=1)]",
  "[f(x=(yield))]",
  "[f(x=await y)]",
  "[f(x=[i for i in range(10**10)])]",
)


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_hostile_answers_run_nothing_and_end_soon(checker, tmp_path, index):
  path = tmp_path / "made"
  text = HOSTILE[index].replace("{path}", str(path))
  function = {
    "name": "f",
    "parameters": {
      "type": "dict",
      "properties": {"x": {"type": "integer"}},
      "required": [],
    },
  }
  start = time.process_time()
  for language in bfcl_checker.LANGUAGES:
    error = checker.error(
      text,
      "pythonic",
      language,
      "simple_python",
      [function],
      [{"f": {"x": [7]}}],
    )
    assert error
  checker.makes_call(text, "pythonic", [function])
  assert time.process_time() - start < 5
  assert not path.exists()


def test_importing_leaves_no_trace_and_no_clients(tmp_path):
  """In a fresh process: no folder, no variable, no handler, no torch."""
  program = (
    "import os, sys, json\n"
    "from tooldev_jax.evaluate import bfcl_checker\n"
    "before = set(sys.modules)\n"
    "bfcl_checker.Checker()\n"
    "root = os.environ.get('BFCL_PROJECT_ROOT')\n"
    "handlers = 'bfcl_eval.constants.model_config' in sys.modules\n"
    "heavy = {'torch', 'openai', 'boto3'} & set(sys.modules)\n"
    "print(json.dumps([root, handlers, sorted(heavy)]))\n"
  )
  environment = {
    k: v for k, v in os.environ.items() if k != "BFCL_PROJECT_ROOT"
  }
  environment["TMPDIR"] = str(tmp_path)
  done = subprocess.run(
    [sys.executable, "-c", program],
    capture_output=True,
    text=True,
    env=environment,
    check=True,
  )
  assert done.stdout.strip() == "[null, false, []]"
  assert list(tmp_path.iterdir()) == []


def test_the_whole_path_with_recorded_outputs(cases):
  chosen = bfcl_cases.slice_cases(cases, 100, seed=3)
  recorded = RecordedOutputs(gold_outputs(chosen, "hermes"))
  judged, scores = bfcl.evaluate_bfcl(recorded, chosen, "hermes")
  assert [j.example_id for j in judged] == [c.id for c in chosen]
  assert scores.skipped == "" and scores.checker.startswith("bfcl-eval ")
  assert {c.category for c in scores.categories} == set(bfcl_cases.CATEGORIES)
