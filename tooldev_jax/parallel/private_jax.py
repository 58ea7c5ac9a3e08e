"""The only place that uses names of JAX that are not public.

`coordination_client`: JAX has no public barrier or exchange of values that
has a time limit and does not run on the devices. (`multihost_utils.
sync_global_devices` waits for ever, and on the devices.)

`is_whole_program`: a compiled program in JAX's persistent cache is written in
place, so a kill can tear it. JAX does not run a torn one, but does not write
over it either. How entries are compressed depends on the packages installed.

Both are the same in jax 0.10.2 and 0.11. `tests/parallel/test_private_jax.py`
fails when JAX makes either of them public.
"""

from typing import Any

from jax._src import compilation_cache, distributed


def coordination_client() -> Any:
  """The client of the coordination service; None before it is initialised."""
  return distributed.global_state.client


def is_whole_program(entry: bytes) -> bool:
  """Whether an entry of the persistent compilation cache decompresses.

  Raises:
    MemoryError: there is not enough memory to tell.
  """
  try:
    compilation_cache.decompress_executable(entry)
  except MemoryError:
    raise
  except Exception:  # Each compressor has errors of its own.
    return False
  return True
