"""A training that dies at any instant ends in the same bytes when run again.

For the enumeration the disk is copied at every change, which is what a kill at
that instant leaves behind (what the process had not written yet is in neither).
Training is then resumed from each of the copies.
"""

import hashlib
import pathlib
import shutil
import threading

from tests.faults import train_runs
from tests.faults.train_child import watching
from tests.train.made_once import steps_made_once


def _content(folder: pathlib.Path) -> str:
  """Digest of all files but those that only tell of the run."""
  digest = hashlib.sha256()
  for path in sorted(folder.rglob("*")):
    if "tensorboard" not in path.parts and path.name != "metrics.jsonl":
      digest.update(str(path.relative_to(folder)).encode())
      digest.update(path.read_bytes() if path.is_file() else b"/")
  return digest.hexdigest()


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies what is there, while other threads may be removing some of it."""
  target.mkdir()
  for path in sorted(source.rglob("*")):
    where = target / path.relative_to(source)
    try:
      if path.is_dir():
        where.mkdir(exist_ok=True)
      else:
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, where)
    except FileNotFoundError:
      continue


def _files(folder: pathlib.Path) -> dict[str, bytes]:
  return {
    path.name: path.read_bytes() for path in (folder / "stage/result").iterdir()
  }


def test_every_instant_of_a_run_resumes_to_the_same_bytes(tmp_path):
  workdir, copies = tmp_path / "run", tmp_path / "copies"
  workdir.mkdir()
  copies.mkdir()
  instants: dict[str, str] = {}

  # Several threads write; one that is about to holds the others back.
  one_at_a_time = threading.Lock()

  def snapshot(what: str) -> None:
    with one_at_a_time:
      copy = copies / str(len(instants))
      _copy(workdir, copy)
      content = _content(copy)
      if content in instants:
        shutil.rmtree(copy)
      else:
        instants[content] = what

  with watching(str(workdir), snapshot):
    train_runs.small_fit(workdir)
    snapshot("the end")
  whole = _files(workdir)
  assert len(instants) > 40
  kinds = " ".join(instants.values())
  for kind in ("os.rename", "os.mkdir", "before fsync", "after rename"):
    assert kind in kinds
  with steps_made_once():
    for number, what in enumerate(instants.values()):
      copy = copies / str(number)
      train_runs.small_fit(copy)
      assert _files(copy) == whole, f"instant {number}: {what}"
      shutil.rmtree(copy)
