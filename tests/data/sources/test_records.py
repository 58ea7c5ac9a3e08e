import dataclasses
import gzip
import json

import pytest

from tooldev_jax import errors
from tooldev_jax.data import sources
from tooldev_jax.data.sources import records
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool

_EXAMPLES = tuple(
  Example(
    f"e{i}",
    (Message("user", f"Query {i} with \u2028 in it."),),
    (Tool("f"),),
    (Call("f", {"x": i}),),
    provenance={"source": "elsewhere", "line": 7},
  )
  for i in range(3)
)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_come_back_as_written(tmp_path, name):
  records.write(tmp_path / "rows.jsonl", _EXAMPLES)
  if name.endswith(".gz"):
    data = (tmp_path / "rows.jsonl").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(data))
  assert sources.read_examples(tmp_path / name, "records").examples == _EXAMPLES


def test_bad_rows_are_reported_by_line_and_reason(tmp_path):
  path = tmp_path / "rows.jsonl"
  records.write(path, _EXAMPLES)
  lines = path.read_text().rstrip().split("\n")  # U+2028 ends no line
  lines[1] = lines[1].replace('"user"', '"robot"')
  lines += ["", "{", '{"messages": []}', "[]"]
  path.write_text("\n".join(lines))
  read = sources.read_examples(path, "records")
  assert read.examples == (_EXAMPLES[0], _EXAMPLES[2])
  found = [(row.line, row.reason) for row in read.rejected]
  assert found == [
    (2, "field /messages/0/role"),
    (5, "not JSON"),
    (6, "no id"),
    (7, "not an object"),
  ]
  assert read.reasons["not JSON"] == 1
  assert read.require(0.7) is read
  with pytest.raises(errors.UserError, match="4 of 6 rows are bad") as caught:
    read.require(0.6)
  assert f"{path}:2: field /messages/0/role" in str(caught.value)


@pytest.mark.parametrize("weight", ["1", True, 0, -0.5, [1]])
def test_a_row_with_an_odd_weight_is_bad(tmp_path, weight):
  odd = dataclasses.replace(_EXAMPLES[1], provenance={"weight": weight})
  records.write(tmp_path / "rows.jsonl", [_EXAMPLES[0], odd])
  read = sources.read_examples(tmp_path / "rows.jsonl", "records")
  assert read.examples == _EXAMPLES[:1]
  assert read.rejected[0].reason == "provenance.weight is no number above 0"


def test_a_row_whose_id_came_before_is_bad(tmp_path):
  records.write(tmp_path / "rows.jsonl", [*_EXAMPLES, _EXAMPLES[1]])
  read = sources.read_examples(tmp_path / "rows.jsonl", "records")
  assert read.examples == _EXAMPLES
  (bad,) = read.rejected
  assert (bad.line, bad.reason) == (4, "an id that came before")
  assert bad.detail == _EXAMPLES[1].id


def test_a_file_without_rows_is_an_error(tmp_path):
  (tmp_path / "rows.jsonl").write_text("\n")
  read = sources.read_examples(tmp_path / "rows.jsonl", "records")
  with pytest.raises(errors.UserError, match="there are no rows"):
    read.require(1.0)


def test_what_is_no_such_file_is_an_error(tmp_path):
  with pytest.raises(errors.UserError, match="no such file"):
    sources.read_examples(tmp_path / "rows.jsonl", "records")
  with pytest.raises(errors.UserError, match="allowed: records"):
    sources.read_examples(tmp_path / "rows.jsonl", "xml")
  for name in ("rows.jsonl", "rows.jsonl.gz"):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(errors.UserError, match="cannot be read"):
      sources.read_examples(tmp_path / name, "records")


@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_that_is_one_list_has_its_items_as_rows(tmp_path, indent):
  path = tmp_path / "rows.json"
  rows = [example.to_json() for example in _EXAMPLES]
  rows.insert(1, {"id": "x", "messages": 3})
  path.write_text(json.dumps(rows, indent=indent))
  read = sources.read_examples(path, "records")
  assert read.examples == _EXAMPLES
  (bad,) = read.rejected
  assert bad.reason == "field /messages"
  before = path.read_text().partition('"id": "x"')[0]
  assert bad.line == max(1, before.count("\n"))


def test_a_list_that_breaks_gives_what_came_before(tmp_path):
  path = tmp_path / "rows.json"
  rows = [json.dumps(example.to_json()) for example in _EXAMPLES]
  nan = rows[0].replace("elsewhere", "x").replace('"line": 7', '"line": NaN')
  path.write_text(f"[\n{rows[0]},\n{nan},\n{rows[1]},\n{{]")
  read = sources.read_examples(path, "records")
  assert read.examples == _EXAMPLES[:2]
  assert [(bad.line, bad.reason) for bad in read.rejected] == [
    (3, "not JSON"),
    (5, "not JSON"),
  ]
  path.write_text(f"[{rows[0]}] {rows[1]}")
  read = sources.read_examples(path, "records")
  assert (len(read.examples), len(read.rejected)) == (1, 1)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_broken_item_of_a_list_is_one_bad_row(tmp_path, indent):
  path = tmp_path / "rows.json"
  rows = [json.dumps(e.to_json(), indent=indent) for e in _EXAMPLES]
  rows.insert(1, rows[0].replace('"role":', '"role"', 1))
  rows = [row.replace("\n", "\n  ") for row in rows]
  between = ",\n  " if indent else ",\n"
  path.write_text(f"[{between[1:]}{between.join(rows)}\n]")
  read = sources.read_examples(path, "records")
  assert read.examples == _EXAMPLES
  (bad,) = read.rejected
  assert (bad.line, bad.reason) == (2 + rows[0].count("\n") + 1, "not JSON")


def test_lines_that_are_lists_are_lines(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text(f"[]\n{json.dumps(_EXAMPLES[0].to_json())}\n")
  read = sources.read_examples(path, "records")
  assert read.examples == _EXAMPLES[:1]
  assert [bad.line for bad in read.rejected] == [1]


def test_a_folder_is_no_file_of_rows(tmp_path):
  with pytest.raises(errors.UserError, match="cannot be read"):
    sources.read_examples(tmp_path, "records")
