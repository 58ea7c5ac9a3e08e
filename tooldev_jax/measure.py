"""Scores of a run's states: on development, on test, and by BFCL.

Development scores and a slice of BFCL are taken after every stage and round;
the former steer the rounds. Test scores are taken once, at the end, of every
state.
"""

from typing import TYPE_CHECKING, NamedTuple

from tooldev_jax import config as configs
from tooldev_jax.evaluate import bfcl, metrics, outputs, tool_making
from tooldev_jax.evaluate.summary import Notice, ShownSample, StageSummary
from tooldev_jax.student import Adapter, Answering
from tooldev_jax.toolcall.formats import get_format
from tooldev_jax.toolcall.vocabulary import Example

if TYPE_CHECKING:
  from tooldev_jax.pipeline import Run


class Development(NamedTuple):
  """What rounds are accepted on."""

  exact: float
  over_call: float | None


def development(run: "Run", adapter: Adapter) -> Development:
  """Scores an adapter on development, and tells its slice of BFCL."""
  generator = _answering(run, adapter, "development")
  _, scores = metrics.evaluate_calls(
    generator, run.inputs.development, run.config.view.call_format
  )
  official = run.official.of_slice(run, adapter)
  if official and official.ast:
    run.say(f"{adapter.name}: BFCL, a slice: {official.ast.value:.1%} of calls")
  irrelevance = scores.irrelevance
  return Development(
    exact=scores.overall.exact.value if scores.overall else 0.0,
    over_call=(
      irrelevance.over_call.value
      if irrelevance and irrelevance.over_call
      else None
    ),
  )


class Official:
  """BFCL as the config wants it.

  Args:
    config: of the run.

  Attributes:
    notices: what of it is left out, and why.

  Raises:
    UserError: the folder does not hold BFCL.
  """

  def __init__(self, config: configs.RunConfig):
    self.notices: list[Notice] = []
    self._format = config.view.call_format
    self._slice: list[bfcl.BfclCase] = []
    self._cases: list[bfcl.BfclCase] = []
    evaluate = config.evaluate
    if not evaluate.bfcl:
      return
    every = bfcl.read_configured(evaluate.bfcl)
    self._cases = bfcl.slice_cases(every, evaluate.bfcl_cases, config.seed)
    if evaluate.bfcl_slice:
      self._slice = bfcl.slice_cases(every, evaluate.bfcl_slice, config.seed)
    for name, chosen in (("slice", self._slice), ("cases", self._cases)):
      if 0 < len(chosen) < len(every):
        left = len(every) - len(chosen)
        why = f"evaluate.bfcl_{name}"
        what = f"BFCL: left out of the {name}"
        self.notices.append(Notice(what, left, len(every), why))

  def of_slice(self, run: "Run", adapter: Adapter) -> bfcl.BfclScores | None:
    """Scores on the slice; None without BFCL or its checker."""
    return self._score(_answering(run, adapter, "bfcl_slice"), self._slice)

  def of_all(self, run: "Run", adapter: Adapter) -> bfcl.BfclScores | None:
    """Scores on the cases for the end; None without BFCL or its checker."""
    return self._score(_answering(run, adapter, "bfcl"), self._cases)

  def of_garbage(self) -> bfcl.BfclScores | None:
    """What a model that emits garbage would score."""
    examples = [case.example for case in self._cases]
    garbage = outputs.RecordedOutputs(metrics.garbage_outputs(examples))
    return self._score(garbage, self._cases)

  def _score(
    self, generator: outputs.TextGenerator, cases: list[bfcl.BfclCase]
  ) -> bfcl.BfclScores | None:
    if not cases:
      return None
    _, scores = bfcl.evaluate_bfcl(generator, cases, self._format)
    if not scores.skipped:
      return scores
    missing = Notice("BFCL", len(cases), len(cases), scores.skipped)
    self._slice, self._cases, self.notices = [], [], [missing]
    return None


class Examiner:
  """Puts the test's questions to every state.

  Attributes:
    judgements: of each state that was examined, by name.
  """

  def __init__(self, run: "Run"):
    self.run = run
    self.judgements: dict[str, list[metrics.Judgement]] = {}
    self._answers: dict[str, dict[str, str]] = {}
    self._format = run.config.view.call_format
    self._test = run.inputs.test

  def stage(
    self, name: str, adapter: Adapter, parent: str, ends: bool
  ) -> StageSummary:
    """Test scores of a state.

    Args:
      name: of the state.
      adapter: its adapter.
      parent: name of the state that it continued from; "" for none.
      ends: whether it is the first or the last that was accepted, which
        answer all of BFCL.
    """
    run = self.run
    generator = _answering(run, adapter, "test")
    answers = generator.generate(self._test, "invocation")
    self._answers[name] = {a.example_id: a.text for a in answers}
    judged = metrics.judge_all(self._test, answers, self._format)
    self.judgements[name] = judged
    change = (
      metrics.compare(self.judgements[parent], judged) if parent else None
    )
    _, tools = tool_making.evaluate_tools(
      generator,
      _answering(run, adapter, "solving"),
      self._test[: run.config.evaluate.tool_making],
      self._format,
    )
    return StageSummary(
      name=name.replace("_", " "),
      calls=metrics.score(judged) if judged else None,
      tools=tools,
      bfcl_slice=run.official.of_slice(run, adapter),
      bfcl=run.official.of_all(run, adapter) if ends else None,
      change=change,
    )

  def garbage(self) -> metrics.CallScores | None:
    """What a model that emits garbage would score."""
    if not self._test:
      return None
    answers = metrics.garbage_outputs(self._test)
    return metrics.score(metrics.judge_all(self._test, answers, self._format))

  def samples(self, name: str, of_each: int = 6) -> tuple[ShownSample, ...]:
    """Good and bad answers of a state, spread over the categories."""
    by_id = {example.id: example for example in self._test}
    judged = self.judgements[name]
    chosen = _spread([j for j in judged if j.exact], of_each)
    chosen += _spread([j for j in judged if not j.exact], of_each)
    return tuple(
      ShownSample(
        stage=name.replace("_", " "),
        example_id=judgement.example_id,
        category=judgement.category,
        outcome=judgement.outcome,
        query=by_id[judgement.example_id].query,
        tools=tuple(t.name for t in by_id[judgement.example_id].tools),
        gold=_rendered(by_id[judgement.example_id], self._format),
        output=self._answers[name][judgement.example_id],
      )
      for judgement in chosen
    )


def _answering(run: "Run", adapter: Adapter, label: str) -> Answering:
  return Answering(run.student, adapter, run.workdir / adapter.name, label)


def _rendered(example: Example, call_format: str) -> str:
  if not example.calls:
    return "(no tool fits)"
  return get_format(call_format).render(example.calls)


def _spread(
  judgements: list[metrics.Judgement], most: int
) -> list[metrics.Judgement]:
  """Up to `most`, taking the categories in turn."""
  by_category: dict[str, list[metrics.Judgement]] = {}
  for judgement in judgements:
    by_category.setdefault(judgement.category, []).append(judgement)
  chosen: list[metrics.Judgement] = []
  while len(chosen) < most and any(by_category.values()):
    for waiting in by_category.values():
      if waiting and len(chosen) < most:
        chosen.append(waiting.pop(0))
  return chosen
