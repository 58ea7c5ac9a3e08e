"""A run: adapt, decompose, evolve, evaluate, export.

    documents --adapt--> adapter --decompose--> adapter
    round: queries --evolve--> examples --learn--> adapter, accepted or not
    every state: development scores; at the end: test scores, report, export

Each step writes files into the run's folder and is skipped when they are
complete, so the same command goes on where it was stopped; what is complete is
found by its files alone, before anything is read, loaded or encoded. This is
the one place that joins making data and training on it.

Of several processes the first one writes what all share, and the others wait
until it is there: whoever asks what is complete gets the same answer.
"""

import dataclasses
import functools
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
from etils import epath

from tooldev_jax import finish, io, measure, progress, records
from tooldev_jax import inputs as inputs_
from tooldev_jax.config import STAGES, RunConfig, differences
from tooldev_jax.data.encoding import EncodedSet
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate.state import Development, Official, read_official
from tooldev_jax.evaluate.summary import Notice
from tooldev_jax.evolve.round import (
  RoundData,
  is_made,
  make_round,
  read_round,
  write_round,
)
from tooldev_jax.inputs import Inputs
from tooldev_jax.parallel import processes
from tooldev_jax.stage_data import StageData, settings_of, why_none
from tooldev_jax.student import BASE, Adapter, Student, asking, seed_of
from tooldev_jax.toolcall.formats import get_format

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class State:
  """What a stage or round made of the model.

  Attributes:
    name: "adapt", "decompose", "round_1", …
    adapter: fingerprint of its adapter.
    adapter_from: name of the state that trained it: its own, unless there was
      nothing to train on.
    started_from: name of the state that its training started from.
    accepted: False when a round was rolled back.
    verdict: why, in one sentence.
    exact: share of exact calls on development.
    over_call: share of irrelevant development queries that were answered with
      calls; None without any.
    examples: streams trained on, an epoch.
    tokens: trained tokens, all epochs.
    steps: updates.
    notices: what was left out of training.
  """

  name: str
  adapter: str
  adapter_from: str
  started_from: str
  accepted: bool
  verdict: str
  exact: float
  over_call: float | None
  examples: int
  tokens: int
  steps: int
  notices: tuple[Notice, ...] = ()


class Run:
  """One run in its folder.

  Args:
    config: what to do.
    workdir: the run's folder; holds one config for ever.
    say: prints a line for the user.

  Raises:
    UserError: the folder belongs to another config.
  """

  def __init__(self, config: RunConfig, workdir: epath.Path, say: progress.Say):
    self.config = config
    self.workdir = workdir
    self.say = say
    self._adapters: dict[str, Adapter] = {BASE.name: BASE}
    self._claim()

  def run(self, stages: Sequence[str] = STAGES) -> None:
    """Runs the stages that are picked and not yet complete, in order."""
    unknown = sorted(set(stages) - set(STAGES))
    if unknown:
      raise UserError(
        f"--stages: {unknown[0]!r} is not one of {', '.join(STAGES)}"
      )
    todo = [s for s in STAGES if s in stages and not self._is_done(s)]
    # A process that looked after another had finished a stage would leave it
    # out, and wait for the others at another barrier than they.
    processes.barrier("stages chosen")
    if not todo:
      what = ", ".join(s for s in STAGES if s in stages)
      self.say(f"Nothing to do: {what} of {self.workdir} complete.")
      return
    # What is exported does not depend on how it scores.
    missing = [
      s
      for s in STAGES[: STAGES.index(todo[0])]
      if not self._is_done(s) and s != "evaluate"
    ]
    if missing:
      raise UserError(
        f"--stages={','.join(stages)}: {missing[0]} has to be run before"
        f" {todo[0]}"
      )
    self._tell_time()
    for stage in todo:
      getattr(self, f"_{stage}")()
      self._publish(self._done_file(stage), {"stage": stage})

  # --- stages -------------------------------------------------------------

  def _adapt(self) -> None:
    self._stage("adapt")

  def _decompose(self) -> None:
    self._stage("decompose")

  def _stage(self, name: str) -> None:
    """Trains on labelled data, unless the config has none for it."""
    source = {"adapt": "documents", "decompose": "examples"}[name]
    if self._has_state(name):
      return
    if (
      not getattr(self.config.data, source).path
      or not settings_of(self.config, name).epochs
    ):
      self.say(f"{name}: no {source} or no epochs; skipped.")
      return
    with self._timed(name):
      streams = self._streams(name)
      self._write_state(self._train(name, self.current(), streams))

  def _evolve(self) -> None:
    for number in range(1, self.config.rounds + 1):
      name = f"round_{number}"
      if not self._has_state(name):
        with self._timed(name):
          self._write_state(self._round(number))

  def _evaluate(self) -> None:
    with self._timed("evaluate"):
      finish.test_and_report(self)

  def _export(self) -> None:
    with self._timed("export"):
      finish.export(self)

  # --- a round --------------------------------------------------------------

  def _round(self, number: int) -> State:
    name = f"round_{number}"
    before = self.current()
    made = self._round_data(number, before)
    self.say(f"{name}: kept {len(made.kept)} of {len(made.ledger)} queries")
    standing = self._standing(before)
    streams = self._streams(name) if made.kept else None
    if streams is None or not streams.encoded:
      why = "no query was kept" if streams is None else why_none(streams)
      return State(
        name=name,
        adapter=before.fingerprint,
        adapter_from=before.name,
        started_from=before.name,
        accepted=False,
        verdict=f"nothing to learn: {why}",
        exact=standing.exact,
        over_call=standing.over_call,
        examples=0,
        tokens=0,
        steps=0,
        notices=_encode_notices(name, streams) if streams else (),
      )
    fresh = self.config.evolve.restart_from == "base"
    start = BASE if fresh else before
    return self._judge(self._train(name, start, streams), standing)

  def _round_data(self, number: int, before: Adapter) -> RoundData:
    """The self-made examples of a round; made once, then read."""
    folder = self.workdir / f"round_{number}"
    if is_made(folder):
      return read_round(folder)
    config, queries = self.config.evolve, self.inputs.queries
    size = config.round_size(len(queries))
    seed = seed_of(self.config.seed, "round", number)
    made = make_round(
      queries[(number - 1) * size : number * size],
      asking(self.student, before, config.top_k, seed),
      get_format(self.config.view.call_format),
      config,
      seed,
      folder,
    )
    if processes.is_lead():
      write_round(folder, made)
    processes.barrier(f"{folder.name} made")
    return made

  def _judge(self, state: State, before: Development) -> State:
    """Accepts a round unless development fell by more than is allowed."""
    fall = before.exact - state.exact
    rise = (state.over_call or 0.0) - (before.over_call or 0.0)
    config = self.config.evolve
    good = fall <= config.max_drop and rise <= config.max_over_call_rise
    verdict = (
      f"development exact {before.exact:.1%} -> {state.exact:.1%}, over-calls"
      f" {rise:+.1%}"
    )
    return dataclasses.replace(state, accepted=good, verdict=verdict)

  # --- training ---------------------------------------------------------------

  def _streams(self, name: str) -> EncodedSet:
    """What a stage or round learns from."""
    data = self.stage_data
    return _lead_first(name, lambda: data.streams(name))

  def _train(self, name: str, start: Adapter, streams: EncodedSet) -> State:
    """Trains and scores on development."""
    tree = start.tree
    if tree is None:
      tree = self.student.fresh_adapter()
    stage = settings_of(self.config, name)
    result, trained = self.student.learn(name, tree, streams, stage)
    adapter = Adapter(name, result.trained, result.fingerprint)
    self._adapters[name] = adapter
    scores = measure.development(self, adapter)
    return State(
      name=name,
      adapter=result.fingerprint,
      adapter_from=name,
      started_from=start.name,
      accepted=True,
      verdict="",
      exact=scores.exact,
      over_call=scores.over_call,
      examples=trained.report.examples,
      tokens=trained.report.trained_tokens * trained.config.epochs,
      steps=result.steps,
      notices=_encode_notices(name, streams),
    )

  def _standing(self, adapter: Adapter) -> Development:
    """Development scores of an earlier state, or of the base."""
    if adapter is BASE:
      return measure.development(self, BASE)
    state = next(s for s in self.states() if s.name == adapter.name)
    return Development(state.exact, state.over_call)

  # --- what there is --------------------------------------------------------

  @functools.cached_property
  def inputs(self) -> Inputs:
    """All inputs, read once."""
    found = _lead_first(
      "inputs",
      lambda: inputs_.read_inputs(
        self.config, self.workdir, self.official.examples
      ),
    )
    counts = ", ".join(f"{n} {role}" for role, n in found.counts().items())
    self.say(f"inputs: {counts}")
    return found

  @functools.cached_property
  def student(self) -> Student:
    """The model, loaded once."""
    self.say(f"base: loading {self.config.base.path}")
    return Student(self.config, self.workdir, self.say)

  @functools.cached_property
  def stage_data(self) -> StageData:
    """What each stage learns from."""
    return StageData(
      self.config, self.workdir, self.inputs, self.student.encoder
    )

  @functools.cached_property
  def official(self) -> Official:
    """BFCL's cases, read once."""
    return read_official(self.config.evaluate, self.config.seed)

  def states(self) -> list[State]:
    """All states that are complete, in the order they were made."""
    return [
      records.from_json(State, io.read_json(file), str(file))
      for name in self._state_names()
      if (file := self._state_file(name)).exists()
    ]

  def current(self) -> Adapter:
    """The adapter of the last accepted state; the base before the first."""
    accepted = [state.name for state in self.states() if state.accepted]
    return self.adapter(accepted[-1] if accepted else BASE.name)

  def adapter(self, name: str) -> Adapter:
    """The adapter that a stage or round of this name trained."""
    if name not in self._adapters:
      tree, fingerprint = self.student.trained(name)
      self._adapters[name] = Adapter(name, tree, fingerprint)
    return self._adapters[name]

  # --- bookkeeping ------------------------------------------------------------

  def _state_names(self) -> list[str]:
    rounds = range(1, self.config.rounds + 1)
    return ["adapt", "decompose", *(f"round_{n}" for n in rounds)]

  def _state_file(self, name: str) -> epath.Path:
    return self.workdir / name / "state.json"

  def _has_state(self, name: str) -> bool:
    return self._state_file(name).exists()

  def _write_state(self, state: State) -> None:
    self._publish(self._state_file(state.name), records.to_json(state))
    line = state.verdict or f"development exact {state.exact:.1%}"
    fate = "" if state.accepted else " (rolled back)"
    self.say(f"{state.name}: {line}{fate}")

  def _publish(self, path: epath.Path, value: Any) -> None:
    """Writes JSON once; afterwards every process finds it."""
    if processes.is_lead():
      io.write_json(path, value)
    processes.barrier(f"{path.name} written")

  def _claim(self) -> None:
    """Writes the config into a new folder, or compares with the old one."""
    file = self.workdir / "config.json"
    mine = records.to_json(self.config)
    if processes.is_lead() and not file.exists():
      io.write_json(file, mine)
    processes.barrier("config written")
    changed = differences(io.read_json(file), mine)
    if changed:
      raise UserError(
        f"{self.workdir} holds a run with another config. Use another"
        " --workdir, or the old config:\n  " + "\n  ".join(changed)
      )

  def _done_file(self, stage: str) -> epath.Path:
    return self.workdir / "done" / f"{stage}.json"

  def _is_done(self, stage: str) -> bool:
    return self._done_file(stage).exists()

  # --- time -------------------------------------------------------------------

  @functools.cached_property
  def clock(self) -> progress.RunClock:
    """Wall time of the parts."""
    machine = f"{platform.machine()}, {jax.devices()[0].device_kind}"
    return progress.RunClock(
      self.workdir / "clock.json", machine, processes.is_lead()
    )

  @contextmanager
  def _timed(self, name: str) -> Iterator[None]:
    """Times a part of the run, and tells how long the rest may take."""
    part = _part(name)
    self.say(f"--- {part}")
    with self.clock.timed(part):
      yield
    self._tell_time(part)

  def _tell_time(self, just_done: str = "") -> None:
    """Says how long the run took so far, and how long it may take yet."""
    spent = sum(self.clock.seconds.values()) / 60
    told = [f"time: {spent:.1f} min so far"]
    budget = self.config.budget_minutes
    left = self._minutes_left(just_done)
    if left:
      told.append(f"about {left:.1f} min to go at this speed")
    elif left is None and budget:
      told.append(f"about {max(0, budget - spent):.1f} min to go by the budget")
    if budget:
      told.append(f"budget {budget:g} min on {self.config.hardware}")
    self.say(", ".join(told))

  def _minutes_left(self, just_done: str) -> float | None:
    # Inputs are not read to tell the time: a run may have no use for them.
    if "inputs" not in vars(self):
      return None
    parts = progress.plan(self.config, self.inputs.counts())
    done = {_part(s.name) for s in self.states()} | {just_done}
    done |= {stage for stage in STAGES if self._is_done(stage)}
    budget = 60 * self.config.budget_minutes
    left = self.clock.left(parts, done & parts.keys(), budget)
    return None if left is None else left / 60


def _part(name: str) -> str:
  """What a state or stage is called in tables and on the clock."""
  return name.replace("_", " ")


def _lead_first(name: str, make: Callable[[], T]) -> T:
  """What `make` gives in every process.

  The first process runs it before the others, who then find the files that it
  has written. So it must not wait for the others itself: what it uses that was
  made this way is to be made before.
  """
  found = make() if processes.is_lead() else None
  # To read and encode much data takes a while.
  processes.barrier(f"{name} made", timeout_s=3600.0)
  return make() if found is None else found


def _encode_notices(name: str, streams: EncodedSet) -> tuple[Notice, ...]:
  of = len(streams.encoded) + sum(streams.dropped.values())
  found = [
    Notice(f"{name}: views not trained on", count, of, reason)
    for reason, count in streams.dropped.items()
  ]
  if streams.tools_dropped:
    found.append(
      Notice(
        f"{name}: distractor tools left out",
        streams.tools_dropped,
        0,
        "encode.max_length",
      )
    )
  return tuple(found)
