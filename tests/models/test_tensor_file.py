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
from safetensors import safe_open
from safetensors.numpy import save_file

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


def entry(start, end, shape=(2,), dtype="F32"):
  return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
  ("header", "message"),
  [
    (b"", "header of 0 bytes"),
    (b"not json", "not a safetensors file"),
    (b"[" * 10000, "not a safetensors file"),
    ([], "header is not an object"),
    (b'{"a": {}, "a": {}}', "a name stands twice"),
    ({"a": 3}, "damaged entry of a"),
    ({"a": {"dtype": "F32", "shape": [2]}}, "damaged entry of a"),
    ({"a": entry(0, 8, dtype=["F32"])}, "damaged entry of a .dtype"),
    ({"a": entry(0, 8, ["2"])}, "damaged entry of a .'2' is no size"),
    ({"a": entry(0, 8, [True])}, "damaged entry of a .True is no size"),
    ({"a": entry(-8, 0)}, "damaged entry of a .-8 is no size"),
    ({"a": entry(0, 4)}, r"a has 4 bytes for F32 \[2\]"),
    ({"a": entry(0, 10**30, [10**30], "U8")}, "ends inside a tensor"),
    ({"a": entry(0, 8), "b": entry(4, 12)}, "b begins at byte .* ends at"),
    ({"a": entry(0, 8), "b": entry(0, 8)}, "b begins at byte"),
    ({"a": entry(4, 12)}, "a begins at byte .* before it ends at"),
    ({"a": entry(0, 8)}, "goes on after the last"),
  ],
)
def test_damage_is_named(tmp_path, header, message):
  with pytest.raises(UserError, match=message):
    read_header(file_with(tmp_path, header, b"x" * 12))


def test_a_header_longer_than_its_file_is_not_read(tmp_path):
  path = epath.Path(tmp_path / "x.safetensors")
  path.write_bytes((50 << 20).to_bytes(8, "little") + b"{}")
  with pytest.raises(UserError, match=r"header of 52428800 bytes in a file of"):
    read_header(path)


def test_the_safetensors_package_and_this_one_read_each_other(tmp_path):
  tensors = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones((3,), ml_dtypes.bfloat16),
    "none": np.zeros((0, 4), np.float16),
  }
  ours, theirs = (epath.Path(tmp_path / x) for x in ("ours", "theirs"))
  write_tensors(ours, tensors, {"note": "x"})
  save_file(tensors, theirs, {"note": "x"})
  with safe_open(ours, "numpy") as f:
    assert f.metadata() == {"format": "pt", "note": "x"}
    for name, wanted in tensors.items():
      np.testing.assert_array_equal(f.get_tensor(name), wanted)
  assert read_metadata(theirs) == {"note": "x"}
  for name, found in read_header(theirs).items():
    np.testing.assert_array_equal(found.read(), tensors[name])


def test_a_file_cut_short_is_named(tmp_path):
  path = file_with(tmp_path, {"a": entry(0, 8)}, b"1234")
  with pytest.raises(UserError, match="ends inside a tensor"):
    read_header(path)
  path = file_with(tmp_path, {"a": entry(0, 8)}, b"12345678")
  (found,) = read_header(path).values()
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(UserError, match="ends inside a tensor"):
    found.read()


def test_other_dtypes_are_named(tmp_path):
  path = file_with(tmp_path, {"a": entry(0, 2, dtype="I8")}, b"12")
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
