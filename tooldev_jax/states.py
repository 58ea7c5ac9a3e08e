"""What a run has made so far, known by its files alone.

Of several processes the first one writes what all share, and the others wait
until it is there: whoever asks what is complete gets the same answer.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from etils import epath

from tooldev_jax import io, records
from tooldev_jax.config import STAGES, RunConfig
from tooldev_jax.data.inputs import Notice
from tooldev_jax.errors import UserError
from tooldev_jax.parallel import processes
from tooldev_jax.workdir import Workdir

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
    scored_by: what those scores depend on beside the state, by
      `workdir.score_identity`.
    examples: sequences trained on, an epoch.
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
  scored_by: str
  examples: int
  tokens: int
  steps: int
  notices: tuple[Notice, ...] = ()


def read_states(config: RunConfig, workdir: epath.Path) -> list[State]:
  """All states that are complete, in the order they were made."""
  rounds = range(1, config.rounds + 1)
  names = ["adapt", "decompose", *(f"round_{n}" for n in rounds)]
  return [
    records.from_json(State, io.read_json(file), str(file))
    for name in names
    if (file := state_file(workdir, name)).exists()
  ]


def state_file(workdir: epath.Path, name: str) -> epath.Path:
  """What a stage or round writes last."""
  return workdir / name / "state.json"


def choose_stages(
  folder: Workdir, config: RunConfig, picked: Sequence[str]
) -> list[str]:
  """The picked stages that are not complete, in order.

  Raises:
    UserError: one is unknown, or needs a stage that was not run.
  """
  unknown = sorted(set(picked) - set(STAGES))
  if unknown:
    raise UserError(
      f"--stages: {unknown[0]!r} is not one of {', '.join(STAGES)}"
    )
  done = {s for s in STAGES if folder.is_done(s, config)}
  todo = [s for s in STAGES if s in picked and s not in done]
  for stage in STAGES[: STAGES.index(todo[0])] if todo else ():
    # What is exported does not depend on how it scores.
    if stage not in done and stage != "evaluate":
      raise UserError(
        f"--stages={','.join(picked)}: {stage} has to be run before {todo[0]}"
      )
  return todo


def write_once(path: epath.Path, value: Any) -> None:
  """Writes JSON; afterwards every process finds it."""
  if processes.is_lead():
    io.write_json(path, value)
  processes.barrier(f"{path.name} written")


def lead_first(name: str, make: Callable[[], T]) -> T:
  """What `make` gives in every process.

  The first process runs it before the others, who then find the files that it
  has written. So it must not wait for the others itself: what it uses that was
  made this way is to be made before.
  """
  found = make() if processes.is_lead() else None
  # To read and encode much data takes a while.
  processes.barrier(f"{name} made", timeout_s=3600.0)
  return make() if found is None else found
