"""The summary of a run that its report shows: scores, rounds, facts."""

import dataclasses
import functools
import platform
from collections.abc import Iterator, Mapping, Sequence

import jax
from etils import epath

from tooldev_jax import io, records
from tooldev_jax.context import Context
from tooldev_jax.data import inputs as inputs_
from tooldev_jax.evaluate import state as evaluate_
from tooldev_jax.evaluate import terminal
from tooldev_jax.evaluate.summary import RoundSummary, RunSummary, StageSummary
from tooldev_jax.evolve import round as evolve_
from tooldev_jax.model import BASE
from tooldev_jax.states import State
from tooldev_jax.version import code_version


def summarise(context: Context) -> RunSummary:
  """Scores every state on the test examples, and gathers what is known."""
  config, inputs, states = context.config, context.inputs, context.states()
  found = evaluate_.evaluate_states(
    [
      evaluate_.ModelState("base", functools.partial(context.answers, BASE)),
      *(_model_state(context, state) for state in states),
    ],
    evaluate_.EvaluationSets(
      inputs.test,
      context.bfcl,
      config.evaluate.tool_making,
      config.view.call_format,
    ),
  )
  trained = zip(found.stages[1:], states, strict=True)
  notices = [*inputs.notices, *context.bfcl.notices]
  notices += [notice for state in states for notice in state.notices]
  return RunSummary(
    title="Tool learning report",
    facts=_facts(context),
    stages=(
      found.stages[0],
      *(_with_training(scored, x, context.workdir) for scored, x in trained),
    ),
    rounds=tuple(_round_summaries(context, states)),
    garbage=found.garbage,
    garbage_bfcl=found.garbage_bfcl,
    samples=found.samples,
    notices=tuple(notices),
    config=io.dumps(records.to_json(config)),
    next_step=terminal.next_step(context.workdir),
    clock=context.clock.read(),
  )


def _model_state(context: Context, state: State) -> evaluate_.ModelState:
  adapter = context.adapter(state.adapter_from)
  answers = functools.partial(context.answers, adapter)
  return evaluate_.ModelState(
    state.name, answers, state.started_from, state.accepted
  )


def _with_training(
  scored: StageSummary, state: State, workdir: epath.Path
) -> StageSummary:
  """A state's scores with what is known of its training."""
  file = workdir / state.name / "result" / "losses.json"
  losses = io.read_json(file) if file.exists() else []
  return dataclasses.replace(
    scored,
    note=state.verdict,
    examples=state.examples,
    tokens=state.tokens,
    loss_steps=tuple(range(1, len(losses) + 1)),
    losses=tuple(losses),
  )


def _round_summaries(
  context: Context, states: Sequence[State]
) -> Iterator[RoundSummary]:
  """What each round made. The queries' gold is opened here and only here."""
  gold = inputs_.read_gold(context.config, context.workdir)
  for state in states:
    folder = context.workdir / state.name
    if evolve_.is_made(folder):
      made = evolve_.read_round(folder)
      yield dataclasses.replace(
        evaluate_.summarise_round(state.name, made.kept, made.counts, gold),
        accepted=state.accepted,
        verdict=state.verdict,
      )


def _facts(context: Context) -> Mapping[str, str]:
  config = context.config
  counts = context.inputs.counts().items()
  return {
    "base": config.base.path,
    "data": ", ".join(f"{n} {role}" for role, n in counts),
    "seed": str(config.seed),
    "adapter": f"LoRA rank {config.lora.rank} on {len(config.lora.targets)}"
    " linear maps a layer",
    "call format": config.view.call_format,
    "base fingerprint": context.model.base.fingerprint,
    "code": code_version(),
    "software": f"Python {platform.python_version()}, JAX {jax.__version__}",
  }
