"""Scores the states of a model: the base, and what each stage made of it.

A state is known by its answers alone. Development scores and a slice of BFCL
are taken after every stage and round; the former decide whether a round is
accepted. Test scores are taken once, at the end, of every state.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tooldev_jax.config import EvaluateConfig
from tooldev_jax.data.inputs import Notice
from tooldev_jax.evaluate import bfcl, bfcl_cases, labels, metrics, tool_making
from tooldev_jax.evaluate.bfcl_cases import BfclCase
from tooldev_jax.evaluate.metrics import Judgement
from tooldev_jax.evaluate.outputs import RecordedOutputs, TextGenerator
from tooldev_jax.evaluate.summary import RoundSummary, ShownSample, StageSummary
from tooldev_jax.evaluate.wording import spaced
from tooldev_jax.toolcall.formats import get_format
from tooldev_jax.toolcall.vocabulary import Example

SAMPLES_SHOWN = 6  # of right answers, and as many of wrong ones


@dataclasses.dataclass(frozen=True)
class Official:
  """What a run asks of BFCL; empty without it.

  Attributes:
    every: all cases, which training data is compared with.
    slice: asked of every state.
    final: asked of the first and of the last accepted state.
    notices: how many cases are left out, and by which setting.
  """

  every: tuple[BfclCase, ...] = ()
  slice: tuple[BfclCase, ...] = ()
  final: tuple[BfclCase, ...] = ()
  notices: tuple[Notice, ...] = ()

  @property
  def examples(self) -> tuple[Example, ...]:
    """All cases as a model is asked them."""
    return tuple(case.example for case in self.every)


def read_official(config: EvaluateConfig, seed: int) -> Official:
  """Reads BFCL as a config wants it, or nothing if it does not.

  Args:
    config: where the cases are and how many to ask.
    seed: of the choice.

  Raises:
    BfclError: the cases are not there, or one of them is bad.
  """
  if not config.bfcl:
    return Official()
  folder = None if config.bfcl == "package" else config.bfcl
  every = bfcl_cases.read_cases(bfcl_cases.find_folder(folder))
  final = bfcl_cases.slice_cases(every, config.bfcl_cases, seed)
  slice_ = (
    bfcl_cases.slice_cases(every, config.bfcl_slice, seed)
    if config.bfcl_slice
    else []
  )
  notices = [
    Notice(
      f"BFCL: left out of the {name}",
      len(every) - len(chosen),
      len(every),
      f"evaluate.bfcl_{name}",
    )
    for name, chosen in (("slice", slice_), ("cases", final))
    if 0 < len(chosen) < len(every)
  ]
  return Official(tuple(every), tuple(slice_), tuple(final), tuple(notices))


class Development(NamedTuple):
  """What rounds are accepted on.

  Attributes:
    exact: share of development examples with exactly gold's calls.
    over_call: share of those that no tool fits and that were answered with
      calls; None without any.
  """

  exact: float
  over_call: float | None


def score_development(
  generator: TextGenerator, examples: Sequence[Example], call_format: str
) -> Development:
  """Has a state answer the development examples."""
  _, scores = metrics.evaluate_calls(generator, examples, call_format)
  none_fits = scores.irrelevance
  return Development(
    exact=scores.overall.exact.value if scores.overall else 0.0,
    over_call=(
      none_fits.over_call.value if none_fits and none_fits.over_call else None
    ),
  )


def score_official(
  generator: TextGenerator, cases: Sequence[BfclCase], call_format: str
) -> bfcl.BfclScores | None:
  """Has a state answer cases of BFCL; None if there are none."""
  if not cases:
    return None
  _, scores = bfcl.evaluate_bfcl(generator, cases, call_format)
  return scores


@dataclasses.dataclass(frozen=True)
class EvaluationSets:
  """What states are tested on.

  Attributes:
    test: the test examples.
    official: BFCL's cases.
    tool_making: how many test examples, from the first, tools are made for.
    call_format: name of the format that answers are in.
  """

  test: Sequence[Example]
  official: Official
  tool_making: int
  call_format: str


@dataclasses.dataclass(frozen=True)
class ModelState:
  """A state to be tested.

  Attributes:
    name: "base", "adapt", …, "round_1".
    answering: gives the generator of its answers for a set of questions:
      "test", "solving", "bfcl_slice" or "bfcl".
    started_from: name of the state that its training started from, which must
      be tested before it; "" for none.
    accepted: False if it was rolled back.
  """

  name: str
  answering: Callable[[str], TextGenerator]
  started_from: str = ""
  accepted: bool = True


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Test scores of a run's states, for its report.

  Attributes:
    stages: one a state, in order.
    garbage, garbage_bfcl: what a model that emits garbage scores.
    samples: right and wrong answers of the last accepted state.
  """

  stages: tuple[StageSummary, ...]
  garbage: metrics.CallScores | None
  garbage_bfcl: bfcl.BfclScores | None
  samples: tuple[ShownSample, ...]


def evaluate_states(
  states: Sequence[ModelState], sets: EvaluationSets
) -> Evaluation:
  """Tests every state, each compared with the one that it started from.

  Args:
    states: in the order they were made; the first is the base.
    sets: what they are tested on.
  """
  accepted = [state.name for state in states if state.accepted]
  judgements: dict[str, list[Judgement]] = {}
  stages = []
  samples: tuple[ShownSample, ...] = ()
  for state in states:
    generator = state.answering("test")
    answers = generator.generate(sets.test, "invocation")
    judged = metrics.judge_all(sets.test, answers, sets.call_format)
    judgements[state.name] = judged
    before = judgements.get(state.started_from)
    ends = state.name in (accepted[0], accepted[-1])
    stages.append(_stage(state, sets, judged, before, ends))
    if state.name == accepted[-1]:
      texts = {answer.example_id: answer.text for answer in answers}
      samples = _samples(state.name, judged, texts, sets)
  garbage = None
  if sets.test:
    emitted = metrics.garbage_outputs(sets.test)
    garbage = metrics.score(
      metrics.judge_all(sets.test, emitted, sets.call_format)
    )
  cases = sets.official.final
  emitted = metrics.garbage_outputs([case.example for case in cases])
  return Evaluation(
    stages=tuple(stages),
    garbage=garbage,
    garbage_bfcl=score_official(
      RecordedOutputs(emitted), cases, sets.call_format
    ),
    samples=samples,
  )


def _stage(
  state: ModelState,
  sets: EvaluationSets,
  judged: Sequence[Judgement],
  before: Sequence[Judgement] | None,
  ends: bool,
) -> StageSummary:
  official, answering = sets.official, state.answering
  _, tools = tool_making.evaluate_tools(
    answering("test"),
    answering("solving"),
    sets.test[: sets.tool_making],
    sets.call_format,
  )
  in_slice = score_official(
    answering("bfcl_slice"), official.slice, sets.call_format
  )
  in_all = None
  if ends:
    in_all = score_official(answering("bfcl"), official.final, sets.call_format)
  return StageSummary(
    name=spaced(state.name),
    started_from=spaced(state.started_from),
    accepted=state.accepted,
    calls=metrics.score(judged) if judged else None,
    change=metrics.compare(before, judged) if before else None,
    tools=tools,
    bfcl_slice=in_slice,
    bfcl=in_all,
  )


def _samples(
  name: str,
  judged: Sequence[Judgement],
  answers: Mapping[str, str],
  sets: EvaluationSets,
) -> tuple[ShownSample, ...]:
  """Right and wrong answers of a state, spread over the categories."""
  by_id = {example.id: example for example in sets.test}
  chosen = _spread([j for j in judged if j.exact], SAMPLES_SHOWN)
  chosen += _spread([j for j in judged if not j.exact], SAMPLES_SHOWN)
  return tuple(
    ShownSample(
      stage=spaced(name),
      example_id=judgement.example_id,
      category=judgement.category,
      outcome=judgement.outcome,
      query=by_id[judgement.example_id].query,
      tools=tuple(t.name for t in by_id[judgement.example_id].tools),
      gold=_rendered(by_id[judgement.example_id], sets.call_format),
      output=answers[judgement.example_id],
    )
    for judgement in chosen
  )


def _rendered(example: Example, call_format: str) -> str:
  if not example.calls:
    return "(no tool fits)"
  return get_format(call_format).render(example.calls)


def _spread(judged: Sequence[Judgement], most: int) -> list[Judgement]:
  """Up to `most`, taking the categories in turn."""
  by_category: dict[str, list[Judgement]] = {}
  for judgement in judged:
    by_category.setdefault(judgement.category, []).append(judgement)
  chosen: list[Judgement] = []
  while len(chosen) < most and any(by_category.values()):
    for waiting in by_category.values():
      if waiting and len(chosen) < most:
        chosen.append(waiting.pop(0))
  return chosen


def summarise_round(
  name: str,
  kept: Sequence[Example],
  counts: Mapping[str, Any],
  gold: Sequence[Example],
) -> RoundSummary:
  """What a round made, and how right its labels are.

  Args:
    name: of the round.
    kept: its self-made examples.
    counts: its yield table, as the round wrote it.
    gold: the answers to its queries; empty if nobody knows them.
  """
  return RoundSummary(
    name=spaced(name),
    statuses=counts["statuses"],
    sample_reasons=counts["samples_dropped"],
    vote_shares=tuple(counts["vote_shares"]),
    labels=labels.score(labels.judge_all(kept, gold)),
    diversity=counts["diversity"],
  )
