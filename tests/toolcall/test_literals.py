import pytest

from tooldev_jax.toolcall.formats import (
  ParseError,
  ParseReason,
  Turn,
  get_format,
  read_number,
)
from tooldev_jax.toolcall.formats.turn import MAX_DEPTH
from tooldev_jax.toolcall.jsontext import dump
from tooldev_jax.toolcall.vocabulary import Call


def read(literal):
  """The value of a literal, as JSON text: 1, 1.0 and True differ."""
  turn = get_format("pythonic").parse(f"[f(a={literal})]")
  assert turn.text == ""
  (call,) = turn.calls
  return dump(call.arguments["a"])


@pytest.mark.parametrize(
  ("literal", "value"),
  [
    ("true", True),
    ("True", True),
    ("null", None),
    ("None", None),
    ("-1_000", -1000),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("+7", 7),
    ("12345678901234567890", 12345678901234567890),
    ("'a\"b\\'c'", "a\"b'c"),
    ('"""a"b"""', 'a"b'),
    ('"\\u00e9\\x41\\101\\d\\ud83d\\ude00"', "éAA\\d\U0001f600"),
    ('"a\nb"', "a\nb"),
    ("(1, (2,), (3))", [1, [2], 3]),
    ("()", []),
    ("{'a': [1,],}", {"a": [1]}),
    ("{a: 1}", {"a": 1}),
    ('"f(a=1)], [g("', "f(a=1)], [g("),
  ],
)
def test_python_and_json_literals_are_read(literal, value):
  assert read(literal) == dump(value)


@pytest.mark.parametrize(
  ("literal", "value"),
  [
    # Adjacent strings are one, raw or not.
    ('"a" "b"', "ab"),
    ("'a'\n  \"b\" '''c'''", "abc"),
    ('("a"\n"b")', "ab"),
    ('["a" "b", "c"]', ["ab", "c"]),
    ('{"a" "b": 1}', {"ab": 1}),
    ('r"\\d+" "\\n"', "\\d+\n"),
    # Prefixes.
    ('r"C:\\new\\x"', "C:\\new\\x"),
    ("R'\\'", None),
    ('u"\\u00e9"', "é"),
    # Numbers in other bases, and signs apart.
    ("0x1F", 31),
    ("-0XfF", -255),
    ("0o17", 15),
    ("0b1_01", 5),
    ("- 5", -5),
    ("+ 2.5", 2.5),
    ("- 0x10", -16),
    ("--5", 5),
    ("-(5)", -5),
    ("[- 1, 2]", [-1, 2]),
    # Characters by name.
    ('"\\N{EURO SIGN}5"', "€5"),
    ('"\\N{greek small letter alpha}"', "α"),
  ],
)
def test_the_rest_of_pythons_literals_is_read(literal, value):
  if value is None:
    with pytest.raises(ParseError):
      read(literal)
  else:
    assert read(literal) == dump(value)


@pytest.mark.parametrize(
  ("literal", "value"),
  [
    ("2 * 3", 6),
    ("1 + 2 * 3 - 4", 3),
    ("(1 + 2) * 3", 9),
    ("10 / 4", 2.5),
    ("7 // 2", 3),
    ("-7 % 3", 2),
    ("2 ** 3 ** 2", 512),
    ("-2 ** 2", -4),
    ("- 2 ** 2", -4),
    ("2 ** -1", 0.5),
    ("0x10 + 1", 17),
    ("1e3*2", 2000.0),
    ("8 - 3 - 2", 3),
    ("[60 * 60, 24]", [3600, 24]),
    ('{"a": 1+1}', {"a": 2}),
  ],
)
def test_sums_and_products_of_numbers_are_computed(literal, value):
  assert read(literal) == dump(value)


@pytest.mark.parametrize(
  ("literal", "reason"),
  [
    ("1 / 0", ParseReason.BAD_NUMBER),
    ("9 ** 9 ** 9", ParseReason.BAD_NUMBER),
    ("2 ** 65", ParseReason.BAD_NUMBER),
    ("(2 ** 64) ** 64", ParseReason.BAD_NUMBER),
    ("(-8) ** 0.5", ParseReason.BAD_NUMBER),
    ("1e308 * 10", ParseReason.BAD_NUMBER),
    (f"1{'0' * 400} / 3", ParseReason.BAD_NUMBER),
    ("2 *", ParseReason.BAD_VALUE),
    ("1 + True", ParseReason.BAD_VALUE),
    ('1 + "a"', ParseReason.BAD_VALUE),
    ('"a" * 3', ParseReason.EXPECTED_SEPARATOR),
    ('"a" + "b"', ParseReason.EXPECTED_SEPARATOR),
    ("True + 1", ParseReason.EXPECTED_SEPARATOR),
    ("2 * x", ParseReason.BAD_VALUE),
    ("2 * f()", ParseReason.NESTED_CALL),
    ("- x", ParseReason.BAD_NUMBER),
    ('- "a"', ParseReason.BAD_NUMBER),
    ('f"{x}"', ParseReason.BAD_VALUE),
    ('b"a"', ParseReason.BAD_VALUE),
    ('rb"a"', ParseReason.BAD_VALUE),
    ('"\\N{no such name}"', ParseReason.BAD_ESCAPE),
    ('"\\N{LATIN SMALL LETTER R WITH TILDE}"', ParseReason.BAD_ESCAPE),
    ("0x", ParseReason.BAD_NUMBER),
    ("0xfg", ParseReason.BAD_NUMBER),
    ("0b12", ParseReason.BAD_NUMBER),
    ("1 if x else 2", ParseReason.EXPECTED_SEPARATOR),
    ("-" * 1000 + "1", ParseReason.TOO_DEEP),
    ("2 ** " * 100 + "1", ParseReason.TOO_DEEP),
    ("1 + (" * 100 + "1", ParseReason.TOO_DEEP),
  ],
)
def test_what_is_no_plain_number_is_not_computed(literal, reason):
  with pytest.raises(ParseError) as error:
    read(literal)
  assert error.value.reason == reason


def test_long_sums_are_bounded_by_the_number_of_values():
  assert read("+".join("1" * 1000)) == "1000"
  with pytest.raises(ParseError) as error:
    read("+".join("1" * 3000))
  assert error.value.reason == ParseReason.TOO_MANY_VALUES


def test_a_sign_costs_no_level():
  deep = "[" * (MAX_DEPTH - 1) + "-1" + "]" * (MAX_DEPTH - 1)
  assert read(deep) == deep


@pytest.mark.parametrize("written", ["1 + 2", '"a" "b"', "- 5"])
def test_json_has_no_arithmetic_and_no_adjacent_strings(written):
  with pytest.raises(ParseError):
    get_format("hermes").parse(
      f'<tool_call>{{"name": "f", "arguments": {{"a": {written}}}}}</tool_call>'
    )


def test_values_of_json_may_be_raw_or_hexadecimal():
  turn = get_format("hermes").parse(
    '<tool_call>{"name": "f", "arguments": {"a": 0x1F, "b": r"\\d"}}'
  )
  assert turn == Turn("", (Call("f", {"a": 31, "b": "\\d"}),))


def test_a_text_can_be_a_number_alone():
  assert read_number("-2 + 7 // 2") == 1
  assert read_number(" (1 + 2) * 3 ") == 9


@pytest.mark.parametrize(
  "text",
  [
    "__import__('os').getcwd()",
    "'a' * 10**9",
    "[0] * 3",
    "[1]",
    "'1'",
    "True",
    "1 << 99999999",
    "1j * 1j",
    "1; 2",
    "1 2",
    "",
  ],
)
def test_a_text_that_is_no_number_is_refused(text):
  with pytest.raises(ParseError):
    read_number(text)
