"""Samples on disk: written as they come, continued after a kill.

Outputs are appended to a log as prompts complete. When all are there, the file
itself is written once, in the prompts' order. A sample does not depend on what
was sampled beside it, so a run that was killed any number of times leaves the
same bytes as one that was not, and so do several processes that each sample
their part of the prompts.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
from etils import epath

from tooldev_jax import io, records
from tooldev_jax.errors import UserError, reading
from tooldev_jax.parallel import processes
from tooldev_jax.sample.params import RequestOutput, SamplingParams
from tooldev_jax.sample.sampler import Sampler

# One process's part may take much longer than another's.
_TIMEOUT_S = 6 * 3600.0

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
  on_replace: Callable[[str], None] | None = None,
) -> list[RequestOutput]:
  """Samples every prompt into a JSON-lines file, or continues an earlier call.

  The first line names the job, each other line is one prompt's
  `RequestOutput`. In a run of several processes all call this with the same
  arguments, except for the sampler and its parameters, which are on devices of
  each process's own. Every n-th prompt is sampled by the n-th process into a
  log of its own, and the first process writes the file.

  Args:
    path: the file; beside it lies `<name>.log` until it is complete, or
      `<name>.<i>of<n>.log` of n processes.
    sampler, params, prompts, sampling, adapter, indices: as for
      `Sampler.stream`.
    source: whatever else the samples depend on, such as the hashes of base and
      adapter; part of the job's name.
    on_output: called with each output as it comes.
    on_replace: called with a line where the file is of another job, which is
      then sampled again in its place; None refuses.

  Returns:
    The outputs in the prompts' order. Nothing is sampled if the file is
    complete.

  Raises:
    UserError: the file or its log belongs to another job or is damaged.
    UnreadableError: memory is short or the disk does not answer.
  """
  path = epath.Path(path)
  numbers = list(range(len(prompts)) if indices is None else indices)
  if isinstance(sampling, SamplingParams):
    sampling = [sampling] * len(prompts)
  job = {"job": _digest(prompts, sampling, numbers, source)}
  logs = _log_paths(path)
  if on_replace is not None:
    _set_aside(path, logs, job, on_replace)
  with reading(path):
    complete = path.exists()
  if not complete:
    mine = slice(jax.process_index(), None, jax.process_count())
    own_log = logs[jax.process_index()]
    with reading(own_log):
      opened = io.JsonlLog(own_log)
    with opened as log:
      if not log.rows:
        log.append(job)
      finished = {x.index for x in _outputs(log.rows, job, log.path)}
      for output in sampler.stream(
        params,
        prompts[mine],
        sampling[mine],
        adapter=adapter,
        indices=numbers[mine],
        skip=finished,
      ):
        log.append(output.to_json())
        if on_output is not None:
          on_output(len(log.rows) - 1, len(numbers[mine]), output)
    processes.barrier(f"{path.name}: sampled", _TIMEOUT_S)
    if processes.is_lead():
      found = [x for log in logs for x in _read(log, job)]
      io.write_jsonl(path, [job, *_ordered(found, numbers, path)])
    processes.barrier(f"{path.name}: written")
  outputs = _read(path, job)
  if processes.is_lead():
    for log_path in (*logs, _previous(path)):
      log_path.unlink(missing_ok=True)
  return outputs


def _set_aside(
  path: epath.Path,
  logs: Sequence[epath.Path],
  job: dict[str, str],
  say: Callable[[str], None],
) -> None:
  """Makes room for this job. A complete file of another one is kept beside
  the place until the new one is written."""
  others = [x for x in (path, *logs) if _job_of(x) not in (None, job)]
  processes.barrier(f"{path.name}: looked at")
  if others:
    say(
      f"{path.parent.name}/{path.name}: made again, for other prompts or"
      " settings"
    )
  if processes.is_lead():
    for other in others:
      if other == path:
        other.replace(_previous(path))
      else:
        other.unlink()
  processes.barrier(f"{path.name}: room made")


def _previous(path: epath.Path) -> epath.Path:
  return path.parent / f"{path.name}.previous"


def _job_of(path: epath.Path) -> Any:
  """The first row of a file if it names a job."""
  try:
    with reading(path):
      if not path.exists():
        return None
      with path.open() as f:
        row = json.loads(f.readline())
  except ValueError:  # Torn or damaged: not for us to judge.
    return None
  return row if isinstance(row, dict) and "job" in row else None


def _log_paths(path: epath.Path) -> list[epath.Path]:
  """The log of each process."""
  count = jax.process_count()
  if count == 1:
    return [path.parent / f"{path.name}.log"]
  return [path.parent / f"{path.name}.{i}of{count}.log" for i in range(count)]


def _read(path: epath.Path, job: dict[str, str]) -> list[RequestOutput]:
  with reading(path):
    rows = io.read_jsonl(path)
  return _outputs(rows, job, path)


def _outputs(
  rows: list[Any], job: dict[str, str], path: epath.Path
) -> list[RequestOutput]:
  """The outputs after the first row, which must name this job."""
  if rows[:1] != [job]:
    raise UserError(
      f"{path} holds the samples of another job (other prompts, settings or"
      " weights); move it away, or write to another file."
    )
  try:
    return [RequestOutput.from_json(row) for row in rows[1:]]
  except records.MismatchError as error:
    why = "; ".join(str(error).splitlines())
    raise UserError(
      f"{path} is damaged ({why}) and was left as it is; move it away to sample"
      " again."
    ) from error


def _ordered(
  outputs: Sequence[RequestOutput], numbers: Sequence[int], path: epath.Path
) -> list[dict[str, Any]]:
  """The rows of the finished file."""
  by_index = {output.index: output.to_json() for output in outputs}
  missing = [i for i in numbers if i not in by_index]
  if missing:
    raise UserError(
      f"{path}: its logs lack {len(missing)} of {len(numbers)} prompts; run the"
      " same command again to sample them."
    )
  return [by_index[i] for i in numbers]


def _digest(prompts, sampling, numbers, source: str) -> str:
  tokens = [list(map(int, prompt)) for prompt in prompts]
  job = records.to_json([tokens, sampling, list(map(int, numbers)), source])
  return hashlib.sha256(io.dumps(job).encode()).hexdigest()
