"""Scores a run's states, writes its report, and exports what it learned.

Development scores steer the rounds. Test scores are taken once, at the end,
of every state; the gold answers to the evolve queries are opened only here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from etils import epath

from tooldev_jax import inputs, storage
from tooldev_jax.evaluate import (
  bfcl,
  labels,
  metrics,
  outputs,
  report,
  terminal,
  tool_making,
)
from tooldev_jax.evaluate.summary import (
  Clock,
  Notice,
  RoundSummary,
  RunSummary,
  ShownSample,
  StageSummary,
  read_summary,
)
from tooldev_jax.models import peft
from tooldev_jax.student import BASE, Adapter, Answering
from tooldev_jax.tools.formats import get_format
from tooldev_jax.tools.vocabulary import Example

if TYPE_CHECKING:
  from tooldev_jax.pipeline import Run, State

ADAPTER_FOLDER = "export/adapter"


class Development(NamedTuple):
  """What rounds are accepted on."""

  exact: float
  over_call: float | None


def development(run: "Run", adapter: Adapter) -> Development:
  """Scores an adapter on the development examples."""
  folder = run.workdir / adapter.name
  generator = Answering(run.student, adapter, folder, "development")
  _, scores = metrics.evaluate_calls(
    generator, run.inputs.development, run.config.view.call_format
  )
  irrelevance = scores.irrelevance
  return Development(
    exact=scores.overall.exact.value if scores.overall else 0.0,
    over_call=(
      irrelevance.over_call.value
      if irrelevance and irrelevance.over_call
      else None
    ),
  )


def test_and_report(run: "Run") -> None:
  """Scores every state on the test examples and writes the report."""
  examiner = _Examiner(run)
  states = run.states()
  stages = [examiner.stage(BASE, None)]
  parent = "base"
  for state in states:
    stages.append(examiner.stage(run.adapter_of(state), state, parent))
    if state.accepted:
      parent = state.name
  summary = RunSummary(
    title="Tool learning report",
    facts=_facts(run),
    stages=tuple(stages),
    rounds=tuple(_rounds(run, states)),
    garbage=examiner.garbage(),
    garbage_bfcl=examiner.garbage_bfcl(),
    samples=examiner.samples(parent),
    notices=(*run.inputs.notices, *examiner.notices, *_left_out(states)),
    config=storage.dumps(storage.read_json(run.workdir / "config.json")),
    next_step=next_step(run),
    clock=_clock(run),
  )
  report.write_report(run.workdir, summary)


class _Examiner:
  """Puts the same questions to every state."""

  def __init__(self, run: "Run"):
    self.run = run
    self.format = run.config.view.call_format
    self.test = run.inputs.test
    self.judgements: dict[str, list[metrics.Judgement]] = {}
    self.answers: dict[str, dict[str, str]] = {}
    self.notices: list[Notice] = []
    self._bfcl = self._bfcl_cases()

  def stage(
    self, adapter: Adapter, state: "State | None", parent: str = ""
  ) -> StageSummary:
    """Test scores of one state; `parent` is the one it continued from."""
    run, name = self.run, adapter.name if state is None else state.name
    generator = Answering(run.student, adapter, run.workdir / name, "test")
    answers = generator.generate(self.test, "invocation")
    self.answers[name] = {answer.example_id: answer.text for answer in answers}
    judged = metrics.judge_all(self.test, answers, self.format)
    self.judgements[name] = judged
    _, tools = tool_making.evaluate_tools(
      generator, self.test[: run.config.evaluate.tool_making]
    )
    change = None
    if parent:
      change = metrics.compare(self.judgements[parent], judged)
    summary = StageSummary(
      name=_title(name),
      calls=metrics.score(judged),
      tools=tools,
      bfcl=self._official(adapter, name),
      change=change,
    )
    if state is None:
      return summary
    losses = _losses(run.workdir / name)
    return dataclasses.replace(
      summary,
      note=state.verdict,
      accepted=state.accepted,
      examples=state.examples,
      tokens=state.tokens,
      loss_steps=tuple(range(1, len(losses) + 1)),
      losses=tuple(losses),
    )

  def garbage(self) -> metrics.CallScores:
    """What a model that emits garbage would score."""
    answers = metrics.garbage_outputs(self.test)
    return metrics.score(metrics.judge_all(self.test, answers, self.format))

  def garbage_bfcl(self) -> bfcl.BfclScores | None:
    """The same under the official checker; None without it."""
    if not self._bfcl:
      return None
    examples = [case.example for case in self._bfcl]
    garbage = outputs.RecordedOutputs(metrics.garbage_outputs(examples))
    _, scores = bfcl.evaluate_bfcl(garbage, self._bfcl, self.format)
    return None if scores.skipped else scores

  def samples(self, name: str, of_each: int = 6) -> tuple[ShownSample, ...]:
    """Good and bad answers of a state, spread over the categories."""
    by_id = {example.id: example for example in self.test}
    shown = []
    for good in (True, False):
      chosen = _spread(
        [j for j in self.judgements[name] if j.exact is good], of_each
      )
      for judgement in chosen:
        example = by_id[judgement.example_id]
        shown.append(
          ShownSample(
            stage=_title(name),
            example_id=example.id,
            category=judgement.category,
            outcome=judgement.outcome,
            query=example.query,
            tools=tuple(tool.name for tool in example.tools),
            gold=_rendered(example, self.format),
            output=self.answers[name][example.id],
          )
        )
    return tuple(shown)

  def _official(self, adapter: Adapter, name: str) -> bfcl.BfclScores | None:
    if not self._bfcl:
      return None
    run = self.run
    generator = Answering(run.student, adapter, run.workdir / name, "bfcl")
    _, scores = bfcl.evaluate_bfcl(generator, self._bfcl, self.format)
    if scores.skipped and name == "base":
      self.notices.append(
        Notice("BFCL", len(self._bfcl), len(self._bfcl), scores.skipped)
      )
    return None if scores.skipped else scores

  def _bfcl_cases(self) -> list[bfcl.BfclCase]:
    evaluate = self.run.config.evaluate
    if not evaluate.bfcl:
      return []
    folder = None if evaluate.bfcl == "package" else evaluate.bfcl
    cases = bfcl.read_cases(bfcl.find_folder(folder))
    chosen = bfcl.slice_cases(cases, evaluate.bfcl_cases, self.run.config.seed)
    if len(chosen) < len(cases):
      self.notices.append(
        Notice(
          "BFCL: cases left out",
          len(cases) - len(chosen),
          len(cases),
          "evaluate.bfcl_cases",
        )
      )
    return chosen


def export(run: "Run") -> None:
  """Writes the current adapter as a PEFT folder and says where things are."""
  adapter = run.current()
  folder = run.workdir / ADAPTER_FOLDER
  if adapter.tree is None:
    run.say("export: no adapter was trained; nothing to export.")
    return
  peft.save_adapter(
    adapter.tree,
    run.config.lora,
    run.student.base.config,
    folder,
    run.config.base.path,
  )


def next_step(run: "Run") -> str:
  """One line to try next: what the adapter was trained on, in colour."""
  return (
    "python -m launch.show --config=configs/quickstart.py --stage=decompose"
    f" --workdir={run.workdir}"
  )


def _rounds(run: "Run", states: Sequence["State"]) -> list[RoundSummary]:
  gold = inputs.read_gold(run.config, run.workdir)
  rounds = []
  for state in states:
    folder = run.workdir / state.name
    if not (folder / "counts.json").exists():
      continue
    counts = storage.read_json(folder / "counts.json")
    rounds.append(
      RoundSummary(
        name=_title(state.name),
        fates=counts["fates"],
        sample_reasons=counts["samples_dropped"],
        vote_shares=tuple(counts["vote_shares"]),
        labels=_label_scores(folder, gold),
        accepted=state.accepted,
        verdict=state.verdict,
      )
    )
  return rounds


def _label_scores(
  folder: epath.Path, gold: Sequence[Example]
) -> labels.LabelScores | None:
  """How right the labels of a round were; None without gold or labels."""
  kept = [
    Example.from_json(row) for row in storage.read_jsonl(folder / "kept.jsonl")
  ]
  if not gold or not kept:
    return None
  made = [
    labels.Label(
      example_id=example.id,
      calls=example.calls,
      tools=example.tools,
      vote_share=float(str(example.provenance["vote_share"])),
    )
    for example in kept
  ]
  return labels.score(labels.judge_all(made, gold))


def _facts(run: "Run") -> Mapping[str, str]:
  config = run.config
  counts = ", ".join(f"{n} {k}" for k, n in run.inputs.counts().items())
  return {
    "base": config.base.path,
    "data": counts,
    "seed": str(config.seed),
    "adapter": f"LoRA rank {config.lora.rank} on {len(config.lora.targets)}"
    " linear maps a layer",
    "call format": config.view.call_format,
    "base fingerprint": run.student.base.fingerprint,
  }


def _left_out(states: Sequence["State"]) -> list[Notice]:
  return [notice for state in states for notice in state.notices]


def _clock(run: "Run") -> Clock:
  file = run.workdir / "clock.json"
  clock: dict[str, Any] = storage.read_json(file) if file.exists() else {}
  return Clock(
    machine=clock.get("machine", ""),
    started=clock.get("started", ""),
    finished=clock.get("finished", ""),
    seconds=clock.get("seconds", {}),
  )


def _losses(folder: epath.Path) -> list[float]:
  file = folder / "result" / "losses.json"
  return storage.read_json(file) if file.exists() else []


def _title(name: str) -> str:
  return name.replace("_", " ")


def _rendered(example: Example, call_format: str) -> str:
  if not example.calls:
    return "(no tool fits)"
  return get_format(call_format).render(example.calls)


def _spread(
  judgements: Sequence[metrics.Judgement], most: int
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


def tell_results(run: "Run") -> None:
  """Ends a run: the tables, where things are, what to try next."""
  if not (run.workdir / report.JSON_NAME).exists():
    return
  run.say(terminal.summary_text(read_summary(run.workdir / report.JSON_NAME)))
  run.say(f"adapter:  {run.workdir / ADAPTER_FOLDER}")
  run.say(f"report:   {run.workdir / report.HTML_NAME}")
  run.say(f"try next: {next_step(run)}")
