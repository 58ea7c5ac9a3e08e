"""Ends a run: its scores, its report, its export, what to say.

The gold answers to the evolve queries are opened only here.
"""

import dataclasses
import hashlib
import os
import pathlib
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax
from etils import epath

from tooldev_jax import inputs, io, measure
from tooldev_jax.evaluate import report, terminal
from tooldev_jax.evaluate.state import (
  EvaluationSets,
  ModelState,
  evaluate_states,
  summarise_round,
)
from tooldev_jax.evaluate.summary import (
  RoundSummary,
  RunSummary,
  StageSummary,
  read_summary,
)
from tooldev_jax.evolve.round import is_made, read_round
from tooldev_jax.models import peft
from tooldev_jax.parallel import processes
from tooldev_jax.student import BASE

if TYPE_CHECKING:
  from tooldev_jax.pipeline import Run, State

ADAPTER_FOLDER = "export/adapter"


def test_and_report(run: "Run") -> None:
  """Scores every state on the test examples and writes the report."""
  states = run.states()
  tested = [ModelState(BASE.name, measure.answering(run, BASE))]
  tested += [
    ModelState(
      state.name,
      measure.answering(run, run.adapter(state.adapter_from)),
      state.started_from,
      state.accepted,
    )
    for state in states
  ]
  found = evaluate_states(
    tested,
    EvaluationSets(
      run.inputs.test,
      run.official,
      run.config.evaluate.tool_making,
      run.config.view.call_format,
    ),
  )
  stages = [found.stages[0]]
  for scored, state in zip(found.stages[1:], states, strict=True):
    stages.append(_with_training(scored, state, run.workdir / state.name))
  notices = [*run.inputs.notices, *run.official.notices]
  notices += [notice for state in states for notice in state.notices]
  summary = RunSummary(
    title="Tool learning report",
    facts=_facts(run),
    stages=tuple(stages),
    rounds=tuple(_rounds(run, states)),
    garbage=found.garbage,
    garbage_bfcl=found.garbage_bfcl,
    samples=found.samples,
    notices=tuple(notices),
    config=(run.workdir / "config.json").read_text(encoding="utf-8"),
    next_step=_next_step(run),
    clock=run.clock.told(),
  )
  if processes.is_lead():
    report.write_report(run.workdir, summary)
  processes.barrier("report written")


def export(run: "Run") -> None:
  """Writes the current adapter as a PEFT folder."""
  adapter = run.current()
  if adapter is BASE:
    run.say("export: no adapter was trained; nothing to export.")
    return
  base = run.student.base
  peft.save_adapter(
    adapter.tree,
    run.config.lora,
    base.config,
    run.workdir / ADAPTER_FOLDER,
    run.config.base.path,
    base.fingerprint,
  )


def tell_results(run: "Run") -> None:
  """The tables, where things are, what to try next."""
  file = run.workdir / report.JSON_NAME
  if file.exists():
    summary = read_summary(file)
    run.say(terminal.summary_text(summary))
  for what, path in (
    ("adapter", run.workdir / ADAPTER_FOLDER),
    ("report", run.workdir / report.HTML_NAME),
  ):
    if path.exists():
      run.say(f"{what + ':':9} {_as_seen(path)}")
  run.say(f"try next: {_next_step(run)}")


def _next_step(run: "Run") -> str:
  """One line to try next: what the adapter was trained on, in colour."""
  return (
    f"{_as_seen(sys.executable)} -m launch.show"
    f" --workdir={_as_seen(run.workdir)} --stage=decompose"
  )


def _as_seen(path: io.PathLike) -> str:
  """A path as it is typed here: short where it is below this folder."""
  seen = os.path.relpath(path)
  return str(path) if "://" in str(path) or seen.startswith("..") else seen


def _with_training(
  scored: StageSummary, state: "State", folder: epath.Path
) -> StageSummary:
  file = folder / "result" / "losses.json"
  losses = io.read_json(file) if file.exists() else []
  return dataclasses.replace(
    scored,
    note=state.verdict,
    examples=state.examples,
    tokens=state.tokens,
    loss_steps=tuple(range(1, len(losses) + 1)),
    losses=tuple(losses),
  )


def _rounds(run: "Run", states: Sequence["State"]) -> list[RoundSummary]:
  gold = inputs.read_gold(run.config, run.workdir)
  rounds = []
  for state in states:
    folder = run.workdir / state.name
    if not is_made(folder):
      continue
    made = read_round(folder)
    rounds.append(
      dataclasses.replace(
        summarise_round(state.name, made.kept, made.counts, gold),
        accepted=state.accepted,
        verdict=state.verdict,
      )
    )
  return rounds


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
    "code": _code_version(),
    "software": f"Python {platform.python_version()}, JAX {jax.__version__}",
  }


def _code_version() -> str:
  """Digest of this package's sources: a checkout may have no history."""
  digest = hashlib.sha256()
  folder = pathlib.Path(__file__).parent
  for path in sorted(folder.rglob("*.py")):
    digest.update(path.relative_to(folder).as_posix().encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()[:12]
