"""A run: adapt, decompose, evolve, evaluate, export.

    documents --adapt--> adapter --decompose--> adapter
    round: queries --evolve--> examples --train--> adapter, accepted or not
    every state: development scores; at the end: test scores, report, export

Each stage writes files into the run's folder and is skipped when they are
complete, so the same command goes on where it was stopped. What is complete is
known by its files alone, before anything is read, loaded or encoded. This is
the one place that joins making data and training on it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from etils import epath

from tooldev_jax import records
from tooldev_jax.ask import sampled_answers
from tooldev_jax.config import STAGES, RunConfig
from tooldev_jax.context import Context, Say
from tooldev_jax.data import stages as data_
from tooldev_jax.data.encoding import EncodedSet, Encoder
from tooldev_jax.data.inputs import Inputs, Notice
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate import report
from tooldev_jax.evaluate import state as evaluate_
from tooldev_jax.evaluate.wording import spaced
from tooldev_jax.evolve import round as evolve_
from tooldev_jax.model import BASE, Adapter
from tooldev_jax.models import peft
from tooldev_jax.parallel import processes
from tooldev_jax.seeds import fold
from tooldev_jax.states import (
  State,
  choose_stages,
  lead_first,
  state_file,
  write_once,
)
from tooldev_jax.summarise import summarise
from tooldev_jax.toolcall.formats import get_format
from tooldev_jax.toolcall.vocabulary import Example
from tooldev_jax.workdir import Workdir, score_identity

ADAPTER_FOLDER = "export/adapter"


def run(
  config: RunConfig,
  workdir: epath.Path,
  say: Say,
  stages: Sequence[str] = STAGES,
) -> None:
  """Runs the stages that are picked and not yet complete, in order.

  Args:
    config: what to do.
    workdir: the run's folder.
    say: prints a line for the user.
    stages: of STAGES.

  Raises:
    UserError: a mistake in the config or an input; a stage that was made is
      bound to another config; a stage needs one that was not run.
  """
  folder = Workdir(workdir)
  changed = folder.check(config)
  todo = choose_stages(folder, config, stages)
  # A process that looked after another had finished a stage would leave it
  # out, and wait for the others at another barrier than they.
  processes.barrier("stages chosen")
  for line in changed:
    say(line)
  if not todo:
    what = ", ".join(s for s in STAGES if s in stages)
    say(f"Nothing to do: {what} of {workdir} complete.")
    return
  context = Context(config, workdir, say)
  for stage in todo:
    _RUN[stage](context)
    folder.mark_done(stage, config)


# --- stages -----------------------------------------------------------------


def adapt(context: Context) -> None:
  """Learns what tool definitions look like, from documents."""
  _train_labelled(context, "adapt", "documents")


def decompose(context: Context) -> None:
  """Learns to make tools and to call them, from labelled examples."""
  _train_labelled(context, "decompose", "examples")


def evolve(context: Context) -> None:
  """Rounds of learning from queries without labels."""
  if not context.config.rounds:
    context.say("evolve: no rounds or no epochs; skipped.")
  for number in range(1, context.config.rounds + 1):
    name = f"round_{number}"
    if not state_file(context.workdir, name).exists():
      with context.timed(spaced(name)):
        _write_state(context, _round(context, number))


def export(context: Context) -> None:
  """Writes the current adapter as a PEFT folder."""
  with context.timed("export"):
    Workdir(context.workdir).claim(context.config)
    adapter = context.current()
    if adapter is BASE:
      context.say("export: no adapter was trained; nothing to export.")
      return
    base, tokenizer = context.model.base, context.model.tokenizer
    stops = tokenizer.stop_token_ids
    peft.save_adapter(
      adapter.tree,
      context.config.lora,
      base.config.with_stop_tokens(stops, tokenizer.pad_id),
      context.workdir / ADAPTER_FOLDER,
      context.config.base.path,
      base.fingerprint,
    )


def _train_labelled(context: Context, name: str, role: str) -> None:
  """Trains on labelled data, unless the config has none for it."""
  if state_file(context.workdir, name).exists():
    return
  settings = data_.settings_of(context.config, name)
  if not getattr(context.config.data, role).path or not settings.epochs:
    context.say(f"{name}: no {role} or no epochs; skipped.")
    return
  with context.timed(name):
    if name == "adapt" and context.config.decompose.epochs:
      # What decompose would refuse is refused before adapt is trained.
      later = _sequences(context, "decompose")
      context.model.plan(later, context.config.decompose)
    sequences = _sequences(context, name)
    context.begin(name)
    _write_state(context, _train(context, name, context.current(), sequences))


# --- a round ----------------------------------------------------------------


def _round(context: Context, number: int) -> State:
  name = f"round_{number}"
  before = context.current()
  context.begin(name)
  made = _make_round(context, number, before)
  context.say(f"{name}: kept {len(made.kept)} of {len(made.ledger)} queries")
  standing = _standing(context, before)
  sequences = _sequences(context, name)
  if not sequences.encoded:
    why = data_.why_none(sequences) if made.kept else "no query was kept"
    return State(
      name=name,
      adapter=before.fingerprint,
      adapter_from=before.name,
      started_from=before.name,
      accepted=False,
      verdict=f"nothing to learn: {why}",
      exact=standing.exact,
      over_call=standing.over_call,
      scored_by=score_identity(context.config),
      examples=0,
      tokens=0,
      steps=0,
      notices=_notices(name, sequences),
    )
  fresh = context.config.evolve.restart_from == "base"
  start = BASE if fresh else before
  trained = _train(context, name, start, sequences)
  return _judge(context.config, trained, standing)


def _make_round(
  context: Context, number: int, before: Adapter
) -> evolve_.RoundData:
  """The self-made examples of a round; made once, then read."""
  folder = context.workdir / f"round_{number}"
  if evolve_.is_made(folder):
    return evolve_.read_round(folder)
  config = context.config.evolve
  seed = fold(context.config.seed, "round", number)
  made = evolve_.make_round(
    _queries(context, number),
    sampled_answers(context.model, before, config.top_k, seed),
    get_format(context.config.view.call_format),
    config,
    seed,
    folder,
  )
  if processes.is_lead():
    evolve_.write_round(folder, made)
  processes.barrier(f"{folder.name} made")
  return made


def _queries(context: Context, number: int) -> list[Example]:
  """The queries of a round: those after the ones that earlier rounds took.

  Where rounds were added and all are taken, it begins again with the first.
  """
  queries = context.inputs.queries
  taken = 0
  for earlier in range(1, number):
    made = evolve_.read_round(context.workdir / f"round_{earlier}")
    taken += len(made.ledger)
  size = context.config.evolve.round_size(len(queries))
  if taken + size > len(queries):
    context.say(f"round_{number}: asks queries again, all were taken")
  return [queries[(taken + i) % len(queries)] for i in range(size)]


def _judge(
  config: RunConfig, state: State, before: evaluate_.Development
) -> State:
  """Accepts a round unless development fell by more than is allowed."""
  fall = before.exact - state.exact
  rise = (state.over_call or 0.0) - (before.over_call or 0.0)
  allowed = config.evolve
  good = fall <= allowed.max_drop and rise <= allowed.max_over_call_rise
  verdict = (
    f"development exact {before.exact:.1%} -> {state.exact:.1%}, over-calls"
    f" {rise:+.1%}"
  )
  return dataclasses.replace(state, accepted=good, verdict=verdict)


# --- training ---------------------------------------------------------------


def stage_sequences(
  config: RunConfig,
  workdir: epath.Path,
  inputs: Inputs,
  encoder: Encoder,
  name: str,
) -> EncodedSet:
  """What a stage or round learns in one epoch; empty for a round without.

  Raises:
    UserError: there is no such stage, the round was not made yet, or no
      labelled example became a sequence.
  """
  cache = workdir / "cache"
  labelled = {"adapt": inputs.documents, "decompose": inputs.examples}
  data_.settings_of(config, name)
  examples = labelled[name] if name in labelled else _kept(workdir / name)
  found = data_.encode_stage(name, examples, config, encoder, cache)
  if name in labelled:
    data_.require_some(name, found)
    return found
  return data_.add_replay(found, inputs.examples, config, encoder, cache)


def _kept(folder: epath.Path) -> Sequence[Example]:
  """What a round kept."""
  if not evolve_.is_made(folder):
    raise UserError(f"stage {folder.name!r}: the round is not made: {folder}")
  return evolve_.read_round(folder).kept


def _sequences(context: Context, name: str) -> EncodedSet:
  inputs, encoder = context.inputs, context.model.encoder
  return lead_first(
    name,
    lambda: stage_sequences(
      context.config, context.workdir, inputs, encoder, name
    ),
  )


def _train(
  context: Context, name: str, start: Adapter, sequences: EncodedSet
) -> State:
  """Trains and scores on development."""
  adapter, result, data = context.model.train(
    context.workdir,
    name,
    start,
    sequences,
    data_.settings_of(context.config, name),
  )
  context.remember(adapter)
  scores = _development(context, adapter)
  return State(
    name=name,
    adapter=adapter.fingerprint,
    adapter_from=name,
    started_from=start.name,
    accepted=True,
    verdict="",
    exact=scores.exact,
    over_call=scores.over_call,
    scored_by=score_identity(context.config),
    examples=data.report.examples,
    tokens=data.report.trained_tokens * data.config.epochs,
    steps=result.steps,
    notices=_notices(name, sequences),
  )


def _standing(context: Context, adapter: Adapter) -> evaluate_.Development:
  """Development scores of an earlier state, or of the base."""
  for state in context.states():
    if state.name == adapter.name:
      state = _rescored(context, state)
      return evaluate_.Development(state.exact, state.over_call)
  return _development(context, adapter)


def _rescored(context: Context, state: State) -> State:
  """A state with scores by today's development; its verdict stays."""
  today = score_identity(context.config)
  if state.scored_by == today:
    return state
  scores = _development(context, context.adapter(state.adapter_from))
  found = dataclasses.replace(
    state, exact=scores.exact, over_call=scores.over_call, scored_by=today
  )
  write_once(state_file(context.workdir, state.name), records.to_json(found))
  return found


def _development(context: Context, adapter: Adapter) -> evaluate_.Development:
  """Development scores; those on the slice of BFCL are only printed."""
  call_format = context.config.view.call_format
  scores = evaluate_.score_development(
    context.answers(adapter, "development"),
    context.inputs.development,
    call_format,
  )
  official = evaluate_.score_official(
    context.answers(adapter, "bfcl_slice"), context.bfcl.slice, call_format
  )
  if official and official.ast:
    share = f"{official.ast.value:.1%}"
    context.say(f"{adapter.name}: BFCL, a slice: {share} of calls")
  return scores


def _notices(name: str, found: EncodedSet) -> tuple[Notice, ...]:
  """What of a stage's data was left out or cut."""
  of = len(found.encoded) + sum(found.dropped.values())
  notices = [
    Notice(f"{name}: views not trained on", count, of, reason)
    for reason, count in found.dropped.items()
  ]
  if found.tools_dropped:
    what = f"{name}: distractor tools left out"
    notices.append(Notice(what, found.tools_dropped, 0, "encode.max_length"))
  return tuple(notices)


# --- evaluation -------------------------------------------------------------


def evaluate(context: Context) -> None:
  """Scores every state on the test examples and writes the report."""
  with context.timed("evaluate"):
    folder = Workdir(context.workdir)
    folder.claim(context.config)
    changed = folder.changed(context.model.base.fingerprint, context.digests)
    for line in changed:
      context.say(f"careful: {line}")
    for state in context.states():
      _rescored(context, state)
    summary = summarise(context)
    if processes.is_lead():
      report.write_report(context.workdir, summary)
    processes.barrier("report written")


def _write_state(context: Context, state: State) -> None:
  file = state_file(context.workdir, state.name)
  write_once(file, records.to_json(state))
  line = state.verdict or f"development exact {state.exact:.1%}"
  rolled_back = "" if state.accepted else " (rolled back)"
  context.say(f"{state.name}: {line}{rolled_back}")


_RUN: Mapping[str, Callable[[Context], None]] = {
  "adapt": adapt,
  "decompose": decompose,
  "evolve": evolve,
  "evaluate": evaluate,
  "export": export,
}
