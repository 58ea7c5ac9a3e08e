"""Where compiled programs are kept, so that none is compiled twice.

JAX's persistent compilation cache lies in the run's folder, in
`compiled/<kind of machine>`. Why there: it goes where the run goes, is gone
with it, needs no home folder, and programs that another experiment's code or
flags made cannot get in. A run that goes on, and a later round, whose program
is that of the round before, find all of theirs. Who wants to share programs
between runs sets JAX_COMPILATION_CACHE_DIR, which is then left alone.

A program in the cache is the machine code that was compiled, so it computes
the same bits as before: more surely so than a second compilation, which on GPUs
may tune itself otherwise. On CPUs that code is for the very processor, which
JAX's key of an entry does not name; hence the folder by kind of machine.

JAX writes an entry in place, not atomically. One that a kill has torn is never
run (it does not decompress) but would stay, since JAX does not write over an
entry that is there: `keep_in` removes such.
"""

import hashlib
import os
import platform

import jax
from etils import epath

# The same in jax 0.10.2 and 0.11; there is no public name.
from jax._src import compilation_cache

_CPU_INFO = epath.Path("/proc/cpuinfo")


def keep_in(folder: epath.Path, lead: bool) -> None:
  """Keeps compiled programs below `folder`, and drops torn ones.

  Args:
    folder: of the run.
    lead: whether this process is the one that writes entries.
  """
  if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    return
  cache = folder / "compiled" / _machine()
  if lead and cache.exists():
    for entry in cache.glob("*-cache"):
      try:
        compilation_cache.decompress_executable(entry.read_bytes())
      except Exception:  # Whatever the compressor at hand raises.
        entry.unlink()
  jax.config.update("jax_compilation_cache_dir", str(cache))
  # Many small programs add up: on two cores, to most of a small run.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _machine() -> str:
  """Short name of the instruction set, with a digest of its extensions."""
  lines = []
  if _CPU_INFO.exists():
    text = _CPU_INFO.read_text()
    names = ("model name", "flags", "Features")
    lines = sorted({x for x in text.splitlines() if x.startswith(names)})
  digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
  return f"{platform.machine()}-{digest}"
