import time

import pytest

from tooldev_jax.toolcall.checks import Reason, check_grounded
from tooldev_jax.toolcall.vocabulary import Call, Tool

TOOL = Tool(
  "f",
  "Does f.",
  {
    "type": "object",
    "properties": {
      "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
      "units": {"type": "array", "enum": ["a", "b"]},
      "limit": {"type": "integer", "default": 77},
      "inner": {
        "type": "object",
        "properties": {"page": {"type": "integer", "default": 1}},
      },
    },
  },
)


def ungrounded(value, query, name="x"):
  findings = check_grounded(Call("f", {name: value}), TOOL, query)
  assert all(one.reason is Reason.UNGROUNDED for one in findings)
  return [one.where for one in findings]


@pytest.mark.parametrize(
  ("value", "query"),
  [
    # Texts: case, accents, endings, word order, a state added, initials.
    ("Zürich", "weather in ZURICH?"),
    ("Cafés", "find a cafe"),
    ("Berkeley, CA", "movies in Berkeley"),
    ("New York City", "what is on in NYC"),
    ("NYC", "flights to New York City"),
    ("user_id", "the user id please"),
    ("booking confirmed", "say that I confirm the bookings"),
    ("北京", "北京后天的天气如何？"),
    ("USD", "in US dollars"),
    ("+", "1 + 2"),
    # Numbers.
    (3, "for three nights"),
    (3.0, "room 3"),
    (-5, "five degrees below zero"),
    (25, "twenty-five people"),
    (250000, "two hundred and fifty thousand"),
    (5000, "a 5k run"),
    (5000, "5,000 steps"),
    (1.5e6, "1.5 million"),
    (12, "a dozen eggs"),
    (0.05, "a rate of 5%"),
    (120, "in 2 hours"),
    (0.75, "3/4 of it"),
    (2, "the 2nd one"),
    (2, "a two-bedroom flat"),
    (9, "page size 'nine'"),
    (2, "the second of three"),
    (24, "two dozen eggs"),
    (6, "half a dozen"),
    (60, "for an hour"),
    (30, "half an hour"),
    (2.5, "two and a half litres"),
    (1200, "twelve hundred dollars"),
    (3004, "three thousand and four"),
    (1.5, "one point five"),
    (1_000_000, "a million dollars"),
    ("42", "question forty two"),
    # Days and times.
    ("2024-05-01", "on May 1st, 2024"),
    ("2024-05-01", "on the 1st of May"),
    ("05/01/2024", "2024-05-01"),
    ("2024-05-01", "1/5/24"),
    ("2024-05-01", "tomorrow"),
    ("2024-05-01", "next friday"),
    ("14:30", "at 2:30 pm"),
    ("2:30 PM", "at 14:30"),
    ("12:00", "at noon"),
    # Nothing to look for.
    (None, ""),
    (True, ""),
    ("", ""),
    ([], ""),
    ({}, ""),
  ],
)
def test_grounded(value, query):
  assert ungrounded(value, query) == []


@pytest.mark.parametrize(
  ("value", "query"),
  [
    ("Paris", "weather in London"),
    ("Berkeley, CA", "movies in Oakland"),
    (3, "for two nights"),
    (25, "twenty people"),
    (25, "twenty or five people"),
    (100, "ten tens"),
    (7, "seventy"),
    ("42", "question 43"),
    ("2024-05-01", "on May 2nd, 2024"),
    ("2024-05-01", "on May 1st, 2023"),
    ("14:30", "at 2:45 pm"),
    ("上海", "北京后天的天气如何？"),
    (10**400, "1"),
    ("9" * 400, "1"),
  ],
)
def test_ungrounded(value, query):
  assert ungrounded(value, query) == ["/arguments/x"]


def test_what_the_definition_offers_is_grounded():
  assert ungrounded("celsius", "", "unit") == []
  assert ungrounded("kelvin", "", "unit") == ["/arguments/unit"]
  assert ungrounded(["b", "c"], "", "units") == ["/arguments/units/1"]
  assert ungrounded(77, "", "limit") == []
  assert ungrounded(78, "", "limit") == ["/arguments/limit"]
  assert ungrounded({"page": 1}, "", "inner") == []
  assert ungrounded({"page": 9}, "", "inner") == ["/arguments/inner/page"]


def test_every_single_value_is_looked_for():
  value = [{"a": ["Rome", "Oslo"]}, "Bonn"]
  assert ungrounded(value, "rome and bonn") == ["/arguments/x/0/a/1"]


@pytest.mark.parametrize("enum", [None, 3, True, "abc", {"a": 1}])
def test_an_enum_that_is_none_grounds_nothing(enum):
  for schema in ({"enum": enum}, {"type": "array", "items": {"enum": enum}}):
    tool = Tool("f", "", {"type": "object", "properties": {"a": schema}})
    value = ["zebra"] if "items" in schema else "zebra"
    assert check_grounded(Call("f", {"a": value}), tool, "Go.")


def test_a_long_run_of_number_words_is_read_quickly():
  start = time.process_time()
  assert ungrounded(7, "one hundred and " * 16_000) == ["/arguments/x"]
  assert time.process_time() - start < 2
