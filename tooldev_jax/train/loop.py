"""The loop around the step: it resumes, survives preemption, and is exact.

`fit` is called with a folder and a name. What it finds there decides what it
does: a finished result is returned, a checkpoint is resumed from, and nothing
starts from the beginning. The resulting bytes are the same in each case (with
the same software, devices and thread count).

    <workdir>/<name>/
      result/                  equal byte for byte; see train.result
      checkpoints/<step>/      see train.checkpoint
      metrics.jsonl, tensorboard/, profile/    these depend on a clock
      stopped_at_<step>/       the batch whose loss was not a number
"""

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from tooldev_jax import io
from tooldev_jax.config import LoraConfig, TrainConfig, fields_of, profile_range
from tooldev_jax.errors import UserError
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.parallel import processes
from tooldev_jax.parallel.sharding import TRAIN_RULES
from tooldev_jax.train.checkpoint import Checkpoints
from tooldev_jax.train.feed import Arrays, Feed, TrainData, put_like
from tooldev_jax.train.identity import checksum, named_leaves
from tooldev_jax.train.metrics import Reporter, StepReport
from tooldev_jax.train.result import (
  FitResult,
  read_result,
  save_batch,
  write_result,
)
from tooldev_jax.train.step import TrainState, TrainStep, make_train_step
from tooldev_jax.train.storage import disk_full, is_disk_full

# The settings that decide what is trained. The others, such as those of logs,
# checkpoints and memory, may change while a training is interrupted.
_DECISIVE = [
  field.path
  for field in fields_of(TrainConfig)
  if field.setting.decides != "nothing"
]


class Base(Protocol):
  """The model that is adapted or trained, as `models.checkpoint` loads it.

  Attributes:
    config: its shape.
    params: its parameters over the mesh.
    fingerprint: digest of the parameters.
  """

  @property
  def config(self) -> DecoderConfig: ...
  @property
  def params(self) -> Any: ...
  @property
  def fingerprint(self) -> str: ...


class Preempted(Exception):
  """Training stopped on SIGTERM, with everything saved.

  Attributes:
    name: of the run.
    step: updates made and saved.
  """

  def __init__(self, name: str, step: int):
    super().__init__(
      f"{name}: stopped on request and saved at step {step}; the same command"
      " goes on from there"
    )
    self.name, self.step = name, step


class NonFiniteError(RuntimeError):
  """The loss or its gradient became NaN or infinite.

  Attributes:
    step: the update that was not to be made, counted from 1.
    folder: where its batch is.
  """

  def __init__(self, report: StepReport, folder: epath.Path, kept: str):
    super().__init__(
      f"step {report.step}: loss {report.loss}, gradient norm"
      f" {report.grad_norm}, {report.trained_tokens} trained tokens. The batch"
      f" is in {folder}. {kept}"
    )
    self.step, self.folder = report.step, folder


def fit(
  base: Base,
  lora: LoraConfig | None,
  initial: Any,
  data: TrainData,
  config: TrainConfig,
  mesh: Mesh,
  workdir: epath.PathLike,
  name: str,
) -> FitResult:
  """Trains `initial` on `data`, or continues where an earlier call stopped.

  Args:
    base: the model. In full training its `params` are not used.
    lora: the adapter's shape; None trains all parameters.
    initial: where to start, an adapter or parameters; it is not changed.
    data: the batches.
    config: optimisation.
    mesh: all devices of the run.
    workdir: the run's folder.
    name: of this training, unique in `workdir`; may have several parts ("a/b").

  Raises:
    UserError: what is in the folder belongs to another base, config or data;
      the mesh does not fit; the disk is full or cannot be read.
    Preempted: SIGTERM came; everything is saved.
    NonFiniteError: the loss or gradient is NaN or infinite.
  """
  folder = epath.Path(workdir) / name
  frozen = base.params if lora else {}
  dtypes = {leaf.dtype for leaf in jax.tree.leaves(frozen)}
  if len(dtypes) > 1:
    raise UserError(f"the base has parameters of several types: {dtypes}")
  step = make_train_step(
    base.config,
    lora,
    config,
    {key: tuple(shape) for key, shape in data.shapes.items()},
    data.num_steps,
    mesh,
    TRAIN_RULES,
    dtypes.pop() if dtypes else np.float32,
  )
  identity = _identity(base, lora, initial, data, config)
  processes.agree(f"settings of {name}", io.dumps(identity))
  finished = read_result(folder, identity, step.state.trained)
  if finished is not None:
    return finished
  run = _Run(folder, name, identity, step, config, data)
  try:
    return run.train(frozen, initial)
  except OSError as error:
    if is_disk_full(error):
      raise disk_full(folder, 0) from error
    raise


class _Run:
  """One call of `fit` that has something to train."""

  def __init__(
    self,
    folder: epath.Path,
    name: str,
    identity: Mapping[str, Any],
    step: TrainStep,
    config: TrainConfig,
    data: TrainData,
  ):
    self._folder, self._name, self._identity = folder, name, identity
    self._step, self._config, self._data = step, config, data
    self._losses: list[float] = []
    self._reporter: Reporter | None = None
    self._last_report = 0.0
    self._profiler = _Profiler(folder / "profile", config.profile_steps)

  def train(self, frozen: Any, initial: Any) -> FitResult:
    """Restores or starts, makes the remaining steps, writes the result."""
    with contextlib.ExitStack() as stack:
      stop_asked = stack.enter_context(_sigterm_sets_event())
      checkpoints = stack.enter_context(
        Checkpoints(
          self._folder / "checkpoints",
          keep=self._config.keep,
          identity=self._identity,
          say=self._say,
        )
      )
      restored = checkpoints.restore(self._step.state)
      if restored is not None:
        state, self._losses = restored
        self._say(
          f"going on after step {len(self._losses)} of {self._data.num_steps}"
        )
      else:
        state = self._step.init(put_like(initial, self._step.state.trained))
      if processes.is_lead():
        self._reporter = stack.enter_context(self._open_reporter())
      stack.callback(self._profiler.stop)
      frozen = put_like(frozen, self._step.base)
      state = self._make_steps(state, frozen, checkpoints, stop_asked)
      checkpoints.wait()
      return write_result(
        self._folder, self._identity, state.trained, self._losses
      )

  def _make_steps(
    self,
    state: TrainState,
    frozen: Any,
    checkpoints: Checkpoints,
    stop_asked: threading.Event,
  ) -> TrainState:
    run = self._step.compile()
    every, last = self._config.checkpoint_every, self._data.num_steps
    feed = Feed(self._data, self._step.batch, len(self._losses))
    unread: tuple[Any, Arrays] | None = None
    self._last_report = time.perf_counter()
    for done in range(len(self._losses) + 1, last + 1):
      self._profiler.before(done)
      rows, batch = feed.next()
      state, metrics = run(state, frozen, batch)
      if done < last:
        feed.read_ahead()
      # Metrics are read one step late, while the next step runs.
      if unread is not None:
        self._report(*unread, feed, checkpoints)
      unread = (metrics, rows)
      self._profiler.after(done, metrics)
      stop = processes.stop_asked(stop_asked.is_set()) and done < last
      if stop or done == last or (every and done % every == 0):
        self._report(*unread, feed, checkpoints)
        unread = None
      if stop or (every and done % every == 0 and done < last):
        checkpoints.save(done, state, self._losses, wait=stop)
        self._last_report = time.perf_counter()
      if stop:
        raise Preempted(self._name, done)
    return state

  def _report(
    self, metrics: Any, rows: Arrays, feed: Feed, checkpoints: Checkpoints
  ) -> None:
    """Waits for one step's numbers, checks them and passes them on."""
    values = {key: x.item() for key, x in jax.device_get(metrics).items()}
    now = time.perf_counter()
    report = StepReport(
      step=len(self._losses) + 1,
      seconds=now - self._last_report,
      input_wait=feed.take_waited(),
      **values,
    )
    self._last_report = now
    if not math.isfinite(report.loss) or not math.isfinite(report.grad_norm):
      folder = self._folder / f"stopped_at_{report.step}"
      save_batch(folder, rows)
      checkpoints.wait()
      raise NonFiniteError(report, folder, checkpoints.summary())
    self._losses.append(report.loss)
    if self._reporter is not None:
      self._reporter.add(report)

  def _open_reporter(self) -> Reporter:
    return Reporter(
      self._folder,
      name=self._name,
      num_steps=self._data.num_steps,
      start_step=len(self._losses),
      tokens_per_step=self._step.batch["tokens"].size,
      ideal=self._step.ideal,
      log_every=self._config.log_every,
    )

  def _say(self, text: str) -> None:
    if processes.is_lead():
      print(f"[{self._name}] {text}", flush=True)


def _identity(
  base: Base,
  lora: LoraConfig | None,
  initial: Any,
  data: TrainData,
  config: TrainConfig,
) -> dict[str, Any]:
  """Everything that the resulting bytes follow from, as JSON."""
  settings = {f"train.{name}": getattr(config, name) for name in _DECISIVE}
  adapter: dict[str, Any] = {"lora": None}
  if lora is not None:
    adapter = {
      f"lora.{key}": list(value) if isinstance(value, tuple) else value
      for key, value in dataclasses.asdict(lora).items()
    }
  return {
    "base": base.fingerprint,
    "initial": checksum(named_leaves(initial)),
    "data": data.fingerprint,
    # Micro-batches, rows, and a row's tokens or trained tokens.
    "batch.tokens": list(data.shapes["tokens"]),
    "batch.targets": list(data.shapes["target_ids"]),
    "steps": data.num_steps,
    **adapter,
    **settings,
  }


@contextlib.contextmanager
def _sigterm_sets_event() -> Iterator[threading.Event]:
  """SIGTERM asks for a stop instead of ending the process.

  With several processes JAX's own preemption service handles the signal; see
  `processes.stop_asked`. Only the main thread can handle signals.
  """
  asked = threading.Event()
  if (
    jax.process_count() > 1
    or threading.current_thread() is not threading.main_thread()
  ):
    yield asked
    return
  before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
  try:
    yield asked
  finally:
    signal.signal(signal.SIGTERM, before)
  if asked.is_set():
    # Training ended before it could stop: pass the signal on.
    signal.raise_signal(signal.SIGTERM)


class _Profiler:
  """Traces the steps that the config names, as far as this call makes them."""

  def __init__(self, folder: epath.Path, steps: str):
    self._folder, self._steps = folder, profile_range(steps)
    self._on = False

  def before(self, step: int) -> None:
    if step in self._steps and not self._on:
      jax.profiler.start_trace(str(self._folder))
      self._on = True

  def after(self, step: int, metrics: Any) -> None:
    if self._on and step + 1 not in self._steps:
      jax.block_until_ready(metrics)
      self.stop()

  def stop(self) -> None:
    """Writes what was traced so far; training may end in between."""
    if self._on:
      jax.profiler.stop_trace()
      self._on = False
