"""Compiled programs are kept and reused: most tests need the same one."""

import jax
import pytest

from tests.train.made_once import steps_made_once


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
  return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module", autouse=True)
def compiled_once(cache_folder):
  jax.config.update("jax_compilation_cache_dir", str(cache_folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
  with steps_made_once():
    yield
  jax.config.update("jax_compilation_cache_dir", None)
