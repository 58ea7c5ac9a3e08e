"""Checkpoint folders of each family, loaded once."""

import pytest

from tests.data import families
from tooldev_jax.data import tokenizer


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
  """Family name to folder."""
  return {
    name: families.write_checkpoint(name, tmp_path_factory.mktemp(name))
    for name in families.FAMILIES
  }


@pytest.fixture(scope="session")
def chat_tokenizers(checkpoints):
  """Family name to ChatTokenizer."""
  return {
    name: tokenizer.ChatTokenizer.load(folder)
    for name, folder in checkpoints.items()
  }


@pytest.fixture(params=sorted(families.FAMILIES))
def family(request):
  return request.param


@pytest.fixture
def chat(family, chat_tokenizers):
  return chat_tokenizers[family]
