"""How the samples of several processes become one file."""

import jax
import pytest

from tooldev_jax.errors import UnreadableError
from tooldev_jax.parallel import processes
from tooldev_jax.sample import files
from tooldev_jax.sample.params import RequestOutput, Sample, SamplingParams


class FakeSampler:
  """Answers with the prompt's number; the last prompt first."""

  def stream(self, params, prompts, sampling, *, adapter, indices, skip):
    for index, prompt in reversed(list(zip(indices, prompts, strict=True))):
      if index not in skip:
        sample = Sample((index,), f"answer {index}", "stop", None)
        yield RequestOutput(index, len(prompt), (sample,))


def _sample_as(monkeypatch, path, index, count, **rest):
  monkeypatch.setattr(jax, "process_index", lambda: index)
  monkeypatch.setattr(jax, "process_count", lambda: count)
  prompts = [[1] * (n + 1) for n in range(5)]
  return files.sample_to_file(
    path,
    FakeSampler(),
    None,
    prompts,
    SamplingParams(),
    indices=[10, 11, 13, 17, 19],
    **rest,
  )


def test_any_number_of_processes_writes_the_same_file(tmp_path, monkeypatch):
  alone = _sample_as(monkeypatch, tmp_path / "alone.jsonl", 0, 1)
  assert [output.index for output in alone] == [10, 11, 13, 17, 19]
  monkeypatch.setattr(processes, "barrier", lambda *_: None)
  together = tmp_path / "together.jsonl"
  for index in (2, 1):
    # They come to read what the first has not merged yet.
    with pytest.raises(UnreadableError):
      _sample_as(monkeypatch, together, index, 3)
  told = []
  tell = lambda done, total, output: told.append((done, total, output.index))
  assert _sample_as(monkeypatch, together, 0, 3, on_output=tell) == alone
  assert told == [(1, 2, 17), (2, 2, 10)]
  assert together.read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
  assert not list(tmp_path.glob("*.log"))
