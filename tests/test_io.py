"""Files are whole or not there."""

import json

import pytest

from tooldev_jax import io


class _Crash(BaseException):
  """Not an Exception: nothing may catch it."""


def _crash_at(wanted):
  def observe(label):
    if label == wanted:
      raise _Crash(label)

  io.observe_crash_points(observe)


@pytest.fixture(autouse=True)
def _no_observer():
  yield
  io.observe_crash_points(None)


def _labels(action):
  seen = []
  io.observe_crash_points(seen.append)
  action()
  io.observe_crash_points(None)
  return seen


def test_a_crash_anywhere_leaves_the_old_file_or_the_new(tmp_path):
  file = tmp_path / "x" / "a.json"
  labels = _labels(lambda: io.write_json(file, {"v": 0}))
  assert len(labels) == 4
  for label in labels:
    io.write_json(file, {"v": "old"})
    _crash_at(label)
    with pytest.raises(_Crash):
      io.write_json(file, {"v": "new"})
    io.observe_crash_points(None)
    assert json.loads(file.read_text())["v"] in ("old", "new")
    assert (json.loads(file.read_text())["v"] == "new") == (
      "after rename" in label
    )


def test_equal_values_have_equal_bytes(tmp_path):
  io.write_json(tmp_path / "a", {"b": 1, "a": "é"})
  io.write_json(tmp_path / "b", {"a": "é", "b": 1})
  assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_log_drops_a_torn_last_line_and_goes_on(tmp_path):
  file = tmp_path / "log.jsonl"
  with io.JsonlLog(file) as log:
    log.append({"n": 1})
    log.append({"n": 2})
  whole = file.read_bytes()
  for cut in range(whole.index(b"\n") + 1, len(whole)):
    file.write_bytes(whole[:cut])
    with io.JsonlLog(file) as log:
      assert log.rows == [{"n": 1}]
      log.append({"n": 2})
    assert file.read_bytes() == whole


@pytest.mark.parametrize("line", [b"{", b'{"n": 1}x', b"\xff\xfe", b"\0\0"])
def test_a_damaged_line_is_named_and_the_file_left_alone(tmp_path, line):
  file = tmp_path / "log.jsonl"
  content = b'{"n": 1}\n' + line + b'\n{"n": 3}\n{"n"'
  file.write_bytes(content)
  for read in (io.read_jsonl, io.JsonlLog):
    with pytest.raises(io.DamagedFileError, match=r"log\.jsonl, line 2: not"):
      read(file)
  assert file.read_bytes() == content


def test_a_log_that_cannot_append_is_written_whole(tmp_path, monkeypatch):
  """As on an object store."""
  monkeypatch.setattr(io, "_is_local", lambda path: False)
  file = tmp_path / "log.jsonl"
  with io.JsonlLog(file) as log:
    log.append({"n": 1})
    assert not file.exists()
    monkeypatch.setattr(io, "REMOTE_SECONDS", 0.0)
    log.append({"n": 2})
    assert io.read_jsonl(file) == [{"n": 1}, {"n": 2}]
    monkeypatch.setattr(io, "REMOTE_SECONDS", 1e9)
    log.append({"n": 3})
  with io.JsonlLog(file) as log:
    assert log.rows == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_relative_path_becomes_absolute_and_a_bucket_stays():
  assert io.absolute("runs/x").is_absolute()
  assert str(io.absolute("gs://bucket/x")) == "gs://bucket/x"


def test_half_a_character_is_written_as_its_escape(tmp_path):
  row = {"text": "a\ud800b", "\udfff": "é"}
  io.write_json(tmp_path / "a.json", row)
  assert io.read_json(tmp_path / "a.json") == row
  io.write_jsonl(tmp_path / "a.jsonl", [row])
  assert io.read_jsonl(tmp_path / "a.jsonl") == [row]
  with io.JsonlLog(tmp_path / "log.jsonl") as log:
    log.append(row)
  with io.JsonlLog(tmp_path / "log.jsonl") as log:
    assert log.rows == [row]


def test_a_digest_depends_on_every_row_and_their_order():
  rows = [{"a": 1}, {"b": [2, 3]}]
  assert io.digest(rows) == io.digest(iter(rows))
  assert len({io.digest(x) for x in (rows, rows[::-1], rows[:1], [])}) == 4
