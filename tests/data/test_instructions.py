import pytest

from tooldev_jax.data import encoding, instructions
from tooldev_jax.toolcall.formats import CALL_FORMATS, Turn
from tooldev_jax.toolcall.vocabulary import Tool

_TOOLS = (
  Tool("list_alarms"),
  Tool(
    "set_alarm",
    "Sets an alarm.",
    {"type": "object", "properties": {"at": {"type": "string"}}},
  ),
)


def _prompts():
  """All that we say to a model in our own words."""
  for options in (
    instructions.ADAPTION,
    instructions.GENERATION,
    instructions.REFUSALS,
    instructions.CALL_SYNTAX.values(),
  ):
    yield from options
  for name in CALL_FORMATS:
    yield encoding.toolace_system(_TOOLS, name)
    yield encoding.toolace_system((), name)


@pytest.mark.parametrize("name", CALL_FORMATS)
def test_no_prompt_of_ours_reads_as_a_call(name):
  prompts = list(_prompts())
  assert len(prompts) > 20
  for prompt in prompts:
    # A small model repeats a prompt whole, by line or by sentence.
    for part in (prompt, *prompt.split("\n"), *prompt.split(". ")):
      for names in (None, ["set_alarm", "list_alarms"]):
        turn = CALL_FORMATS[name].parse(part, names)
        assert turn == Turn(part.strip(), ())
      last = part.rpartition(": ")[2]
      assert CALL_FORMATS[name].parse(last).calls == ()


def test_each_format_has_its_syntax_in_the_prompt():
  assert set(instructions.CALL_SYNTAX) == set(CALL_FORMATS)
  for name, syntax in instructions.CALL_SYNTAX.items():
    assert syntax in encoding.toolace_system(_TOOLS, name)
