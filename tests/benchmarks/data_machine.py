"""Where benchmarks of the data room find data, and how they write results."""

import json
import os
import pathlib
import platform

_ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(
  os.environ.get("TOOLDEV_DATA", _ROOT.parent / "shared" / "data")
)


def write(result: dict, out: pathlib.Path | None) -> None:
  """Prints `result` with the machine's name, and writes it to `out`."""
  result = {"machine": machine(), **result}
  text = json.dumps(result, indent=2, ensure_ascii=False)
  print(text)
  if out is not None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")


def machine() -> dict:
  """What timings depend on."""
  model = platform.processor() or platform.machine()
  cpuinfo = pathlib.Path("/proc/cpuinfo")
  if cpuinfo.exists():
    for line in cpuinfo.read_text().split("\n"):
      if line.startswith("model name"):
        model = line.partition(":")[2].strip()
        break
  return {
    "cpu": model,
    "cores": len(os.sched_getaffinity(0)),
    "load": os.getloadavg()[0],
    "python": platform.python_version(),
  }
