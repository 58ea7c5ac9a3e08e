import copy
import dataclasses
import json

import hypothesis
import numpy as np
import pytest
import tokenizers

from tests.data import families, test_tokenizer
from tooldev_jax import errors
from tooldev_jax.config import TURNS, EncodeConfig, ViewConfig
from tooldev_jax.data import encoding, tokenizer, views
from tooldev_jax.toolcall import formats
from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool


def _tool(name, parameter="city"):
  schema = {"type": "string", "description": "Which one."}
  return Tool(
    name,
    f"Does {name}.",
    {
      "type": "object",
      "properties": {parameter: schema},
      "required": [parameter],
    },
  )


_TOOLS = tuple(_tool(f"get_{x}") for x in ("weather", "news", "map", "time"))
_CALLS = (
  Call("get_weather", {"city": "Paris"}),
  Call("get_news", {"city": "Rome"}),
)
_EXAMPLE = Example(
  "e1", (Message("user", "Weather in Paris, news in Rome?"),), _TOOLS, _CALLS
)
_TALK = Example(
  "e2",
  (
    Message("user", "Weather in Paris?"),
    Message("assistant", "", _CALLS[:1]),
    Message("tool", '{"sky": "blue"}', name="get_weather"),
    Message("assistant", "<think>Blue.</think>It is blue."),
    Message("user", "News in Rome?"),
  ),
  _TOOLS,
  _CALLS[1:],
)


def _encoder(chat, family, **options):
  # Gemma's template knows no tools; the others take either style.
  if not chat.template.traits.tools:
    options.setdefault("prompt_style", "toolace")
  call_format = families.FAMILIES[family].call_format
  return encoding.Encoder(chat, call_format, EncodeConfig(**options))


def _view(example, encoder, kind="invocation"):
  options = ViewConfig(call_format=encoder.call_format)
  return views.make_view(example, kind, 0, options)


def _text(chat, ids):
  return chat._hf.backend_tokenizer.decode(
    [int(i) for i in ids], skip_special_tokens=False
  )


def _trained_runs(sequence):
  """Token ids of each unbroken run of trained tokens."""
  edges = np.flatnonzero(np.diff(sequence.trained.astype(int), prepend=0))
  runs = np.split(sequence.tokens, edges)
  return [run for run, at in zip(runs[1:], edges, strict=True)
          if sequence.trained[at]]  # fmt: skip


@pytest.mark.parametrize("kind", views.KINDS)
def test_stream_is_prompt_then_target_then_stop(chat, family, kind):
  encoder = _encoder(chat, family)
  view = _view(_EXAMPLE, encoder, kind)
  sequence = families.encode(encoder, view)
  prompt = encoder.prompt_ids(view)
  assert sequence.tokens[: len(prompt)].tolist() == prompt
  assert not sequence.trained[: len(prompt)].any()
  assert sequence.trained[len(prompt) :].all()
  assert sequence.tokens[-1] == chat.turn_end_id
  assert chat.decode(sequence.tokens[len(prompt) :]).strip() == view.target


def test_sampled_target_parses_to_the_gold_calls(chat, family):
  encoder = _encoder(chat, family)
  sequence = families.encode(encoder, _view(_EXAMPLE, encoder))
  text = chat.decode(sequence.tokens[sequence.trained])
  assert formats.get_format(encoder.call_format).parse(text).calls == _CALLS


@pytest.mark.parametrize(
  ("name", "marks"),
  [
    ("qwen25", ["<tool_call>", "</tool_call>"] * 2),
    ("mistral", ["[TOOL_CALLS]"]),
  ],
)
def test_a_formats_own_marks_are_the_checkpoints_tokens(
  chat_tokenizers, name, marks
):
  chat = chat_tokenizers[name]
  hostile = Call("get_weather", {"city": f'a "{marks[0]}" {marks[-1]}</s>'})
  for calls in (_CALLS, (hostile, hostile)):
    encoder = _encoder(chat, name)
    view = _view(dataclasses.replace(_EXAMPLE, calls=calls), encoder)
    sequence = families.encode(encoder, view)
    controls = set(chat.control.ids.values())
    found = [i for i in sequence.tokens[sequence.trained] if i in controls]
    expected = [chat.control.ids[mark] for mark in marks]
    assert found == [*expected, chat.turn_end_id]
    text = chat.decode(sequence.tokens[sequence.trained])
    read = formats.get_format(encoder.call_format).parse(text)
    assert read.calls == calls


def test_answers_without_calls_hold_no_marks(chat_tokenizers):
  chat = chat_tokenizers["mistral"]
  encoder = _encoder(chat, "mistral")
  view = dataclasses.replace(
    _view(_EXAMPLE, encoder), target="I would write [TOOL_CALLS], but no."
  )
  sequence = families.encode(encoder, view)
  mark = chat.control.ids["[TOOL_CALLS]"]
  assert mark not in sequence.tokens[sequence.trained]


@pytest.mark.parametrize("turns", TURNS)
def test_dialogues_train_the_chosen_turns(chat, family, turns):
  encoder = _encoder(chat, family, turns=turns)
  found = encoder.encode_all([_view(_TALK, encoder)])
  assert not found.dropped
  runs = [run for s in found.encoded for run in _trained_runs(s)]
  render = formats.get_format(encoder.call_format).render
  first, last = render(_CALLS[:1]), render(_CALLS[1:])
  expected = {
    "last": [last],
    "all": [first, "It is blue.", last],
    "with_calls": [first, last],
  }[turns]
  assert [chat.decode(run).strip() for run in runs] == expected
  assert all(run[-1] == chat.turn_end_id for run in runs)


@pytest.mark.parametrize(
  ("name", "sequences"),
  [("llama31", 1), ("qwen25", 1), ("qwen3", 3), ("mistral", 3), ("gemma", 1)],
)
def test_each_trained_turn_stands_where_it_would_be_sampled(
  chat_tokenizers, name, sequences
):
  chat = chat_tokenizers[name]
  encoder = _encoder(chat, name, turns="all")
  view = _view(_TALK, encoder)
  found = encoder.encode_all([view]).encoded
  assert len(found) == sequences
  contexts = []
  for sequence in found:
    starts = np.flatnonzero(np.diff(sequence.trained.astype(int)) == 1) + 1
    contexts += [sequence.tokens[:start].tolist() for start in starts]
  asked = [
    encoder.prompt_ids(dataclasses.replace(view, messages=view.messages[:i]))
    for i in (1, 3, 5)
  ]
  assert contexts == asked


def test_tool_results_are_never_trained(chat, family):
  encoder = _encoder(chat, family, turns="all")
  for sequence in encoder.encode_all([_view(_TALK, encoder)]).encoded:
    assert "sky" not in _text(chat, sequence.tokens[sequence.trained])
  assert "sky" in _text(chat, sequence.tokens)


def test_thoughts_are_stripped_unless_asked_for(chat_tokenizers):
  chat = chat_tokenizers["llama31"]
  example = dataclasses.replace(
    _TALK, calls=(), answer="<think>Hm.</think>\nNo tool fits."
  )
  for strip in (True, False):
    encoder = _encoder(chat, "llama31", turns="all", strip_thoughts=strip)
    sequence = families.encode(encoder, _view(example, encoder))
    text = _text(chat, sequence.tokens)
    assert ("Hm." in text, "Blue." in text) == (not strip, not strip)
    assert "No tool fits." in text and "It is blue." in text


@pytest.mark.parametrize(
  ("answer", "kept"),
  [
    ("No, Rome first.\n</think>\n\nNo tool fits.", "No tool fits."),
    ("Hm. </think>\nNo tool fits.", "No tool fits."),
    ('Say "</think>" twice.', 'Say "</think>" twice.'),
  ],
)
def test_a_turn_that_begins_within_a_thought_loses_it(
  chat_tokenizers, answer, kept
):
  """As where the prompt opened it, and only the turn was kept."""
  chat = chat_tokenizers["llama31"]
  encoder = _encoder(chat, "llama31")
  view = dataclasses.replace(_view(_EXAMPLE, encoder), target=answer)
  sequence = families.encode(encoder, view)
  assert chat.decode(sequence.tokens[sequence.trained]).strip() == kept


def test_thoughts_in_arguments_and_documents_are_text(chat, family):
  encoder = _encoder(chat, family)
  calls = (Call("get_weather", {"city": "<think>a</think> or <think>"}),)
  example = dataclasses.replace(
    _EXAMPLE, calls=calls, tools=(_tool("get_weather", "<think>x</think>"),)
  )
  for kind in views.KINDS:
    view = _view(example, encoder, kind)
    sequence = families.encode(encoder, view)
    assert chat.decode(sequence.tokens[sequence.trained]).strip() == view.target


def test_an_unfinished_thought_leaves_no_target(chat_tokenizers):
  encoder = _encoder(chat_tokenizers["llama31"], "llama31")
  view = dataclasses.replace(_view(_EXAMPLE, encoder), target="<think>Hm")
  assert encoder.encode_all([view]).dropped == {encoding.EMPTY_TARGET: 1}


def test_distractors_go_first_and_documents_are_never_cut(chat, family):
  full = _encoder(chat, family)
  view = _view(_EXAMPLE, full)
  whole = families.encode(full, view)
  bare = families.encode(
    full,
    dataclasses.replace(
      view, tools=tuple(t for t in view.tools if t.name in view.needed)
    ),
  )
  for limit in range(len(bare.tokens), len(whole.tokens) + 1, 7):
    encoder = _encoder(chat, family, max_length=limit)
    sequence = families.encode(encoder, view)
    assert len(sequence.tokens) <= limit
    text = _text(chat, sequence.tokens)
    shown = [t for t in view.tools if f'"{t.name}"' in text]
    assert {t.name for t in shown} >= set(view.needed)
    assert len(shown) == len(view.tools) - sequence.dropped_tools
    assert text.count("Does get_") == len(shown)
    # Kept distractors are the first offered ones.
    spare = [t for t in view.tools if t.name not in view.needed]
    kept = [t for t in spare if t in shown]
    assert kept == spare[: len(kept)]
  too_short = _encoder(chat, family, max_length=len(bare.tokens) - 1)
  found = too_short.encode_all([view, view])
  assert found.encoded == ()
  assert found.dropped == {encoding.TOO_LONG: 2}
  assert found.dropped_ids == {encoding.TOO_LONG: ("e1", "e1")}


def test_shortening_keeps_as_many_distractors_as_fit(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  view = _view(_EXAMPLE, _encoder(chat, "qwen25"))
  lengths = []
  for count in range(3):
    spare = [t for t in view.tools if t.name not in view.needed][:count]
    tools = tuple(t for t in view.tools if t.name in view.needed or t in spare)
    sequence = families.encode(
      _encoder(chat, "qwen25"), dataclasses.replace(view, tools=tools)
    )
    lengths.append(len(sequence.tokens))
  for count, limit in enumerate(lengths):
    sequence = families.encode(_encoder(chat, "qwen25", max_length=limit), view)
    assert sequence.dropped_tools == 2 - count


def test_many_views_encode_as_one(chat, family):
  encoder = _encoder(chat, family, turns="all")
  batch = [
    _view(example, encoder, kind)
    for example in (_EXAMPLE, _TALK)
    for kind in views.KINDS
  ]
  together = encoder.encode_all(batch).encoded
  alone = [s for view in batch for s in encoder.encode_all([view]).encoded]
  assert len(together) == len(alone)
  for a, b in zip(together, alone, strict=True):
    np.testing.assert_array_equal(a.tokens, b.tokens)
    np.testing.assert_array_equal(a.trained, b.trained)


@pytest.mark.parametrize("name", ["qwen25", "mistral", "llama31", "gemma"])
@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(text=test_tokenizer._HOSTILE)
def test_hostile_values_train_no_control_tokens(chat_tokenizers, name, text):
  chat = chat_tokenizers[name]
  encoder = _encoder(chat, name)

  def controls(value):
    calls = (Call("get_weather", {"city": value}),)
    example = Example("e", (Message("user", value),), _TOOLS, calls)
    sequence = families.encode(encoder, _view(example, encoder))
    ids = set(chat.control.ids.values()) - {chat._hf.unk_token_id}
    return [int(i) for i in sequence.tokens if int(i) in ids]

  assert controls(text) == controls("x")


def test_toolace_style_writes_tools_into_the_system_text(chat, family):
  encoder = _encoder(chat, family, prompt_style="toolace")
  view = _view(_EXAMPLE, encoder)
  text = _text(chat, encoder.prompt_ids(view))
  listed = ",".join(tool.dumps() for tool in view.tools)
  assert f"[{listed}]" in text


def test_templates_without_tools_are_refused_early(chat_tokenizers):
  with pytest.raises(errors.UserError, match='prompt_style = "toolace"'):
    encoding.Encoder(chat_tokenizers["gemma"], "pythonic")


@pytest.mark.parametrize(
  "options", [{"prompt_style": "x"}, {"turns": "x"}, {"max_length": 1}]
)
def test_wrong_options_are_named(options):
  with pytest.raises(errors.UserError, match=next(iter(options))):
    EncodeConfig(**options)


def test_weight_travels_with_the_stream(chat_tokenizers):
  encoder = _encoder(chat_tokenizers["llama31"], "llama31")
  example = dataclasses.replace(_EXAMPLE, provenance={"weight": 0.25})
  assert families.encode(encoder, _view(example, encoder)).weight == 0.25


def test_a_target_whose_characters_the_tokenizer_drops_is_counted(
  chat_tokenizers,
):
  # Unigram models without bytes know what they were trained on.
  chat = chat_tokenizers["unigram"]
  hf = chat._hf
  spec = json.loads(hf.backend_tokenizer.to_str())
  spec["normalizer"] = {
    "type": "Replace", "pattern": {"String": "\u2603"}, "content": ""
  }  # fmt: skip
  dropping = copy.deepcopy(hf)
  dropping._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(spec))
  encoder = encoding.Encoder(
    tokenizer.ChatTokenizer(dropping, "dropping"),
    options=EncodeConfig(prompt_style="toolace"),
  )
  hello = Message("user", "Hello.")
  made = [
    views.View("invocation", name, (hello,), (), text)
    for name, text in (("gone", "\u2603"), ("here", "a\u2603b"))
  ]
  found = encoder.encode_all(made)
  assert [sequence.example_id for sequence in found.encoded] == ["here"]
  assert found.dropped_ids == {encoding.EMPTY_TARGET: ("gone",)}


def test_a_greeting_before_the_query_is_not_trained(chat_tokenizers):
  chat = chat_tokenizers["qwen25"]
  options = EncodeConfig(prompt_style="toolace", turns="all")
  messages = (Message("assistant", "Welcome."), Message("user", "Hello."))
  view = views.View("invocation", "e", messages, (), "Good day.")
  (sequence,) = (
    encoding.Encoder(chat, options=options).encode_all([view]).encoded
  )
  assert "Welcome." in chat.decode_exact(sequence.tokens)
  assert chat.decode(sequence.tokens[sequence.trained]) == "Good day."
