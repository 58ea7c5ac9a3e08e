"""The file format: round trips, and damage named instead of trusted."""

import json
import tempfile

import ml_dtypes
import numpy as np
import pytest
from etils import epath
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tooldev_jax.errors import UserError
from tooldev_jax.models.tensor_file import (
  group_by_size,
  read_header,
  read_metadata,
  write_tensors,
)


@settings(deadline=None)
@given(
  hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3)),
  st.integers(1, 40),
)
def test_a_tensor_comes_back_whole_whatever_the_pieces(tensor, chunk):
  tensors = {"a": tensor.astype(ml_dtypes.bfloat16), "b": tensor}
  with tempfile.TemporaryDirectory() as folder:
    path = epath.Path(folder) / "x.safetensors"
    write_tensors(path, tensors, {"note": "x"})
    entries = read_header(path)
    assert list(entries) == ["a", "b"]
    assert read_metadata(path) == {"format": "pt", "note": "x"}
    for name, wanted in tensors.items():
      entry = entries[name]
      assert (entry.shape, entry.np_dtype) == (wanted.shape, wanted.dtype)
      assert entry.read().tobytes() == wanted.tobytes()
      pieces = [rows for _, rows in entry.chunks(chunk)]
      assert np.concatenate(pieces).tobytes() == wanted.tobytes()


def file_with(tmp_path, header, data=b""):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  path = epath.Path(tmp_path / "x.safetensors")
  path.write_bytes(len(text).to_bytes(8, "little") + text + data)
  return path


@pytest.mark.parametrize(
  ("header", "message"),
  [
    (b"", "header of 0 bytes"),
    (b"not json", "not a safetensors file"),
    ([], "header is not an object"),
    ({"a": {"dtype": "F32", "shape": [2]}}, "damaged entry of a"),
    (
      {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
      r"a has 4 bytes for F32 \[2\]",
    ),
  ],
)
def test_damage_is_named(tmp_path, header, message):
  with pytest.raises(UserError, match=message):
    read_header(file_with(tmp_path, header))


def test_a_file_cut_short_is_named(tmp_path):
  entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
  path = file_with(tmp_path, {"a": entry}, b"1234")
  with pytest.raises(UserError, match="ends inside a tensor"):
    read_header(path)["a"].read()


def test_other_dtypes_are_named(tmp_path):
  entry = {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}
  path = file_with(tmp_path, {"a": entry}, b"12")
  with pytest.raises(UserError, match=r"dtype I8 is not supported; .*BF16"):
    read_header(path)["a"].read()


@given(
  st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 30)
)
def test_files_stay_under_their_size_and_in_order(sizes, most):
  named = {str(i): size for i, size in enumerate(sizes)}
  groups = group_by_size(named, most)
  assert [name for group in groups for name in group] == list(named)
  for group in groups:
    assert len(group) == 1 or sum(named[name] for name in group) <= most
