"""Real SIGKILLs of real processes; fifty with
`python -m tests.faults.train_runs 50`."""

from tests.faults.train_runs import kill_and_resume


def test_a_run_that_is_killed_three_times_ends_in_the_same_bytes(tmp_path):
  assert kill_and_resume(str(tmp_path), kills=3, seed=1) >= 3
