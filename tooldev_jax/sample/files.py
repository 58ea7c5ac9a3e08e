"""Samples on disk: written as they come, resumed after a kill.

Outputs are appended to a log as prompts complete; when all are there, the
file itself is written once, in the prompts' order. Since a sample does not
depend on what was sampled beside it, a run that was killed any number of
times leaves the same bytes as one that was not, and so do several processes
that each sample their part of the prompts.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
from etils import epath

from tooldev_jax import io, records
from tooldev_jax.errors import UserError
from tooldev_jax.parallel import processes
from tooldev_jax.sample.params import RequestOutput, SamplingParams
from tooldev_jax.sample.sampler import Sampler

# One process's part may take much longer than another's.
_PATIENCE_S = 6 * 3600.0

# (prompts that this process has done, prompts it has to do, the latest output)
OnOutput = Callable[[int, int, RequestOutput], None]


def sample_to_file(
  path: io.PathLike,
  sampler: Sampler,
  params: Any,
  prompts: Sequence[Sequence[int]],
  sampling: SamplingParams | Sequence[SamplingParams],
  *,
  adapter: Any = None,
  indices: Sequence[int] | None = None,
  source: str = "",
  on_output: OnOutput | None = None,
) -> list[RequestOutput]:
  """Samples every prompt into a JSON-lines file, or goes on with it.

  The first line names the job, each other line is one prompt's
  `RequestOutput`. In a run of several processes all call this with the same
  arguments but for the sampler and its parameters, which are on devices of
  each process's own: every n-th prompt is sampled by the n-th process into a
  log of its own, and the first one writes the file.

  Args:
    path: the file; beside it lies `<name>.log` until it is complete, or
      `<name>.<i>of<n>.log` of n processes.
    sampler, params, prompts, sampling, adapter, indices: as for
      `Sampler.stream`.
    source: whatever else the samples depend on, as the hashes of base and
      adapter; part of the job's name.
    on_output: is told of each output as it comes.

  Returns:
    The outputs in the prompts' order. Nothing is sampled if the file is
    complete.

  Raises:
    UserError: the file or its log belongs to another job.
  """
  path = epath.Path(path)
  numbers = list(range(len(prompts)) if indices is None else indices)
  if isinstance(sampling, SamplingParams):
    sampling = [sampling] * len(prompts)
  job = {"job": _digest(prompts, sampling, numbers, source)}
  logs = _log_paths(path)
  if not path.exists():
    mine = slice(jax.process_index(), None, jax.process_count())
    with io.JsonlLog(logs[jax.process_index()]) as log:
      if not log.rows:
        log.append(job)
      skip = {row["index"] for row in _check(log.rows, job, log.path)}
      for output in sampler.stream(
        params,
        prompts[mine],
        sampling[mine],
        adapter=adapter,
        indices=numbers[mine],
        skip=skip,
      ):
        log.append(output.to_json())
        if on_output is not None:
          on_output(len(log.rows) - 1, len(numbers[mine]), output)
    processes.barrier(f"{path.name}: sampled", _PATIENCE_S)
    if processes.is_lead():
      _merge(path, logs, job, numbers)
    processes.barrier(f"{path.name}: written")
  rows = _check(io.read_jsonl(path), job, path)
  if processes.is_lead():
    for log_path in logs:
      log_path.unlink(missing_ok=True)
  return [RequestOutput.from_json(row) for row in rows]


def _log_paths(path: epath.Path) -> list[epath.Path]:
  """The log of each process."""
  count = jax.process_count()
  if count == 1:
    return [path.parent / f"{path.name}.log"]
  return [path.parent / f"{path.name}.{i}of{count}.log" for i in range(count)]


def _merge(
  path: epath.Path,
  logs: Sequence[epath.Path],
  job: dict[str, str],
  numbers: Sequence[int],
) -> None:
  """Writes the file from complete logs, in the prompts' order."""
  by_index = {
    row["index"]: row
    for log in logs
    for row in _check(io.read_jsonl(log), job, log)
  }
  io.write_jsonl(path, [job, *(by_index[i] for i in numbers)])


def _check(rows: list[dict], job: dict, path: epath.Path) -> list[dict]:
  """The rows after the first, which must name this job."""
  if rows[:1] != [job]:
    raise UserError(
      f"{path} holds the samples of another job (other prompts, settings or"
      " weights); remove it, or write to another file."
    )
  return rows[1:]


def _digest(prompts, sampling, numbers, source: str) -> str:
  tokens = [list(map(int, prompt)) for prompt in prompts]
  job = records.to_json([tokens, sampling, list(map(int, numbers)), source])
  return hashlib.sha256(io.dumps(job).encode()).hexdigest()
