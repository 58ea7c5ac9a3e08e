"""Folders on an object store: every byte goes through epath.

The store is a folder of this machine behind fsspec, where etils looks for
Google's; a path that went around epath would make a folder "gs:" beside.
"""

import jax
import numpy as np
import pytest
from etils import epath
from etils.epath import backend
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

import tooldev_jax
from tests.models.tiny import config
from tooldev_jax.config import LoraConfig
from tooldev_jax.data.tokenizer import ChatTokenizer, TokenizerError
from tooldev_jax.data.tokenizer_files import copy_tokenizer_files
from tooldev_jax.errors import UserError
from tooldev_jax.models.checkpoint import load_model, save_model
from tooldev_jax.models.export import export_merged
from tooldev_jax.models.parameters import init_adapter, init_params
from tooldev_jax.models.peft import load_adapter, save_adapter

TINY_BASE = epath.Path(tooldev_jax.__file__).parent / "assets" / "tiny_base"
CONFIG = config("qwen2", num_hidden_layers=3)


class Store(DirFileSystem):
  """Buckets as folders."""

  def _join(self, path):
    if isinstance(path, str):
      return super()._join(path.removeprefix("gs://"))
    return super()._join(path)


@pytest.fixture
def store(tmp_path, monkeypatch):
  """Where gs:// leads to, while an empty folder is the current one."""
  root, here = tmp_path / "store", tmp_path / "here"
  root.mkdir()
  here.mkdir()
  files = Store(path=str(root), fs=LocalFileSystem(auto_mkdir=True))
  monkeypatch.setenv("EPATH_USE_TF", "false")
  monkeypatch.setattr(
    type(backend.fsspec_backend), "fs", lambda self, path: files
  )
  monkeypatch.chdir(here)
  yield root
  assert not list(here.iterdir())


def test_models_and_adapters_come_and_go(store):
  params = init_params(CONFIG, jax.random.key(0))
  lora = LoraConfig(rank=2, alpha=4)
  adapter = init_adapter(CONFIG, lora, jax.random.key(1))
  adapter = jax.tree.map(lambda x: x + 0.05, adapter)
  for size in (1 << 30, 4000, 1 << 30):
    made = save_model(params, CONFIG, "gs://bucket/base", size)
    base = load_model("gs://bucket/base")
    assert base.fingerprint == made
    jax.tree.map(np.testing.assert_array_equal, base.params, params)
  save_adapter(adapter, lora, CONFIG, "gs://bucket/adapter", "base", made)
  again, factors = load_adapter("gs://bucket/adapter", CONFIG, made)
  assert again == lora
  jax.tree.map(np.testing.assert_array_equal, factors, adapter)
  report = export_merged(
    base, adapter, lora, "gs://bucket/merged", [[1, 2]], max_shard_bytes=4000
  )
  assert load_model("gs://bucket/merged").fingerprint == report.fingerprint
  assert (store / "bucket" / "merged" / "config.json").exists()


def test_the_tokenizer_and_stop_tokens_that_lie_beside(store):
  local = ChatTokenizer.load(TINY_BASE)
  folder = epath.Path("gs://bucket/base")
  folder.mkdir(parents=True)
  copied = copy_tokenizer_files(TINY_BASE, folder)
  assert "tokenizer.json" in copied
  remote = ChatTokenizer.load("gs://bucket/base")
  assert remote.fingerprint == local.fingerprint
  generation = folder / "generation_config.json"
  generation.write_text('{"eos_token_id": [3, 17]}')
  again = ChatTokenizer.load("gs://bucket/base")
  assert {3, 17} <= set(again.stop_token_ids)
  with pytest.raises(TokenizerError, match="no tokenizer in 'gs://bucket/no'"):
    ChatTokenizer.load("gs://bucket/no")


def test_what_is_not_there_is_named(store):
  with pytest.raises(UserError, match="gs://bucket/none: no such folder"):
    load_model("gs://bucket/none")
