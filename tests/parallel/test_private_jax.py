"""Private names of JAX: in one file, while there are no public ones."""

import os
import pathlib
import re

import jax
import pytest
from jax._src import compilation_cache as private_cache
from jax.experimental import multihost_utils
from jax.experimental.compilation_cache import compilation_cache

from tooldev_jax.parallel import private_jax

ROOT = pathlib.Path(__file__).parents[2]


def test_private_names_are_imported_in_one_file_only():
  users = [
    path.relative_to(ROOT).as_posix()
    for folder in ("tooldev_jax", "launch", "configs")
    for path in (ROOT / folder).rglob("*.py")
    if re.search(r"jax\._src|jaxlib", path.read_text())
  ]
  assert users == ["tooldev_jax/parallel/private_jax.py"]


def test_jax_has_no_public_names_for_them_yet():
  """When this fails, use the public name and remove the private one."""
  exchange = {*vars(jax.distributed), *vars(multihost_utils)}
  assert not exchange & {
    "client",
    "get_client",
    "global_state",
    "key_value_get",
    "key_value_set",
    "barrier",
    "wait_at_barrier",
  }
  assert not hasattr(compilation_cache, "decompress_executable")
  assert not hasattr(compilation_cache, "is_executable_in_cache")


@pytest.mark.parametrize(
  ("size", "whole"), [(1.0, True), (0.5, False), (0.99, False), (0.0, False)]
)
def test_a_torn_program_is_recognised(size, whole):
  entry = private_cache.compress_executable(os.urandom(5000))
  part = entry[: int(size * len(entry))]
  assert private_jax.is_whole_program(part) is whole


def test_too_little_memory_says_nothing_about_a_program(monkeypatch):
  def exhausted(entry):
    raise MemoryError

  monkeypatch.setattr(private_cache, "decompress_executable", exhausted)
  with pytest.raises(MemoryError):
    private_jax.is_whole_program(b"")


def test_alone_there_is_no_coordination_client():
  assert private_jax.coordination_client() is None
