import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tooldev_jax.toolcall.patterns import MAX_PATTERN, is_known
from tooldev_jax.toolcall.validation import GivenUp, Validator

# On a busy machine neither a slow example nor a slow draw is a failure.
STEADY = settings(
  max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

ATOMS = st.sampled_from(
  ("a", "b", ".", r"\d", r"\W", r"\s", "[ab]", "[^a-c]", r"[\w-]", r"\.", r"\b")
)
PATTERNS = st.recursive(
  ATOMS,
  lambda inner: st.one_of(
    st.lists(inner, min_size=1, max_size=3).map("".join),
    st.lists(inner, min_size=1, max_size=3).map(
      lambda parts: f"({'|'.join(parts)})"
    ),
    st.tuples(
      inner, st.sampled_from(("*", "+?", "?", "{2}", "{1,}", "{0,2}"))
    ).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
  ),
  max_leaves=6,
)


def matches(pattern, text):
  return not Validator({"pattern": pattern}).errors(text)


@given(PATTERNS, st.booleans(), st.booleans(), st.text("abc1 -.", max_size=8))
@STEADY
def test_agrees_with_re(pattern, at_start, at_end, text):
  pattern = "^" * at_start + pattern + "$" * at_end
  expected = re.search(pattern, text, re.ASCII) is not None
  assert matches(pattern, text) == expected


@pytest.mark.parametrize(
  ("pattern", "matching", "other"),
  [
    (r"^0x[a-fA-F0-9]{4}$", "0x12aB", "0x12aG"),
    (r"^([01]\d|2[0-3]):([0-5]\d)$", "23:59", "24:00"),
    (r"^\d{4}-\d{2}$", "2024-01", "2024-01\n"),
    (r"(?<year>\d+)\/", "1/", "/1"),
    (r"\u00e9\x41", "éA", "eA"),
    (r"^[^\D]$", "7", "x"),
    (r"^(?=.*[A-Z])(?=.*\d).{8,}$", "Passw0rdX", "password"),
    (r"^(?!admin$)", "user", "admin"),
    (r"^(a+)-\1$", "aa-aa", "aa-a"),
    (r"^\p{Lu}", "Éa", "éa"),
    ("", "", None),
  ],
)
def test_as_json_schema_has_it(pattern, matching, other):
  assert is_known(pattern)
  assert matches(pattern, matching)
  assert other is None or not matches(pattern, other)


@pytest.mark.parametrize(
  "pattern",
  [
    r"\1", "a**", "(", ")", "[a", "*a", "a{2,1}", "a{", "[b-a]", "(?<n", "\\",
    r"\u12", "((a{99}){99}){99}", "a" * (MAX_PATTERN + 1), "(" * 999,
  ],
)  # fmt: skip
def test_what_is_wrong_or_beyond_the_bounds_is_not_known(pattern):
  assert not is_known(pattern)


def test_a_search_takes_linear_time_or_is_given_up():
  start = time.process_time()
  assert not matches("^(a|aa)+$", "a" * 50_000 + "b")
  assert not matches("^(a+)+$", "a" * 50_000 + "b")
  assert not matches("(a{40}){40}b", "a" * 100_000)
  with pytest.raises(GivenUp):
    matches(r"^((a|aa)+)\1$", "a" * 5000 + "b")
  assert time.process_time() - start < 5
