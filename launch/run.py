r"""Runs the whole loop, or some of its stages; the same command resumes.

    python -m launch.run --config=configs/quickstart.py \
      --workdir=runs/quickstart [--stages=adapt,decompose] [--config.seed=1]
    python -m launch.run --config=configs/quickstart.py --print_config

A config may also return a dict of several runs: they are run one after
another, each in the folder of its name below --workdir.

Exit status: 0 done, 2 a mistake in config or data, 75 preempted (run again).
"""

import functools
from collections.abc import Mapping
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from launch import errors

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "What to do.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_PRINT_CONFIG = flags.DEFINE_bool(
  "print_config", False, "Print every field with its meaning, and run nothing."
)
_STAGES = flags.DEFINE_list("stages", None, "Stages to run; all if not given.")
_PROFILE_STEPS = flags.DEFINE_string(
  "profile_steps", "", "Short for --config.train.profile_steps, as 10:15."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Join the other processes of a TPU pod or cluster."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator", "", "host:port of process 0, where no cluster tells it."
)
_PROCESS_COUNT = flags.DEFINE_integer("process_count", 0, "With a coordinator.")
_PROCESS_INDEX = flags.DEFINE_integer("process_index", -1, "This one's number.")


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  # JAX and its friends take seconds to import: not for --help.
  from launch import compiled
  from tooldev_jax import config as configs
  from tooldev_jax import io, pipeline
  from tooldev_jax.errors import UserError
  from tooldev_jax.evaluate import terminal
  from tooldev_jax.parallel import processes

  with errors.shown_plainly():
    errors.stop_on_sigterm()
    fields = _fields_of_runs()
    if _PRINT_CONFIG.value:
      for name, run in fields.items():
        print(f"\n# {name}" if name else "", end="\n" if name else "")
        print(configs.described(configs.RunConfig, run))
      return
    if not _WORKDIR.value:
      raise UserError("--workdir: none; give the folder of the run")
    # All are looked at before one is run.
    runs = {
      name: configs.from_config_dict(configs.RunConfig, run, name or "config")
      for name, run in fields.items()
    }
    if _DISTRIBUTED.value or _COORDINATOR.value:
      processes.initialize(
        _COORDINATOR.value, _PROCESS_COUNT.value, _PROCESS_INDEX.value
      )
    workdir, lead = io.absolute(_WORKDIR.value), processes.is_lead()
    compiled.keep_in(workdir, lead)
    # At once, also where the output is a file.
    say = functools.partial(print, flush=True) if lead else lambda line: None
    for name, config in runs.items():
      if name:
        say(f"=== {name}")
      folder = workdir / name
      pipeline.run(config, folder, say, _STAGES.value or configs.STAGES)
      terminal.say_results(folder, folder / pipeline.ADAPTER_FOLDER, say)


def _fields_of_runs() -> Mapping[str, Any]:
  """What the config file returned, by name; "" is the name of a single run."""
  value = _CONFIG.value
  runs = {"": value} if isinstance(value, ConfigDict) else value
  for fields in runs.values() if _PROFILE_STEPS.value else ():
    fields.train.profile_steps = _PROFILE_STEPS.value
  return runs


if __name__ == "__main__":
  flags.mark_flags_as_required(["config"])
  errors.run(main)
