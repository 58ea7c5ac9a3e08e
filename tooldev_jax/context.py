"""What the stages of one run share, each part made when first needed."""

import functools
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax
from etils import epath

from tooldev_jax.ask import GreedyAnswers
from tooldev_jax.clock import RunClock
from tooldev_jax.config import RunConfig
from tooldev_jax.data import inputs as inputs_
from tooldev_jax.data.inputs import Inputs
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate import state as evaluate_
from tooldev_jax.evolve import prompts
from tooldev_jax.model import BASE, Adapter, Model
from tooldev_jax.parallel import processes
from tooldev_jax.sample.progress import Say
from tooldev_jax.states import State, lead_first, read_states
from tooldev_jax.toy.records import write_world
from tooldev_jax.version import code_version
from tooldev_jax.workdir import Workdir


class Context:
  """What the stages of one run share, each part made when first needed.

  Args:
    config: what to do.
    workdir: the run's folder.
    say: prints a line for the user.
  """

  def __init__(self, config: RunConfig, workdir: epath.Path, say: Say):
    self.config, self.workdir, self.say = config, workdir, say
    self._adapters: dict[str, Adapter] = {BASE.name: BASE}
    self._prompts_checked = False

  @functools.cached_property
  def _read(self) -> tuple[Inputs, evaluate_.Official]:
    read = lambda: read_inputs(self.config, self.workdir)
    inputs, official = lead_first("inputs", read)
    counts = ", ".join(f"{n} {role}" for role, n in inputs.counts().items())
    self.say(f"inputs: {counts}")
    return inputs, official

  @property
  def inputs(self) -> Inputs:
    """All inputs, read once."""
    return self._read[0]

  @functools.cached_property
  def digests(self) -> Mapping[str, str]:
    """SHA-256 of what is trained on, by role."""
    return self.inputs.digests()

  @property
  def bfcl(self) -> evaluate_.Official:
    """BFCL's cases, read once."""
    return self._read[1]

  @functools.cached_property
  def model(self) -> Model:
    """The base with its tokenizer."""
    return Model(self.config, self.say)

  @functools.cached_property
  def clock(self) -> RunClock:
    """Wall time of the parts."""
    machine = f"{platform.machine()}, {jax.devices()[0].device_kind}"
    return RunClock(self.workdir / "clock.json", machine, processes.is_lead())

  def begin(self, stage: str) -> None:
    """Binds the folder to what the stage's files follow from."""
    self._check_prompts()
    Workdir(self.workdir).begin(
      stage,
      self.config,
      self.model.base.fingerprint,
      self.digests,
      code_version(),
    )

  def _check_prompts(self) -> None:
    """Says how many prompts will be skipped, before anything is trained.

    Raises:
      UserError: no development prompt can be sampled.
    """
    if self._prompts_checked:
      return
    self._prompts_checked = True
    calls = lambda examples: [prompts.for_calls(x, x.tools) for x in examples]
    inputs, seed = self.inputs, self.config.seed
    asked = {
      "development": calls(inputs.development),
      "test": calls(inputs.test),
      "queries": [prompts.for_tools(x, seed) for x in inputs.queries],
    }
    longest = max(self.config.sampler.prompt_buckets)
    for role, views in asked.items():
      fitting = self.model.fitting(views)
      if role == "development" and views and not fitting:
        raise UserError(
          "data.development: no prompt fits sampler.prompt_buckets, whose"
          f" largest is {longest} tokens"
        )
      if fitting < len(views):
        self.say(
          f"{role}: {len(views) - fitting} of {len(views)} prompts are skipped:"
          f" longer than {longest} tokens (sampler.prompt_buckets), or refused"
          " by the chat template"
        )

  def adapter(self, name: str) -> Adapter:
    """The adapter that a stage or round of this name trained."""
    if name not in self._adapters:
      self._adapters[name] = self.model.read_adapter(self.workdir, name)
    return self._adapters[name]

  def remember(self, adapter: Adapter) -> None:
    """Keeps an adapter that was just trained: it need not be read."""
    self._adapters[adapter.name] = adapter

  def states(self) -> list[State]:
    """All states that are complete, in the order they were made."""
    return read_states(self.config, self.workdir)

  def current(self) -> Adapter:
    """The adapter of the last accepted state; the base before the first."""
    accepted = [state.name for state in self.states() if state.accepted]
    return self.adapter(accepted[-1] if accepted else BASE.name)

  def answers(self, adapter: Adapter, label: str) -> GreedyAnswers:
    """An adapter's greedy answers to the questions called `label`."""
    folder = self.workdir / adapter.name
    return GreedyAnswers(self.model, adapter, self.config, folder, label)

  @contextmanager
  def timed(self, part: str) -> Iterator[None]:
    """Times a part of the run, and says how long the run took so far."""
    self.say(f"--- {part}")
    with self.clock.timed(part):
      yield
    spent = sum(self.clock.read().seconds.values()) / 60
    budget = ""
    if self.config.budget_minutes:
      budget = (
        f", expected {self.config.budget_minutes:g} min in all on"
        f" {self.config.hardware}"
      )
    self.say(f"time: {spent:.1f} min so far{budget}")


def read_inputs(
  config: RunConfig, workdir: epath.Path
) -> tuple[Inputs, evaluate_.Official]:
  """Writes the toy world if the config has one; reads all inputs and BFCL."""
  data = workdir / "data"
  if config.toy.examples:
    write_world(config.toy, data)
  official = evaluate_.read_official(config.evaluate, config.seed)
  return inputs_.read_inputs(config, workdir, official.examples), official
