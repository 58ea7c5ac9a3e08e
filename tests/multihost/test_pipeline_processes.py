"""A whole run by two processes."""

import json

from etils import epath

from tests import pipeline_run
from tests.multihost import pipeline_worker, worker
from tooldev_jax import io


def test_two_processes_make_one_run_and_the_first_writes_it(tmp_path):
  workdir = epath.Path(tmp_path)
  printed = worker.run_processes(
    "tests.multihost.pipeline_worker",
    {"workdir": str(workdir)},
    devices=2,
    processes=2,
  )
  first, second = (json.loads(lines[-1]) for lines in printed)
  # Checkpoints are written by all; apart from them only logs of samples, and
  # folders, which whoever comes first makes.
  alone = [
    change
    for change in second["changes"]
    if "checkpoint" not in change
    and "1of2.log" not in change
    and not change.startswith("os.mkdir ")
  ]
  assert alone == []
  assert any("state.json" in change for change in first["changes"])
  assert any("1of2.log" in change for change in second["changes"])
  for name in ("report.html", "summary.json", "done/export.json"):
    assert (workdir / name).exists(), name
  assert not list(workdir.glob("*/*.log")), "a log was left behind"
  queries = io.read_jsonl(workdir / "data" / "queries.jsonl")
  ledger = io.read_jsonl(workdir / "round_1" / "ledger.jsonl")
  assert [row["id"] for row in ledger] == [row["id"] for row in queries]
  answers = io.read_jsonl(workdir / "base" / "test_invocation.jsonl")
  assert [row["index"] for row in answers[1:]] == [0, 1, 2, 3]
  # Another start, by one process, finds all of it complete.
  config = io.read_json(workdir / "config.json")
  assert config["adapt"]["epochs"] == 0
  changed = pipeline_run.small_config(**pipeline_worker.CHANGES)
  (line,) = pipeline_run.run(changed, workdir)
  assert line.startswith("Nothing to do")
