"""What training logs: terminal lines, JSON lines and TensorBoard.

Numbers that depend on a clock are only here, apart from the artefacts that
must be equal byte for byte.
"""

import collections
import dataclasses
import datetime
import sys
import time
from typing import IO, Any

import jax
from etils import epath
from tensorboardX import SummaryWriter

from tooldev_jax import io
from tooldev_jax.parallel.chips import peak_flops
from tooldev_jax.train.flops import IdealFlops

_WINDOW = 20


@dataclasses.dataclass(frozen=True)
class StepReport:
  """One step's numbers, all of them on the host.

  Attributes:
    step: number of updates made, this one included.
    loss: mean over trained tokens, weighted.
    grad_norm: global norm before clipping.
    learning_rate: of this update.
    weight: sum of the weights of the trained tokens.
    tokens: without padding.
    trained_tokens: those with a weight.
    attended: (token, key) pairs inside segments under the causal mask.
    seconds: from the end of the step before to the end of this one.
    input_wait: seconds of it in which the device could not be fed.
  """

  step: int
  loss: float
  grad_norm: float
  learning_rate: float
  weight: float
  tokens: int
  trained_tokens: int
  attended: float
  seconds: float
  input_wait: float


class Reporter:
  """Writes reports to the terminal, metrics.jsonl and TensorBoard.

  Only the lead process should make one.
  """

  def __init__(
    self,
    folder: epath.Path,
    *,
    name: str,
    num_steps: int,
    start_step: int,
    tokens_per_step: int,
    ideal: IdealFlops,
    log_every: int,
    out: IO[str] | None = None,
  ):
    """Opens the files in `folder` and drops rows after `start_step`.

    Args:
      folder: where metrics.jsonl and tensorboard/ are.
      name: of the run, for the terminal.
      num_steps: of the whole run.
      start_step: updates already made. Rows that a killed run wrote after its
        last checkpoint are dropped, since those steps are made again.
      tokens_per_step: of a batch, padding included.
      ideal: the FLOPs that MFU is measured by.
      log_every: steps between lines on the terminal.
      out: where lines go; the terminal if None.
    """
    self._name, self._num_steps = name, num_steps
    self._batch_tokens, self._ideal = tokens_per_step, ideal
    self._log_every = log_every
    self._out = out or sys.stdout
    self._recent: collections.deque[StepReport] = collections.deque(
      maxlen=_WINDOW
    )
    path = folder / "metrics.jsonl"
    with io.JsonlLog(path) as log:
      rows = log.rows
    kept = [row for row in rows if row.get("step", 0) <= start_step]
    if len(kept) < len(rows):
      io.write_jsonl(path, kept)
    self._log = io.JsonlLog(path)
    self._board = SummaryWriter(
      str(folder / "tensorboard"), purge_step=start_step + 1
    )
    self._peak = peak_flops(jax.devices()[0].device_kind)

  def add(self, report: StepReport) -> None:
    """Records one step."""
    self._recent.append(report)
    row = {**dataclasses.asdict(report), **self._derived()}
    self._log.append(row)
    for key, value in row.items():
      if key != "step" and value is not None:
        self._board.add_scalar(key, value, report.step)
    if report.step % self._log_every == 0 or report.step == self._num_steps:
      self._out.write(self._line(row) + "\n")
      self._out.flush()

  def __enter__(self) -> "Reporter":
    return self

  def __exit__(self, *_: object) -> None:
    self._log.close()
    self._board.close()

  def _derived(self) -> dict[str, Any]:
    """Rates over the last steps, so that one hiccup does not read as slow."""
    seconds = sum(r.seconds for r in self._recent) or 1e-9
    tokens = sum(r.tokens for r in self._recent)
    trained = sum(r.trained_tokens for r in self._recent)
    attended = sum(r.attended for r in self._recent)
    flops = self._ideal.of(tokens, trained, attended) / seconds
    last = self._recent[-1]
    left = self._num_steps - last.step
    return {
      "tokens_per_s": tokens / seconds,
      "trained_tokens_per_s": trained / seconds,
      "padding_share": 1 - last.tokens / self._batch_tokens,
      "input_wait_share": sum(r.input_wait for r in self._recent) / seconds,
      "flops_per_s": flops,
      "mfu": flops / (self._peak * jax.device_count()) if self._peak else None,
      "device_memory_bytes": device_memory(),
      "eta_s": left * seconds / len(self._recent),
      "time": time.time(),
    }

  def _line(self, row: dict[str, Any]) -> str:
    parts = [
      f"[{self._name}] {row['step']}/{self._num_steps}",
      f"loss {row['loss']:.4f}",
      f"grad {row['grad_norm']:.3g}",
      f"lr {row['learning_rate']:.2e}",
      f"{row['seconds']:.3f} s/step",
      f"{row['tokens_per_s']:,.0f} tok/s",
      f"trained {row['trained_tokens_per_s']:,.0f}/s",
      f"padding {row['padding_share']:.1%}",
      f"wait {row['input_wait_share']:.1%}",
    ]
    if row["mfu"] is not None:
      parts.append(f"MFU {row['mfu']:.1%}")
    if row["device_memory_bytes"] is not None:
      parts.append(f"mem {row['device_memory_bytes'] / 2**30:.1f} GiB")
    eta = datetime.timedelta(seconds=round(row["eta_s"]))
    return "  ".join([*parts, f"ETA {eta}"])


def device_memory() -> int | None:
  """Peak bytes in use on the fullest local device; None where not counted."""
  stats = [device.memory_stats() for device in jax.local_devices()]
  peaks = [s["peak_bytes_in_use"] for s in stats if s]
  return max(peaks, default=None)
