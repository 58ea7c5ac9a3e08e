"""What is read from system texts that offer tools, and what stays in them."""

import json

import pytest

from tooldev_jax.data import sources
from tooldev_jax.data.sources import rows, toolprompt
from tooldev_jax.toolcall.vocabulary import Call, Message

_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
_WEATHER = {"name": "weather", "description": "Rain.", "parameters": _SCHEMA}
_NEWS = {"name": "news", "description": "News.", "parameters": _SCHEMA}


def _names(text):
  return [tool.name for tool in toolprompt.take_apart(text).tools()]


def _read(tmp_path, kind, *lines):
  path = tmp_path / "rows.jsonl"
  path.write_text("\n".join(json.dumps(line) for line in lines))
  return sources.read_examples(path, kind)


def _hermes(system, answer="Sunny."):
  turns = (("system", system), ("human", "Rain?"), ("gpt", answer))
  return {"conversations": [{"from": r, "value": v} for r, v in turns]}


_SAID = "Today is 2026-03-01. The user lives in Bergen and pays in NOK."


@pytest.mark.parametrize(
  ("kind", "row"),
  [
    ("hermes", _hermes(f"{_SAID} <tools>[{json.dumps(_WEATHER)}]</tools>")),
    ("hermes", {**_hermes(_SAID), "tools": json.dumps([_WEATHER])}),
    (
      "toolace",
      {
        "system": f"Functions: {json.dumps([_WEATHER])}.\n{_SAID}",
        "conversations": [
          {"from": "user", "value": "Rain?"},
          {"from": "assistant", "value": "Sunny."},
        ],
      },
    ),
    (
      "glaive",
      {
        "system": "SYSTEM: You are a helpful assistant with access to the "
        f"following functions. Use them if required -\n{json.dumps(_WEATHER)}\n"
        f"{json.dumps(_NEWS)}\n{_SAID}",
        "chat": "USER: Rain?\n\nASSISTANT: Sunny. <|endoftext|>",
      },
    ),
  ],
)
def test_what_is_said_beside_the_tools_stays_in_the_prompt(tmp_path, kind, row):
  (example,) = _read(tmp_path, kind, row).examples
  assert example.messages == (
    Message("system", _SAID),
    Message("user", "Rain?"),
  )
  assert example.tools[0].name == "weather"


def test_a_prompt_of_toolrl_keeps_what_stands_before_its_tools(tmp_path):
  row = {
    "instruction": f"You are a helpful assistant.\n{_SAID}\n\n"
    "**Available Tools**\nIn your response, you can use the following tools:\n"
    "1. Name: rain\nDescription: Rain.\nParameters: {}\n\n"
    "**Steps for Each Turn**\n1. Think.",
    "input": "<user> Rain? </user>",
    "output": "<response> Sunny. </response>",
  }
  (example,) = _read(tmp_path, "toolrl", row).examples
  said = f"You are a helpful assistant.\n{_SAID}"
  assert example.messages[0] == Message("system", said)


@pytest.mark.parametrize(
  "text",
  [
    "You are an expert in composing functions. You are given a question and a "
    "set of possible functions. Based on the question, you will need to make "
    "one or more function/tool calls to achieve the purpose.\nIf none of the "
    "function can be used, point it out.\nHere is a list of functions in JSON "
    "format that you can invoke:\n{tools}. \nShould you decide to return the "
    "function call(s). \nPut it in the format of "
    "[func1(params_name=params_value, params_name2=params_value2...), "
    "func2(params)]\n\nNO other text MUST be included.",
    "You are a function calling AI model. You are provided with function "
    "signatures within <tools> </tools> XML tags. Don't make assumptions about "
    "what values to plug into functions.\n<tools>{tools}</tools>\nFor each "
    "function call return a json object within <tool_call></tool_call> XML "
    "tags:\n<tool_call>\n{'name': 'f', 'arguments': {}}\n</tool_call>",
    "You are a tool calling assistant. Your specific tasks are:\n1. Make one "
    "or more function/tool calls to meet the request based on the question.\n"
    "2. If none of the function can be used, refuse.\nTools:\n{tools}",
  ],
)
def test_rules_of_calling_are_ours_to_write(text):
  apart = toolprompt.take_apart(text.replace("{tools}", json.dumps([_WEATHER])))
  assert [tool.name for tool in apart.tools()] == ["weather"]
  assert apart.said == ""


@pytest.mark.parametrize(
  "said",
  [
    "Prefer metric units for all tools.",
    "Use the tools with language set to German.",
    "Use at most 3 functions.",
    "Call me Ishmael.",
    "- The user's home is Oslo.",
  ],
)
def test_a_rule_that_says_more_than_how_to_call_is_kept(said):
  apart = toolprompt.take_apart(f"<tools>{json.dumps(_NEWS)}</tools>\n{said}")
  assert apart.said == said


@pytest.mark.parametrize(
  "beside",
  [
    'Profile: {"name": "Ann Lee", "age": 30}.',
    '<tool_call>[\n{"name": "func_name1", "arguments": {"a": "b"}},\n'
    "... (more calls)\n]</tool_call>",
    'For example {"name": "weather", "arguments": {"city": "Rome"}}.',
    'Or {"name": "func1", "parameters": {"city": "Rome"}}.',
    'Known people: [{"name": "Bo"}, {"name": "Cy", "city": "Rome"}]',
    'Not any more: {"name": "weather", "description": "Rain of old."}',
  ],
)
@pytest.mark.parametrize(
  "block",
  ["<tools>{}</tools>", "Functions: {}.", "<functions>\n{}\n</functions>"],
)
def test_only_the_block_of_tools_defines_tools(beside, block):
  tools = block.replace("{}", json.dumps([_WEATHER, _NEWS]))
  assert _names(f"{beside}\n{tools}") == ["weather", "news"]
  assert _names(f"{tools}\n{beside}") == ["weather", "news"]


def test_tools_may_stand_one_after_another():
  one, other = json.dumps(_WEATHER), json.dumps(_NEWS)
  wrapped = json.dumps({"type": "function", "function": _NEWS})
  assert _names(f"<tools>\n{one}\n{wrapped}\n</tools>") == ["weather", "news"]
  assert _names(f"Use these:\n{one},\n{other}\n") == ["weather", "news"]


_BROKEN = [
  json.dumps(_NEWS)[:-1],
  json.dumps(_NEWS).replace('"News."', '"The "news"."'),
  json.dumps(_NEWS).replace('"News."', "News."),
  json.dumps(_NEWS).replace("}}}", "}},}"),
  json.dumps(_NEWS).replace('"', "'"),
  json.dumps({**_NEWS, "parameters": "city"}),
  json.dumps({**_NEWS, "description": ["News."]}),
  json.dumps({"type": "function", "function": {**_NEWS, "parameters": [1]}}),
]


@pytest.mark.parametrize("broken", _BROKEN)
@pytest.mark.parametrize("block", ["<tools>{}</tools>", "Functions: {}."])
def test_a_broken_definition_is_a_bad_row_that_names_it(
  tmp_path, broken, block
):
  tools = block.replace("{}", f"[{json.dumps(_WEATHER)}, {broken}]")
  read = _read(tmp_path, "hermes", _hermes(tools))
  assert read.examples == ()
  assert read.rejected[0].reason == "a tool cannot be read"
  assert "news" in read.rejected[0].detail


def test_a_definition_without_a_name_is_a_bad_row(tmp_path):
  block = f"<tools>{json.dumps([_WEATHER, {'parameters': _SCHEMA}])}</tools>"
  (bad,) = _read(tmp_path, "hermes", _hermes(block)).rejected
  assert (bad.reason, "/name" in bad.detail) == ("a tool cannot be read", True)


_ODD_NAMES = [
  "Look Up (by plate)",
  "Fetch, then sort",
  "Who's who",
  "Rates (EUR/USD) [daily]",
  'Say "hello"',
  "a=b",
]


@pytest.mark.parametrize("name", _ODD_NAMES)
def test_names_of_any_characters_are_read_as_they_are_offered(tmp_path, name):
  row = {
    "system": json.dumps([{**_WEATHER, "name": name}, _NEWS]),
    "conversations": [
      {"from": "user", "value": "Go."},
      {
        "from": "assistant",
        "value": f'[{name}(city="Rome (old), [x]"), news(city="A")]',
      },
    ],
  }
  (example,) = _read(tmp_path, "toolace", row).examples
  assert example.calls == (
    Call(name, {"city": "Rome (old), [x]"}),
    Call("news", {"city": "A"}),
  )


@pytest.mark.parametrize(
  ("said", "reason"),
  [
    ('[Other (thing)(city="A")]', "calls cannot be read"),
    ("[weather(city=)]", "calls cannot be read"),
    ('[weather(city="A"]', "calls cannot be read"),
    ('[rain(city="A")]', "calls a tool that it does not offer"),
    ('[news(city="A"), rain(city="A")]', "calls a tool that it does not offer"),
    ('<tool_call>weather(city="A")</tool_call>', "calls cannot be read"),
  ],
)
def test_a_call_that_cannot_be_read_is_never_an_answer_in_words(
  tmp_path, said, reason
):
  row = {
    "system": json.dumps([_WEATHER, _NEWS]),
    "conversations": [
      {"from": "user", "value": "Go."},
      {"from": "assistant", "value": said},
    ],
  }
  (bad,) = _read(tmp_path, "toolace", row).rejected
  assert bad.reason == reason


def test_words_in_brackets_stay_words(tmp_path):
  said = "[1] See [the docs](https://x.org) (or ask)."
  row = {
    "system": json.dumps([_WEATHER]),
    "conversations": [
      {"from": "user", "value": "Go."},
      {"from": "assistant", "value": said},
    ],
  }
  (example,) = _read(tmp_path, "toolace", row).examples
  assert (example.calls, example.answer) == ((), said)


@pytest.mark.parametrize(
  "tool",
  [
    {"name": "news", "description": "N.", "inputSchema": _SCHEMA},
    {"name": "news", "description": "N.", "input_schema": _SCHEMA},
    {
      "name": "news",
      "description": "N.",
      "required_parameters": [],
      "optional_parameters": [{"name": "city", "type": "STRING"}],
    },
  ],
)
def test_tools_in_other_dialects_keep_their_parameters(tmp_path, tool):
  for system in (json.dumps([tool]), f"<tools>{json.dumps(tool)}</tools>"):
    (read,) = toolprompt.take_apart(system).tools()
    assert read.parameters["properties"]["city"]["type"] == "string"
  odd = {"name": "news", "description": "N.", "call_arguments": _SCHEMA}
  row = {**_hermes("Hi."), "tools": json.dumps([odd])}
  (bad,) = _read(tmp_path, "hermes", row).rejected
  assert "call_arguments" in bad.detail
  row = {"query": "Go.", "answers": "[]", "tools": [odd]}
  (bad,) = _read(tmp_path, "xlam", row).rejected
  assert "call_arguments" in bad.detail


def test_labels_stay_with_what_they_label():
  block = f"<tools>{json.dumps(_NEWS)}</tools>"
  apart = toolprompt.take_apart(f"Use these tools:\n{block}\nUser: Ann\n")
  assert apart.said == "User: Ann"


def test_json_in_a_loose_reading_only_is_told():
  with pytest.raises(rows.RowError, match="a tool cannot be read"):
    toolprompt.take_apart('{"a": NaN}')
