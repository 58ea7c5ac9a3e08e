"""Where compiled programs are kept, so that none is compiled twice.

JAX's persistent compilation cache lies in the run's folder, in
`compiled/<kind of machine>`. There it goes where the run goes, is deleted with
it, and holds no programs of other experiments. A run that goes on finds all of
its programs, and so does a later round. To share programs between runs, set
JAX_COMPILATION_CACHE_DIR, which is then left alone.

A program in the cache computes the same bits as before. That is more than a
second compilation promises: on GPUs it may tune itself differently. On CPUs
the code is made for one kind of processor, which JAX's key of an entry does
not name; hence the folder by kind of machine.

JAX writes an entry in place, not atomically. A torn one is never run, but
stays in the way of a whole one, so it is removed here.
"""

import hashlib
import os
import platform

import jax
from etils import epath

from tooldev_jax.parallel import private_jax

_CPU_INFO = epath.Path("/proc/cpuinfo")


def keep_in(folder: epath.Path, lead: bool) -> None:
  """Keeps compiled programs below `folder`, and removes torn ones.

  Args:
    folder: of the run.
    lead: whether this process is the one that writes entries.
  """
  if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    return
  cache = folder / "compiled" / _machine()
  if lead and cache.exists():
    for entry in cache.glob("*-cache"):
      if not private_jax.is_whole_program(entry.read_bytes()):
        entry.unlink()
  jax.config.update("jax_compilation_cache_dir", str(cache))
  # Compiling many small programs can take most of a small run.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _machine() -> str:
  """The instruction set, with a digest of the processor's extensions."""
  lines = []
  if _CPU_INFO.exists():
    text = _CPU_INFO.read_text()
    names = ("model name", "flags", "Features")
    lines = sorted({x for x in text.splitlines() if x.startswith(names)})
  digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
  return f"{platform.machine()}-{digest}"
