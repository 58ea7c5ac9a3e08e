"""Every kind of source on hand-written rows, good and bad."""

import gzip
import json
import pathlib

import pytest

from tooldev_jax import errors
from tooldev_jax.data import sources, views
from tooldev_jax.toolcall.vocabulary import Call, Message

_FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"


def _read(name, kind):
  return sources.read_examples(_FIXTURES / name, kind)


def _bad(read):
  return [(row.line, row.reason) for row in read.rejected]


def test_toolace():
  read = _read("toolace.jsonl", "toolace")
  talk, question = read.examples
  assert [tool.name for tool in talk.tools] == ["Weather Now", "news.search"]
  assert talk.messages == (
    Message("system", "You compose calls."),
    Message("user", "Weather in Oslo, and the news?"),
    Message(
      "assistant",
      calls=(
        Call("Weather Now", {"city": "Oslo", "days": 2}),
        Call("news.search"),
      ),
    ),
    Message("tool", '[{"name": "Weather Now", "results": {"sky": "grey"}}]'),
  )
  assert (talk.calls, talk.answer) == ((), "It is grey in Oslo.")
  assert talk.id == "toolace-1.0"
  assert talk.provenance == {"source": "toolace", "line": 1}
  assert (question.calls, question.answer) == ((), "Which city do you mean?")
  assert _bad(read) == [
    (3, "calls cannot be read"),
    (4, "calls a tool that it does not offer"),
    (5, "unknown role"),
    (6, "no assistant turn"),
  ]


def test_xlam():
  read = _read("xlam.jsonl", "xlam")
  (example,) = read.examples
  assert example.id == "xlam-7"
  assert example.query == "Rain in Rome and Bern?"
  assert example.calls == (
    Call("rain", {"city": "Rome"}),
    Call("rain", {"city": "Bern", "days": 1}),
  )
  assert example.tools[0].parameters == {
    "type": "object",
    "properties": {
      "city": {"type": "string", "description": "Where."},
      "days": {"type": "integer", "description": "How long.", "default": 3},
      "marks": {
        "type": "array",
        "items": {"type": "number"},
        "description": "Levels.",
      },
      "who": {"type": "string", "description": "Asker."},
      "mix": {
        "type": ["integer", "number"],
        "description": "Any.",
        "default": 1.5,
      },
      "how": {"description": "A function."},
    },
    "required": ["city", "marks", "how"],
  }
  assert _bad(read) == [
    (2, "answers is not JSON"),
    (3, "answers or tools are no list"),
  ]


def test_hermes():
  read = _read("hermes.jsonl", "hermes")
  talk, short = read.examples
  call = Call("find_book", {"title": "Emma"})
  assert talk.messages == (
    Message("user", "Find Emma."),
    Message("assistant", "Let me look.", (call,)),
    Message("tool", '{"shelf": 4}'),
  )
  assert talk.answer == "Shelf four."
  assert short.calls == (call,)
  assert short.tools == talk.tools
  assert _bad(read) == [(3, "conversations are no list")]


def test_glaive():
  read = _read("glaive.jsonl", "glaive")
  talk, chat = read.examples
  assert [tool.name for tool in talk.tools] == ["add", "now"]
  assert [m.role for m in talk.messages] == [
    "user", "assistant", "tool", "assistant", "user",
  ]  # fmt: skip
  assert talk.messages[1].calls == (
    Call("add", {"a": 1, "note": "it's urgent"}),
  )
  assert talk.calls == (Call("now"),)
  assert (chat.tools, chat.answer) == ((), "Hello.")
  assert _bad(read) == [(2, "calls cannot be read")]


@pytest.mark.parametrize(
  "arguments", ["''", '""', "' '", "null", "'{}'", '"{}"']
)
def test_glaive_without_arguments(tmp_path, arguments):
  call = f'<functioncall> {{"name": "now", "arguments": {arguments}}}'
  row = {
    "system": 'Functions: {"name": "now", "parameters": {}}',
    "chat": f"USER: What time is it?\nASSISTANT: {call} <|endoftext|>",
  }
  path = tmp_path / "glaive.jsonl"
  path.write_text(json.dumps(row))
  (example,) = sources.read_examples(path, "glaive").examples
  assert example.calls == (Call("now"),)


def test_openai():
  read = _read("openai.jsonl", "openai")
  talk, old = read.examples
  first, second = (Call("find_book", {"title": t}) for t in
                   ("Emma", "Persuasion"))  # fmt: skip
  assert talk.messages == (
    Message("system", "Be brief."),
    Message("user", "Find Emma\nand Persuasion."),
    Message("assistant", "", (first, second)),
    Message("tool", "4", name="find_book"),
    Message("tool", "5", name="find_book"),
  )
  assert old.calls == (first,)
  assert _bad(read) == [
    (3, "content has a part that is no text"),
    (4, "calls cannot be read"),
  ]


def test_seal_tools():
  read = _read("seal/calls.jsonl", "seal_tools")
  plain, nested = read.examples
  assert plain.calls == (Call("getTide", {"port": "Brest", "hour": 4}),)
  assert plain.tools[0].parameters["required"] == ["port"]
  assert (plain.provenance["nested"], nested.provenance["nested"]) == (
    False,
    True,
  )
  assert _bad(read) == [(3, "calls an unknown tool"), (4, "no calling")]


def test_seal_tools_without_its_tools(tmp_path):
  (tmp_path / "calls.jsonl").write_text("{}")
  with pytest.raises(errors.UserError, match=r"seal_tools\.jsonl\.gz"):
    sources.read_examples(tmp_path / "calls.jsonl", "seal_tools")


def test_toolrl():
  read = _read("toolrl.jsonl", "toolrl")
  first, talk = read.examples
  assert [tool.name for tool in first.tools] == ["Find Song", "Charts"]
  assert first.tools[0].description == "Finds a song.\nBy title."
  assert first.tools[0].parameters["required"] == ["title"]
  assert first.calls == (Call("Find Song", {"title": "Help!"}), Call("Charts"))
  assert first.answer == (
    "<think>I could write <tool_call> here.</think>\nLooking."
  )
  assert talk.messages == (
    Message("system", "Rules."),
    Message("user", "Charts?"),
    Message("assistant", "<think>Call.</think>", (Call("Charts"),)),
    Message("tool", "[1, 2]"),
    Message("assistant", "<think>Say.</think>\nOne and two."),
    Message("user", "And a joke?"),
  )
  assert talk.answer == ("<think>No tool.</think>\nI have no tool for jokes.")
  assert _bad(read) == [
    (3, "the answer has neither calls nor a response"),
    (4, "no list of tools"),
    (5, "calls cannot be read"),
  ]


def test_sgd():
  read = _read("sgd/talks.jsonl", "sgd")
  (talk,) = read.examples
  assert talk.messages == (
    Message("user", "A boat please."),
    Message("assistant", "From where?"),
    Message("user", "Bergen."),
    Message("assistant", "", (Call("Boats_1_FindBoat", {"port": "Bergen"}),)),
    Message("tool", '[{"boat":"Gull"}]', name="Boats_1_FindBoat"),
  )
  assert talk.answer == "The Gull sails."
  assert talk.provenance["services"] == ["Boats_1"]
  assert talk.tools[0].parameters == {
    "type": "object",
    "properties": {
      "port": {"type": "string", "description": "Where."},
      "deck": {
        "type": "string",
        "description": "Which.",
        "enum": ["upper", "lower", "dontcare"],
        "default": "dontcare",
      },
    },
    "required": ["port"],
  }
  assert _bad(read) == [(2, "unknown service"), (3, "unknown speaker")]


def test_sgd_without_its_schemas(tmp_path):
  (tmp_path / "talks.jsonl").write_text("{}")
  with pytest.raises(errors.UserError, match=r"talks_schema\.jsonl"):
    sources.read_examples(tmp_path / "talks.jsonl", "sgd")


def test_sgd_schemas_are_documents():
  (example,) = _read("sgd/talks_schema.jsonl", "sgd_documents").examples
  assert views.make_view(example, "adaption", 0) is not None


def test_bfcl():
  read = _read("bfcl/BFCL_v4_simple_python.json", "bfcl")
  first, second = read.examples
  assert first.calls == (
    Call("math.area", {"base": 3, "opts": {"fine": True}}),
  )
  assert first.messages[0].role == "system"
  assert second.calls == (Call("math.area", {"base": 4, "unit": "cm"}),)
  assert first.provenance == {
    "source": "bfcl",
    "line": 1,
    "category": "simple_python",
    "labelled": True,
  }
  assert _bad(read) == [(3, "no possible answer"), (4, "field /role")]


def test_bfcl_without_gold_calls():
  (none,) = _read("bfcl/BFCL_v4_live_irrelevance.json", "bfcl").examples
  (some,) = _read("bfcl/BFCL_v4_live_relevance.json", "bfcl").examples
  assert none.provenance["labelled"] and not some.provenance["labelled"]
  assert views.make_view(none, "invocation", 0) is not None
  assert views.make_view(some, "invocation", 0) is None


def test_documents():
  read = _read("mcp.jsonl", "documents")
  (example,) = read.examples
  assert example.tools[0].name == "find_book"
  assert (example.messages, example.calls) == ((), ())
  assert _bad(read) == [(1, "duplicate_name"), (2, "not_json")]


def test_queries_are_unlabelled():
  read = _read("taskbench.jsonl", "taskbench")
  (request,) = read.examples
  assert (request.id, request.query) == ("taskbench-31", "Play a song.")
  assert _bad(read) == [(2, "no user_request")]
  trip, again = _read("metatool.jsonl", "metatool").examples
  assert trip.provenance["plugin"] == "Trips"
  assert trip.id != again.id
  for kind in views.KINDS:
    assert views.make_view(request, kind, 0) is None


@pytest.mark.parametrize(
  ("name", "kind"),
  [
    ("toolace.jsonl", "toolace"), ("xlam.jsonl", "xlam"),
    ("hermes.jsonl", "hermes"), ("glaive.jsonl", "glaive"),
    ("openai.jsonl", "openai"), ("seal/calls.jsonl", "seal_tools"),
    ("toolrl.jsonl", "toolrl"), ("sgd/talks.jsonl", "sgd"),
    ("bfcl/BFCL_v4_simple_python.json", "bfcl"),
    ("mcp.jsonl", "documents"), ("taskbench.jsonl", "taskbench"),
    ("metatool.jsonl", "metatool"),
  ],
)  # fmt: skip
def test_rows_of_any_shape_are_reported_not_raised(tmp_path, name, kind):
  # Companions (schemas, tools, answers) stay as they are.
  folder = tmp_path / "f"
  folder.mkdir()
  for path in (_FIXTURES / name).parent.rglob("*"):
    if path.is_file():
      target = folder / path.relative_to((_FIXTURES / name).parent)
      target.parent.mkdir(exist_ok=True)
      target.write_bytes(path.read_bytes())
  file = folder / pathlib.Path(name).name
  good = sources.read_examples(file, kind)
  lines = file.read_text().rstrip("\n").split("\n")
  first = lines[0]
  broken = [
    "null", "3", '"x"', "[]", "{}", "[[]]", first[:-1], first + "}",
    *(first.replace(a, b) for a, b in
      [("[", "{"), ('":', '":[],"'), ('"', "'"), (": ", ": null, "),
       (': "', ': 1, "'), (": [", ": 1, \"z\": ["), (": {", ": [], \"z\": {")]),
  ]  # fmt: skip
  file.write_text("\n".join([*lines, *broken]))
  read = sources.read_examples(file, kind)
  assert read.examples[: len(good.examples)] == good.examples
  seen = {row.line for row in read.rejected}
  bad = set(range(len(lines) + 1, len(lines) + len(broken) + 1)) & seen
  assert len(bad) > len(broken) // 2


def test_xlam_and_toolace_come_as_one_list(tmp_path):
  for name, kind in (("xlam.jsonl", "xlam"), ("toolace.jsonl", "toolace")):
    lines = (_FIXTURES / name).read_text().rstrip("\n").split("\n")
    path = tmp_path / f"{kind}.json"
    path.write_text("[" + ", ".join(lines) + "]")
    listed = sources.read_examples(path, kind)
    by_line = _read(name, kind)
    ids = [example.id for example in by_line.examples]
    assert len(listed.examples) == len(ids)
    for one, other in zip(listed.examples, by_line.examples, strict=True):
      assert (one.messages, one.tools) == (other.messages, other.tools)
      assert (one.calls, one.answer) == (other.calls, other.answer)


@pytest.mark.parametrize("value", ["NaN", "1e999", '1, "default": 2'])
def test_a_tool_that_is_json_in_a_loose_reading_only_is_a_bad_row(
  tmp_path, value
):
  tool = f'{{"name": "f", "parameters": {{"default": {value}}}}}'
  row = {
    "system": f"Use these: [{tool}].",
    "conversations": [
      {"from": "user", "value": "Go."},
      {"from": "assistant", "value": "No."},
    ],
  }
  path = tmp_path / "rows.jsonl"
  path.write_text(json.dumps(row))
  (bad,) = sources.read_examples(path, "toolace").rejected
  assert bad.reason == "a tool cannot be read"


def test_ids_are_unique():
  for name, kind in (("metatool.jsonl", "metatool"), ("toolace.jsonl",
                                                      "toolace")):  # fmt: skip
    ids = [example.id for example in _read(name, kind).examples]
    assert len(set(ids)) == len(ids)


def test_dialogues_split_into_their_turns():
  talk = _read("glaive.jsonl", "glaive").examples[0]
  parts = list(sources.split_turns(talk))
  assert [len(part.messages) for part in parts] == [1, 3, 5]
  assert [part.calls for part in parts] == [
    talk.messages[1].calls,
    (),
    talk.calls,
  ]
  assert parts[1].answer == "The sum is 1."
  assert [part.id for part in parts] == [
    f"{talk.id}#1",
    f"{talk.id}#3",
    talk.id,
  ]


def test_tools_that_were_exchanged_are_read_again(tmp_path):
  call = {
    "id": "1",
    "query": "Go.",
    "calling": [{"api": "f", "parameters": {}}],
  }
  (tmp_path / "calls.jsonl").write_text(json.dumps(call))
  for text in ("Old.", "The new one."):
    tool = {"api_name": "f", "api_description": text, "parameters": {}}
    data = gzip.compress(json.dumps(tool).encode())
    (tmp_path / "seal_tools.jsonl.gz").write_bytes(data)
    read = sources.read_examples(tmp_path / "calls.jsonl", "seal_tools")
    assert read.examples[0].tools[0].description == text


def test_an_empty_answer_is_no_refusal(tmp_path):
  tool = {"name": "f", "description": "F.", "parameters": {}}
  said = [{"from": "user", "value": "Go."}, {"from": "assistant", "value": " "}]
  asked = [{"role": "user", "content": "Go."}, {"role": "assistant"}]
  for kind, row in (
    ("toolace", {"system": json.dumps([tool]), "conversations": said}),
    ("openai", {"messages": asked, "tools": [tool]}),
  ):
    path = tmp_path / kind
    path.write_text(json.dumps(row))
    (bad,) = sources.read_examples(path, kind).rejected
    assert bad.reason == "an empty answer"
  # In xLAM's form it says that no tool fits.
  path.write_text(
    json.dumps({"query": "Go.", "answers": "[]", "tools": [tool]})
  )
  (example,) = sources.read_examples(path, "xlam").examples
  assert (example.calls, example.answer) == ((), "")


def test_xlam_tools_may_have_a_json_schema(tmp_path):
  schema = {"type": "object", "properties": {"type": {"type": "string"}}}
  tool = {"name": "f", "description": "F.", "parameters": schema}
  flat = {"name": "g", "parameters": {"type": {"type": "str"}}}
  row = {
    "query": "Go.",
    "answers": [{"name": "f", "arguments": {"type": "x"}}],
    "tools": json.dumps([tool, flat, {"type": "function", "function": tool}]),
  }
  path = tmp_path / "rows.jsonl"
  path.write_text(json.dumps(row))
  (example,) = sources.read_examples(path, "xlam").examples
  assert [tool.parameters for tool in example.tools] == [
    schema,
    schema | {"required": ["type"]},
    schema,
  ]


def test_a_refused_document_tells_its_line_and_no_other_number(tmp_path):
  path = tmp_path / "apis.jsonl"
  paths = {"/a:7": {"get": []}, "/b": {"get:9": {}}}
  path.write_text("\n" + json.dumps({"openapi": "3.0.0", "paths": paths}))
  rejected = sources.read_examples(path, "documents").rejected
  assert [bad.line for bad in rejected] == [2, 2]
  single = tmp_path / "api.json"
  single.write_text(path.read_text())
  rejected = sources.read_examples(single, "documents").rejected
  assert [bad.line for bad in rejected] == [1, 1]


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("list.txt", "Go there.\r\n\n [Come] back. \n"),
    ("list.jsonl", '"Go there."\n{"question": "[Come] back."}\n'),
    ("list.json", '[{"query": "Go there.", "id": 7},\n"[Come] back."]'),
    ("line.json", '["Go there.", {"text": "[Come] back."}]'),
  ],
)
def test_lists_of_queries(tmp_path, name, text):
  (tmp_path / name).write_bytes(text.encode())
  read = sources.read_examples(tmp_path / name, "queries")
  assert read.rejected == ()
  assert [e.query for e in read.examples] == ["Go there.", "[Come] back."]
  assert len({e.id for e in read.examples}) == 2
  assert all(e.provenance["labelled"] is False for e in read.examples)
  assert all(e.provenance["source"] == "queries" for e in read.examples)


def test_what_is_no_query_is_a_bad_row(tmp_path):
  path = tmp_path / "list.jsonl"
  path.write_text('"Go."\n3\n{"q": "Go."}\n" "\nGo.\n')
  read = sources.read_examples(path, "queries")
  assert [e.query for e in read.examples] == ["Go."]
  assert [(bad.line, bad.reason) for bad in read.rejected] == [
    (2, "not an object"),
    (3, "no query"),
    (4, "no query"),
    (5, "not JSON"),
  ]
