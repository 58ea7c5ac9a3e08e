"""One process of a run of several, which tells what files it changed.

python -m tests.multihost.pipeline_worker '<JSON: workdir, coordinator,
processes, index>'
"""

import json
import sys

# Of `pipeline_run.small_config`.
CHANGES = {"mesh.fsdp": -1, "adapt.epochs": 0}


def main() -> None:
  task = json.loads(sys.argv[1])
  from etils import epath

  from tests import pipeline_run
  from tests.faults.train_child import watching
  from tooldev_jax import pipeline
  from tooldev_jax.parallel import processes

  processes.initialize(
    task["coordinator"], task["processes"], task["index"], timeout_s=300
  )
  said: list[str] = []
  changes: list[str] = []
  config = pipeline_run.small_config(**CHANGES)
  with watching(task["workdir"], changes.append):
    pipeline.run(config, epath.Path(task["workdir"]), said.append)
  print(json.dumps({"changes": changes, "said": said}))


if __name__ == "__main__":
  main()
