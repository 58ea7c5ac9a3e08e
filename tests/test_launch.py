"""How launchers end, and where compiled programs are kept."""

import errno
import os
import signal
import subprocess
import sys

import jax
import pytest
from etils import epath
from jax._src import compilation_cache

from launch import compiled, errors
from tooldev_jax import config as configs
from tooldev_jax.errors import UserError


@pytest.mark.parametrize(
  ("error", "status", "told"),
  [
    (UserError("config.seed: found str"), 2, "error: config.seed: found str"),
    (OSError(errno.ENOSPC, "No space left", "/full/x"), 2, "left: /full/x"),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "denied: /x"),
  ],
)
def test_what_a_user_can_mend_is_a_line(capsys, error, status, told):
  with pytest.raises(SystemExit) as ended, errors.shown_plainly():
    raise error
  assert ended.value.code == status
  assert told in capsys.readouterr().err


def test_bugs_keep_their_traceback():
  with pytest.raises(FileNotFoundError), errors.shown_plainly():
    raise FileNotFoundError(errno.ENOENT, "no such file", "x")


def test_sigterm_ends_with_the_status_that_asks_for_another_start(capsys):
  before = signal.getsignal(signal.SIGTERM)
  try:
    with pytest.raises(SystemExit) as ended, errors.shown_plainly():
      errors.stop_on_sigterm()
      os.kill(os.getpid(), signal.SIGTERM)
      pytest.fail("went on")
  finally:
    signal.signal(signal.SIGTERM, before)
  assert ended.value.code == errors.EXIT_PREEMPTED
  assert "the same command goes on" in capsys.readouterr().err


def _run(*flags):
  command = [sys.executable, "-m", "launch.run", *flags]
  return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
  ("flag", "told"),
  [
    ("--config=configs/none.py", "--config: [Errno 2] No such file"),
    (
      "--config.lora.rnk=3",
      "--config.lora.rnk: there is no such field; did you mean"
      " --config.lora.rank?",
    ),
    ("--config.lora.rank.x=3", "--config.lora.rank.x: there is no such field"),
    ("--config.rank=3", "did you mean --config.lora.rank?"),
    ("--config.lora.rank=many", "--config.lora.rank=many"),
    ("--workdirr=x", "Unknown command line flag 'workdirr'"),
    ("--profile_steps=soon", "train.profile_steps: 'soon' is not of the form"),
    ("--workdir=", "--workdir: none; give the folder of the run"),
  ],
)
def test_a_wrong_flag_is_a_line_and_names_it(flag, told):
  done = _run("--workdir=/nowhere", "--config=configs/quickstart.py", flag)
  assert done.returncode != 0
  assert told in done.stderr
  assert "Traceback" not in done.stderr


def test_the_config_is_printed_with_values_types_defaults_and_meanings():
  done = _run(
    "--config=configs/quickstart.py", "--print_config", "--config.lora.rank=32"
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  at = lines.index("lora.rank = 32  [int, default 16]")
  assert lines[at + 1] == "    inner size of the update (at least 1)"
  assert "sampler.ahead = None  [int | None, default None]" in lines
  assert len(lines) == 2 * len(list(configs.fields_of(configs.RunConfig)))


def test_a_config_of_several_runs_is_checked_as_a_whole(tmp_path):
  file = tmp_path / "sweep.py"
  file.write_text(
    "from configs import quickstart\n"
    "def get_config():\n"
    "  runs = {f'rank_{n}': quickstart.get_config() for n in (4, 8)}\n"
    "  runs['rank_8'].lora.rank = -8\n"
    "  return runs\n"
  )
  folder = tmp_path / "runs"
  done = _run(f"--config={file}", f"--workdir={folder}")
  assert done.returncode == 2
  assert (
    done.stderr.strip() == "error: rank_8.lora.rank: -8; allowed: at least 1"
  )
  assert not folder.exists()


def test_an_attention_that_cannot_be_counted_is_refused_before_compiling():
  command = [sys.executable, "-m", "launch.fit", "--topology=v5e:4x4"]
  command += ["--config=configs/llama3_1_8b.py", "--what=train"]
  command += ["--config.train.attention=blocked"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 2
  assert "train.attention: what 'blocked' computes" in done.stderr
  assert "Traceback" not in done.stderr


@pytest.fixture
def cache_settings(monkeypatch):
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  names = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )
  before = {name: jax.config.values[name] for name in names}
  yield
  for name, value in before.items():
    jax.config.update(name, value)


def test_torn_programs_are_dropped_and_whole_ones_kept(
  tmp_path, cache_settings
):
  folder = epath.Path(tmp_path)
  compiled.keep_in(folder, lead=True)
  cache = epath.Path(jax.config.values["jax_compilation_cache_dir"])
  assert cache.parent == folder / "compiled"
  cache.mkdir(parents=True)
  whole = compilation_cache.compress_executable(os.urandom(5000))
  (cache / "whole-cache").write_bytes(whole)
  (cache / "torn-cache").write_bytes(whole[:2500])
  (cache / "empty-cache").write_bytes(b"")
  compiled.keep_in(folder, lead=False)
  assert len(list(cache.iterdir())) == 3
  compiled.keep_in(folder, lead=True)
  assert [entry.name for entry in cache.iterdir()] == ["whole-cache"]


def test_a_cache_of_the_users_own_is_left_alone(
  tmp_path, cache_settings, monkeypatch
):
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
  before = jax.config.values["jax_compilation_cache_dir"]
  compiled.keep_in(epath.Path(tmp_path), lead=True)
  assert jax.config.values["jax_compilation_cache_dir"] == before
