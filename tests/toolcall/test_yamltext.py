import contextlib
import json

import hypothesis
import hypothesis.strategies as st
import pytest

from tooldev_jax.toolcall import jsontext, yamltext


def _load(text):
  ((_, value),) = yamltext.load_all(text)
  return value


def test_scalars_mean_what_the_core_schema_of_yaml_1_2_says():
  text = """
  words: [yes, NO, on, ~, null, true, False]
  times: [12:30, 2024-07-26, 1_000, 017, 0o17, 0xff]
  numbers: [-3, 1.5, 1e3, .5, 3.]
  texts: ['1', "true", !!str 2, | ]
  """.replace(" | ]", "]")
  assert _load(text) == {
    "words": ["yes", "NO", "on", None, None, True, False],
    "times": ["12:30", "2024-07-26", "1_000", 17, 15, 255],
    "numbers": [-3, 1.5, 1000.0, 0.5, 3.0],
    "texts": ["1", "true", "2"],
  }


@pytest.mark.parametrize("text", ["no", "0b11", "1_000", "=", "+", "0x", "1:2"])
def test_what_only_yaml_1_1_knew_is_text(text):
  assert _load(f"a: {text}") == {"a": text}
  assert _load(f"%YAML 1.1\n---\na: {text}") == {"a": text}


def test_surrogates_that_json_escapes_are_one_character():
  assert _load(r'{"a \ud83d\ude00": "\ud83d\ude00"}') == {"a 😀": "😀"}


def test_an_empty_value_is_null_and_an_anchor_may_be_set_anew():
  assert _load("a:\nb: &x 1\nc: &x 2\nd: *x") == {
    "a": None, "b": 1, "c": 2, "d": 2,
  }  # fmt: skip


def test_keys_are_text_as_they_are_written():
  text = "{200: a, on: b, null: c, 1.0: d, 'x y': e, no: f, 2024-07-26: g}"
  assert list(_load(text)) == [
    "200", "on", "null", "1.0", "x y", "no", "2024-07-26",
  ]  # fmt: skip


def test_aliases_and_merge_keys_are_followed():
  text = """
  base: &base {a: 1, b: 2}
  more: &more {b: 3, c: 4}
  one: {<<: *base, b: 9}
  two: {<<: [*base, *more]}
  list: [*base, *base]
  """
  found = _load(text)
  assert found["one"] == {"a": 1, "b": 9}
  assert found["two"] == {"a": 1, "b": 2, "c": 4}
  assert found["list"] == [{"a": 1, "b": 2}] * 2


def test_documents_have_the_lines_on_which_they_begin():
  assert yamltext.load_all("a: 1\n---\nb: 2\n--- 3\n") == [
    (1, {"a": 1}),
    (3, {"b": 2}),
    (4, 3),
  ]
  assert yamltext.load_all("") == []


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("a: 1\na: 2", "line 2: the key 'a' occurs twice"),
    ("a: .nan", "line 1: .nan is not JSON"),
    ("a: 1e999", "out of range"),
    ("a: !!python/object/apply:os.system ['true']", "tag .* is not known"),
    ("a: !!binary aGk=", "tag .* is not known"),
    ("a: !!int x", "line 1: 'x' cannot be read as int"),
    ("a: *b", "line 1: found undefined alias 'b'"),
    ("a: &a [*a]", "line 1: \\*a is inside itself"),
    ("<<: 3", "takes an object"),
    ("[a]: 1", "a key is not text"),
    ("a: [1", "line 1: while parsing a flow sequence, expected"),
    ("a: \x01", "line 1: special characters"),
    ("a: &a [1, {b: *a}]", "line 1: \\*a is inside itself"),
    ("b: \n  &a [*a]", "line 2"),
    ("a: -.inf", "line 1: -.inf is not JSON"),
    ("a: !!float 1e400", "out of range"),
    ("a: !!bool yes", "cannot be read as bool"),
    ("a: !!set {x}", "tag .*set is not known"),
    ("a: !!timestamp 2024-01-01", "tag .* is not known"),
    ("!!map [1]", "tag .* is not known here"),
    ("a: " + "9" * 5000, "line 1: .* cannot be read as int"),
    ('a: "\\Uffffffff"', "line 1: "),
    ("a: {200: x, '200': y}", "line 1: the key '200' occurs twice"),
    ("[" * 5000, "line 1: nested deeper than 128 levels"),
    ("- " * 5000, "line 1: nested deeper than 128 levels"),
  ],
)
def test_what_json_cannot_hold_is_refused_with_its_line(text, message):
  with pytest.raises(yamltext.YamlTextError, match=message):
    yamltext.load_all(text)


def test_what_aliases_unfold_to_is_bounded():
  laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
  laughs += [
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)
  ]
  with pytest.raises(yamltext.YamlTextError, match="line 5: more than 1000000"):
    yamltext.load_all("\n".join(laughs))
  merges = ["a0: &a0 {x: 1}"]
  merges += [
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: 1}}"
    for i in range(1, 30)
  ]
  with pytest.raises(yamltext.YamlTextError, match="more than 1000000"):
    yamltext.load_all("\n".join(merges))


_JSON = st.recursive(
  st.none() | st.booleans() | st.integers(-(10**20), 10**20)
  | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
  lambda inner: st.lists(inner, max_size=4)
  | st.dictionaries(st.text(max_size=8), inner, max_size=4),
  max_leaves=12,
)  # fmt: skip


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(value=_JSON)
def test_json_text_is_yaml_and_means_the_same(value):
  assert _load(json.dumps(value)) == value
  assert _load(json.dumps(value, indent=1)) == value


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
  text=st.text(st.sampled_from("ab:-[]{}&*!<>|#'\",? \n\t01."), max_size=60)
)
def test_any_text_is_json_or_refused(text):
  with contextlib.suppress(yamltext.YamlTextError):
    for _, value in yamltext.load_all(text):
      assert json.loads(jsontext.dump(value)) == value
