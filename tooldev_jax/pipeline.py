"""A run: adapt, decompose, evolve, evaluate, export.

    documents --adapt--> adapter --decompose--> adapter
    round: queries --evolve--> examples --learn--> adapter, accepted or not
    every state: development scores; at the end: test scores, report, export

Each step writes files into the run's folder and is skipped when they are
complete, so the same command goes on where it was stopped. This is the one
place that joins making data and training on it.
"""

import dataclasses
import functools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
from etils import epath

from tooldev_jax import inputs as inputs_
from tooldev_jax import measure, records, storage
from tooldev_jax.config import STAGES, RunConfig, StageConfig, differences
from tooldev_jax.data.encoding import EncodedSet
from tooldev_jax.data.prepare import PrepareConfig, merge, prepare
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate.summary import Notice
from tooldev_jax.evolve.round import RoundData, make_round
from tooldev_jax.inputs import Inputs
from tooldev_jax.student import BASE, Adapter, Student, asking, seed_of
from tooldev_jax.tools.formats import get_format
from tooldev_jax.tools.vocabulary import Example

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class State:
  """What a stage or round made of the model.

  Attributes:
    name: "adapt", "decompose", "round_1", …
    adapter: fingerprint of its adapter.
    adapter_from: name of the state that trained it: its own, unless there was
      nothing to train on.
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

  def __init__(self, config: RunConfig, workdir: epath.Path, say: Say):
    self.config = config
    self.workdir = workdir
    self.say = say
    self._claim()

  def run(self, stages: Sequence[str] = STAGES) -> None:
    """Runs the stages that are picked and not yet complete, in order."""
    unknown = sorted(set(stages) - set(STAGES))
    if unknown:
      raise UserError(
        f"--stages: {unknown[0]!r} is not one of {', '.join(STAGES)}"
      )
    todo = [s for s in STAGES if s in stages and not self._is_done(s)]
    if not todo:
      self.say(f"Nothing to do: {self.workdir} is complete.")
      return
    missing = [
      s for s in STAGES[: STAGES.index(todo[0])] if not self._is_done(s)
    ]
    needed = [s for s in missing if s not in ("evaluate",)]
    if needed:
      raise UserError(
        f"--stages={','.join(stages)}: {needed[0]} has to be run before"
        f" {todo[0]}"
      )
    for stage in todo:
      with self._timed(stage):
        getattr(self, f"_{stage}")()
      storage.write_json(self._done_file(stage), {"stage": stage})

  # --- stages -------------------------------------------------------------

  def _adapt(self) -> None:
    documents = self.inputs.documents
    if not documents or not self.config.adapt.epochs:
      self.say("adapt: no documents or no epochs; skipped.")
      return
    streams = self._encode(documents, ("adaption",))
    self._train("adapt", BASE, streams, self.config.adapt)

  def _decompose(self) -> None:
    self._train(
      "decompose", self.current(), self._replay(1.0), self.config.decompose
    )

  def _evolve(self) -> None:
    for number in range(1, self.config.evolve.rounds + 1):
      if not self._has_state(f"round_{number}"):
        self._round(number)

  def _evaluate(self) -> None:
    measure.test_and_report(self)

  def _export(self) -> None:
    measure.export(self)

  # --- a round --------------------------------------------------------------

  def _round(self, number: int) -> None:
    config = self.config.evolve
    name = f"round_{number}"
    before = self.current()
    made = self.round_data(number, before)
    self.say(f"{name}: kept {len(made.kept)} of {len(made.ledger)} queries")
    if not made.kept:
      state = self.state(before.name)
      self._write_state(
        dataclasses.replace(
          state,
          name=name,
          accepted=False,
          verdict="no query was kept; nothing to learn",
          examples=0,
          tokens=0,
          steps=0,
          notices=(),
        )
      )
      return
    kinds = ("generation", "invocation")
    fresh = self._encode(
      made.kept, kinds if config.train_generation else kinds[1:]
    )
    streams = merge([fresh, self._replay(config.replay)])
    start = before if config.restart_from == "last" else BASE
    self._train(name, start, streams, self.config.round, judged_by=before)

  def round_data(self, number: int, before: Adapter) -> RoundData:
    """The self-made examples of a round; made once, then read."""
    config = self.config.evolve
    queries = self.inputs.queries
    size = config.queries_per_round or len(queries) // config.rounds
    chosen = queries[(number - 1) * size : number * size]
    if not chosen:
      raise UserError(
        f"round {number}: no queries are left; data.queries has"
        f" {len(queries)}, and a round takes {size}"
      )
    seed = seed_of(self.config.seed, "round", number)
    return make_round(
      chosen,
      asking(self.student, before, config.top_k, seed),
      get_format(self.config.view.call_format),
      config,
      seed,
      self.workdir / f"round_{number}",
    )

  # --- training ---------------------------------------------------------------

  def _train(
    self,
    name: str,
    start: Adapter,
    streams: EncodedSet,
    stage: StageConfig,
    judged_by: Adapter | None = None,
  ) -> None:
    """Trains, scores on development, and writes the state, once."""
    if self._has_state(name):
      # `start` would be this very state: it is the current one already.
      return
    tree = start.tree
    if tree is None:
      tree = self.student.fresh_adapter()
    result, data = self.student.learn(name, tree, streams, stage)
    adapter = Adapter(name, result.trained, result.fingerprint)
    self._adapters[name] = adapter
    scores = measure.development(self, adapter)
    state = State(
      name=name,
      adapter=result.fingerprint,
      adapter_from=name,
      accepted=True,
      verdict="",
      exact=scores.exact,
      over_call=scores.over_call,
      examples=data.report.examples,
      tokens=data.report.trained_tokens * data.config.epochs,
      steps=result.steps,
      notices=_encode_notices(name, streams),
    )
    if judged_by is not None:
      state = self._judge(state, self.state(judged_by.name))
    self._write_state(state)

  def _judge(self, state: State, before: State) -> State:
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

  def _encode(
    self, examples: Sequence[Example], kinds: tuple[str, ...]
  ) -> EncodedSet:
    settings = PrepareConfig(
      kinds=kinds, seed=self.config.seed, view=self.config.view
    )
    return prepare(
      examples,
      self.student.encoder,
      settings,
      cache=self.workdir / "cache",
    )

  def _replay(self, share: float) -> EncodedSet:
    """Stage 2's labelled data, or a seeded share of it."""
    kinds = ("generation", "invocation")
    whole = self._encode(self.inputs.examples, kinds)
    if share >= 1.0:
      return whole
    kept = [
      stream
      for stream in whole.encoded
      if seed_of(self.config.seed, "replay", stream.example_id) < share * 2**31
    ]
    return dataclasses.replace(whole, encoded=tuple(kept))

  # --- what there is --------------------------------------------------------

  @functools.cached_property
  def inputs(self) -> Inputs:
    """All inputs, read once."""
    found = inputs_.read_inputs(self.config, self.workdir)
    counts = ", ".join(f"{n} {role}" for role, n in found.counts().items())
    self.say(f"inputs: {counts}")
    return found

  @functools.cached_property
  def student(self) -> Student:
    """The model, loaded once."""
    self.say(f"base: loading {self.config.base.path}")
    return Student(self.config, self.workdir)

  @functools.cached_property
  def _adapters(self) -> dict[str, Adapter]:
    return {}

  def states(self) -> list[State]:
    """All states that are complete, in the order they were made."""
    names = ["adapt", "decompose"]
    names += [f"round_{i + 1}" for i in range(self.config.evolve.rounds)]
    files = [self.workdir / name / "state.json" for name in names]
    return [
      records.from_json(State, storage.read_json(file), str(file))
      for file in files
      if file.exists()
    ]

  def _has_state(self, name: str) -> bool:
    return (self.workdir / name / "state.json").exists()

  def state(self, name: str) -> State:
    """The state of this name."""
    return next(state for state in self.states() if state.name == name)

  def current(self) -> Adapter:
    """The adapter of the last accepted state; the base before the first."""
    accepted = [state.name for state in self.states() if state.accepted]
    return self.adapter(accepted[-1]) if accepted else BASE

  def adapter(self, name: str) -> Adapter:
    """The adapter that a stage or round of this name trained."""
    if name not in self._adapters:
      tree, fingerprint = self.student.trained(name)
      self._adapters[name] = Adapter(name, tree, fingerprint)
    return self._adapters[name]

  def adapter_of(self, state: State) -> Adapter:
    """A state's adapter: its own, or, if it trained none, the one it kept."""
    return self.adapter(state.adapter_from)

  # --- bookkeeping ------------------------------------------------------------

  def _write_state(self, state: State) -> None:
    storage.write_json(
      self.workdir / state.name / "state.json", records.to_json(state)
    )
    line = state.verdict or f"development exact {state.exact:.1%}"
    fate = "" if state.accepted else " (rolled back)"
    self.say(f"{state.name}: {line}{fate}")

  def _claim(self) -> None:
    """Writes the config into a new folder, or compares with the old one."""
    file = self.workdir / "config.json"
    mine = records.to_json(self.config)
    if not file.exists():
      storage.write_json(file, mine)
      return
    changed = differences(storage.read_json(file), mine)
    if changed:
      raise UserError(
        f"{self.workdir} holds a run with another config. Use another"
        " --workdir, or the old config:\n  " + "\n  ".join(changed)
      )

  def _done_file(self, stage: str) -> epath.Path:
    return self.workdir / "done" / f"{stage}.json"

  def _is_done(self, stage: str) -> bool:
    return self._done_file(stage).exists()

  @contextmanager
  def _timed(self, stage: str) -> Iterator[None]:
    """Adds up wall time by stage, over all starts of the run."""
    file = self.workdir / "clock.json"
    clock: dict[str, Any] = storage.read_json(file) if file.exists() else {}
    clock.setdefault("started", time.strftime("%Y-%m-%d %H:%M:%S"))
    clock["machine"] = f"{platform.machine()}, {jax.devices()[0].device_kind}"
    seconds = clock.setdefault("seconds", {})
    elapsed = sum(seconds.values())
    budget = self.config.budget_minutes
    self.say(
      f"--- {stage} (elapsed {elapsed / 60:.1f} min"
      + (f" of about {budget:g} on {self.config.hardware})" if budget else ")")
    )
    start = time.monotonic()
    try:
      yield
    finally:
      seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - start
      clock["finished"] = time.strftime("%Y-%m-%d %H:%M:%S")
      storage.write_json(file, clock)


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
