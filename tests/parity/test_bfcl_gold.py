"""BFCL's gold calls, as we write them, through BFCL's own decoder and checker.

The data and the checker are those of the package `bfcl-eval`; set TOOLDEV_BFCL
to a folder of the same layout to judge another version of the data.
"""

import collections
import importlib
import json
import keyword
import os
import random
import sys
import types

import pytest
from etils import epath
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.toolcall.json_values import JSON
from tooldev_jax.toolcall.checks import check_call, check_grounded
from tooldev_jax.toolcall.formats import (
  CALL_FORMATS,
  ParseError,
  Turn,
  get_format,
)
from tooldev_jax.toolcall.vocabulary import Call, Tool

# On a busy machine neither a slow example nor a slow draw is a failure.
STEADY = settings(
  max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

bfcl_eval = pytest.importorskip("bfcl_eval", reason="needs bfcl-eval")
pytestmark = pytest.mark.parity

CATEGORIES = (
  "simple_python",
  "multiple",
  "parallel",
  "parallel_multiple",
  "live_simple",
  "live_multiple",
  "live_parallel",
  "live_parallel_multiple",
)

# Gold answers that contradict the case's own definition, so that no writing of
# them can pass: two whose type is not the parameter's, one argument that the
# tool does not have, one required argument that the gold leaves out.
IMPOSSIBLE = {
  "live_simple_106-63-0": "type_error:simple",
  "live_simple_112-68-0": "type_error:simple",
  "live_multiple_862-181-3": "simple_function_checker:unexpected_param",
  "live_multiple_964-207-0": "simple_function_checker:missing_required",
}


def read_rows(name):
  default = epath.Path(bfcl_eval.__file__).parent / "data"
  folder = epath.Path(os.environ.get("TOOLDEV_BFCL", default))
  return [json.loads(line) for line in (folder / name).open()]


@pytest.fixture(scope="module")
def official():
  """(decoder, checker), without the package's table of remote models.

  That table imports the clients of all vendors; the checker only asks it
  whether a model writes dots in names as underscores. Ours does not.
  """
  plain = types.SimpleNamespace(underscore_to_dot=False)
  table = collections.defaultdict(lambda: plain)
  name = "bfcl_eval.constants.model_config"
  with pytest.MonkeyPatch.context() as patch:
    stand_in = types.ModuleType(name)
    stand_in.MODEL_CONFIG_MAPPING = table
    patch.setitem(sys.modules, name, stand_in)
    checker = importlib.import_module(
      "bfcl_eval.eval_checker.ast_eval.ast_checker"
    )
    utils = importlib.import_module("bfcl_eval.model_handler.utils")
  enums = importlib.import_module("bfcl_eval.constants.enums")

  def decode(text):
    return utils.default_decode_ast_prompting(text, enums.ReturnFormat.PYTHON)

  def check(row, decoded, gold, category):
    language = enums.Language.PYTHON
    return checker.ast_checker(
      row["function"], decoded, gold, language, category, "any"
    )

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(checker, "MODEL_CONFIG_MAPPING", table)
    # Other tests close it off; here it computes sums of numbers only.
    patch.delattr(utils, "eval", raising=False)
    yield decode, check


def gold_value(value):
  """A right value; BFCL lists right values one level into objects, too."""
  if isinstance(value, dict):
    return {
      key: answers[0] if isinstance(answers, list) else answers
      for key, answers in value.items()
      if not (isinstance(answers, list) and "" in answers)
    }
  if isinstance(value, list):
    return [
      gold_value(item) if isinstance(item, dict) else item for item in value
    ]
  return value


def gold_calls(row, gold):
  """The first right value of each argument, leaving out what may be left."""
  required = {
    tool["name"]: tool["parameters"].get("required", [])
    for tool in row["function"]
  }
  calls = []
  for ((name, arguments),) in (call.items() for call in gold):
    chosen = {}
    for key, answers in arguments.items():
      if "" in answers and key not in required.get(name, ()):
        continue
      chosen[key] = gold_value(next((a for a in answers if a != ""), ""))
    calls.append(Call(name, chosen))
  return tuple(calls)


def cases():
  for category in CATEGORIES:
    rows = read_rows(f"BFCL_v4_{category}.json")
    answers = read_rows(f"possible_answer/BFCL_v4_{category}.json")
    for row, answer in zip(rows, answers, strict=True):
      gold = answer["ground_truth"]
      yield category, row, gold, gold_calls(row, gold)


def test_gold_calls_pass_the_official_checker(official):
  decode, check = official
  pythonic = get_format("pythonic")
  failed, total = {}, 0
  for category, row, gold, calls in cases():
    decoded = decode(pythonic.render(calls))
    assert decoded == [{call.name: dict(call.arguments)} for call in calls]
    verdict = check(row, decoded, gold, category)
    total += 1
    if not verdict["valid"]:
      failed[row["id"]] = verdict["error_type"]
  assert failed == IMPOSSIBLE
  assert total == 2351


NAMES = st.from_regex(
  r"[A-Za-z_][A-Za-z_0-9]{0,8}(\.[A-Za-z_][A-Za-z_0-9]{0,8})?", fullmatch=True
)


@given(
  NAMES.filter(lambda name: not any(map(keyword.iskeyword, name.split(".")))),
  st.dictionaries(
    NAMES.filter(lambda name: "." not in name and not keyword.iskeyword(name)),
    JSON,
    max_size=3,
  ),
)
@STEADY
def test_the_official_decoder_reads_all_that_python_can_say(
  official, name, arguments
):
  decode, _ = official
  text = get_format("pythonic").render([Call(name, arguments)])
  assert repr(decode(text)) == repr([{name: arguments}])


NUMBERS = st.integers(0, 99).map(str) | st.sampled_from(
  ("0x1F", "2.5", ".5", "1e2", "1_000")
)
SUMS = st.recursive(
  NUMBERS,
  lambda inner: st.one_of(
    st.tuples(inner, st.sampled_from("+-*/%"), inner).map(" ".join),
    st.tuples(inner, st.just("//"), inner).map("".join),
    inner.map("({})".format),
  ),
  max_leaves=6,
)


@given(SUMS)
@STEADY
def test_arithmetic_is_computed_as_the_official_decoder_does(official, text):
  decode, _ = official
  written = f"[f(a={text})]"
  try:
    expected = decode(written)
  except ZeroDivisionError:
    with pytest.raises(ParseError):
      get_format("pythonic").parse(written)
    return
  (call,) = get_format("pythonic").parse(written).calls
  assert repr([{"f": dict(call.arguments)}]) == repr(expected)


def test_gold_calls_fit_their_tools():
  """All but 21 of 2,351; those contradict their own definitions."""
  unfit = 0
  for _, row, _, calls in cases():
    tools = [Tool.from_json(function) for function in row["function"]]
    unfit += any(check_call(call, tools) for call in calls)
  assert unfit == 21


def test_gold_arguments_are_grounded_in_their_own_query():
  """And much less often in the query of another case."""
  rows = list(cases())
  queries = [
    "\n".join(turn["content"] for turns in row["question"] for turn in turns)
    for _, row, _, _ in rows
  ]
  others = random.Random(0).sample(queries, len(queries))
  ungrounded = collections.Counter()
  for (_, row, _, calls), query, other in zip(
    rows, queries, others, strict=True
  ):
    tools = {one["name"]: Tool.from_json(one) for one in row["function"]}
    for call in calls:
      tool = tools[call.name]
      ungrounded["own"] += bool(check_grounded(call, tool, query))
      ungrounded["other"] += bool(check_grounded(call, tool, other))
      ungrounded["calls"] += 1
  assert ungrounded["own"] < 0.06 * ungrounded["calls"]
  assert ungrounded["other"] > 0.9 * ungrounded["calls"]


def test_gold_calls_are_read_back_in_every_format():
  for _, _, _, calls in cases():
    for call_format in CALL_FORMATS.values():
      assert call_format.parse(call_format.render(calls)) == Turn("", calls)
