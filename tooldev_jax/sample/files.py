"""Samples on disk: written as they come, resumed after a kill.

Outputs are appended to a log as prompts complete; when all are there, the
file itself is written once, in the prompts' order. Since a sample does not
depend on what was sampled beside it, a run that was killed any number of
times leaves the same bytes as one that was not.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from etils import epath

from tooldev_jax import storage
from tooldev_jax.errors import UserError
from tooldev_jax.sample.params import RequestOutput, SamplingParams
from tooldev_jax.sample.sampler import Sampler


def sample_to_file(
  path: storage.PathLike,
  sampler: Sampler,
  params: Any,
  prompts: Sequence[Sequence[int]],
  sampling: SamplingParams | Sequence[SamplingParams],
  *,
  adapter: Any = None,
  indices: Sequence[int] | None = None,
  source: str = "",
) -> list[RequestOutput]:
  """Samples every prompt into a JSON-lines file, or goes on with it.

  The first line names the job, each other line is one prompt's
  `RequestOutput`. Several processes each write their slice to a file of their
  own, with `indices` for their prompts' numbers in the whole.

  Args:
    path: the file; beside it lies `<name>.log` until it is complete.
    sampler, params, prompts, sampling, adapter, indices: as for
      `Sampler.stream`.
    source: whatever else the samples depend on, as the hashes of base and
      adapter; part of the job's name.

  Returns:
    The outputs in the prompts' order. Nothing is sampled if the file is
    complete.

  Raises:
    UserError: the file or its log belongs to another job.
  """
  path = epath.Path(path)
  numbers = list(range(len(prompts)) if indices is None else indices)
  job = {"job": _digest(prompts, sampling, numbers, source)}
  log_path = path.parent / f"{path.name}.log"
  if path.exists():
    rows = _check(storage.read_jsonl(path), job, path)
  else:
    with storage.JsonlLog(log_path) as log:
      if not log.rows:
        log.append(job)
      done = _check(log.rows, job, log_path)
      skip = {row["index"] for row in done}
      for output in sampler.stream(
        params,
        prompts,
        sampling,
        adapter=adapter,
        indices=indices,
        skip=skip,
      ):
        log.append(output.to_json())
      by_index = {row["index"]: row for row in log.rows[1:]}
    rows = [by_index[i] for i in numbers]
    storage.write_jsonl(path, [job, *rows])
  log_path.unlink(missing_ok=True)
  return [RequestOutput.from_json(row) for row in rows]


def _check(rows: list[dict], job: dict, path: epath.Path) -> list[dict]:
  """The rows after the first, which must name this job."""
  if rows[:1] != [job]:
    raise UserError(
      f"{path} holds the samples of another job (other prompts, settings or"
      " weights); remove it, or write to another file."
    )
  return rows[1:]


def _digest(prompts, sampling, numbers, source: str) -> str:
  if isinstance(sampling, SamplingParams):
    sampling = [sampling] * len(prompts)
  text = storage.dumps(
    [
      [list(map(int, prompt)) for prompt in prompts],
      [dataclasses.asdict(settings) for settings in sampling],
      [int(number) for number in numbers],
      source,
    ]
  )
  return hashlib.sha256(text.encode()).hexdigest()
