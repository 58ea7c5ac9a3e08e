"""Records that cross a file, and outputs that belong to their examples."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluate.fake_run import fake_summary
from tests.evaluate.worlds import make_example
from tooldev_jax import errors, io, records
from tooldev_jax.evaluate import outputs, summary
from tooldev_jax.evaluate.outputs import OutputRecord, RecordedOutputs


@settings(max_examples=25, deadline=None)
@given(
  st.lists(
    st.builds(
      OutputRecord,
      st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
      st.text(st.characters(exclude_categories=["Cs"])),
      st.sampled_from(outputs.FINISH_REASONS),
    ),
    max_size=5,
  )
)
def test_outputs_survive_json(made):
  rows = [json.loads(io.dumps(records.to_json(row))) for row in made]
  assert [records.from_json(OutputRecord, row) for row in rows] == made


def test_an_unknown_finish_reason_is_named():
  with pytest.raises(
    errors.UserError, match="finish_reason is 'eos', allowed: stop, length, sk"
  ):
    OutputRecord("b", "", "eos")


def test_recorded_outputs_are_played_back_in_the_order_of_the_examples():
  made = RecordedOutputs([OutputRecord("a", "1"), OutputRecord("b", "2")])
  examples = [make_example("b", []), make_example("a", [])]
  texts = [output.text for output in made.generate(examples, "invocation")]
  assert texts == ["2", "1"]
  with pytest.raises(errors.UserError, match="two outputs for example 'a'"):
    RecordedOutputs([OutputRecord("a", "")] * 2)


def test_pair_puts_outputs_in_order_and_ignores_others():
  examples = [make_example("a", []), make_example("b", [])]
  made = [OutputRecord(i, i) for i in ("c", "b", "a")]
  assert [o.text for o in outputs.pair(examples, made)] == ["a", "b"]


def test_pair_refuses_what_does_not_belong():
  examples = [make_example("a", []), make_example("b", [])]
  with pytest.raises(errors.UserError, match="1 of 2 examples have no output"):
    outputs.pair(examples, [OutputRecord("a", "")])
  with pytest.raises(errors.UserError, match="two outputs for example 'a'"):
    outputs.pair(examples, [OutputRecord("a", "")] * 2)
  with pytest.raises(errors.UserError, match="two examples share an id"):
    outputs.pair(examples[:1] * 2, [OutputRecord("a", "")])


def test_a_summary_survives_json():
  made = fake_summary()
  text = io.dumps(records.to_json(made))
  assert records.from_json(summary.RunSummary, json.loads(text)) == made


def test_a_summary_without_most_fields_survives():
  made = summary.RunSummary("t", {}, ())
  assert records.from_json(summary.RunSummary, records.to_json(made)) == made
  assert made.final is None


def test_only_the_clock_depends_on_the_clock():
  made = fake_summary()
  later = dataclasses.replace(made, clock=summary.Clock("elsewhere"))
  found, other = records.to_json(made), records.to_json(later)
  assert {k for k in found if found[k] != other[k]} == {"clock"}


def test_figures_that_json_cannot_hold_are_refused():
  stage = summary.StageSummary("base", losses=(float("nan"),))
  with pytest.raises(records.MismatchError, match="no place in a record"):
    records.to_json(stage)


def test_a_wrong_type_deep_in_a_record_is_named():
  value = records.to_json(fake_summary())
  value["stages"][2]["calls"]["overall"]["exact"]["value"] = "high"
  with pytest.raises(
    records.MismatchError,
    match=r"stages\[2\]\.calls\.overall\.exact\.value: found str, allowed: a",
  ):
    records.from_json(summary.RunSummary, value)
