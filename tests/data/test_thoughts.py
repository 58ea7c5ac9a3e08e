"""Chat templates whose generation prompt opens a thought."""

import dataclasses

import pytest

from tooldev_jax import errors
from tooldev_jax.config import TURNS, EncodeConfig
from tooldev_jax.data import encoding, thoughts, tokenizer, views
from tooldev_jax.toolcall.vocabulary import Call, Message, Tool

_TOOL = Tool("f", "Does it.")
_CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
_TALK = (
  Message("user", "Go."),
  Message("assistant", "", (Call("f", {}),)),
  Message("tool", "3", name="f"),
  Message("assistant", "It is 3."),
  Message("user", "Once more."),
)

# Finished answers without their thought, as R1's; or with an empty one after
# the last query, as Qwen3-Thinking's.
_R1 = """
{%- for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant
{{ m.content.split('END')[-1] }}<|im_end|>
{% else %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
BEGIN
{% endif %}"""
_QWEN = _R1.replace(
  "{{ m.content.split('END')[-1] }}",
  "{% if loop.last %}BEGIN\n\nEND\n\n{% endif %}{{ m.content }}",
)
_MARKS = [
  ("<think>", "</think>"),
  ("<reasoning>", "</reasoning>"),
  ("[THINK]", "[/THINK]"),
  ("<|begin_of_thought|>", "<|end_of_thought|>"),
  ("<|START_THINKING|>", "<|END_THINKING|>"),
  ("<inner_voice>", "</inner_voice>"),  # No name that says what it is.
]


def _load(tmp_path, checkpoints, template):
  for path in checkpoints["qwen25"].iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  (tmp_path / "chat_template.jinja").write_text(template)
  return tokenizer.ChatTokenizer.load(tmp_path)


def _view(messages):
  return views.View("invocation", "x", messages, (_TOOL,), _CALL)


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("template", [_R1, _QWEN])
@pytest.mark.parametrize(("begin", "end"), _MARKS)
def test_calls_are_trained_and_asked_for_behind_the_thought(
  tmp_path, checkpoints, template, begin, end, turns
):
  text = template.replace("BEGIN", begin).replace("END", end)
  chat = _load(tmp_path, checkpoints, text)
  options = EncodeConfig(prompt_style="toolace", turns=turns)
  encoder = encoding.Encoder(chat, "hermes", options)
  view = _view(_TALK)
  found = encoder.encode_all([view]).encoded
  assert len(found) == {"last": 1, "with_calls": 2, "all": 3}[turns]
  for sequence in found:
    first = int(sequence.trained.argmax())
    prompt = chat.decode_exact(sequence.tokens[:first])
    assert prompt.endswith(f"<|im_start|>assistant\n{begin}\n\n{end}\n\n")
    assert prompt.rindex(end) > prompt.rindex(begin)
  asked = encoder.prompt_ids(view)
  assert found[-1].tokens[: len(asked)].tolist() == asked
  assert found[-1].trained[len(asked) :].all()


def test_a_thought_may_be_opened_only_where_tools_are_offered(
  tmp_path, checkpoints
):
  shown = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
  opened = "{% if tools %}<think>\n{% endif %}{% endif %}"
  text = shown + _R1.replace("END", "</think>").replace(
    "BEGIN\n{% endif %}", opened
  )
  encoder = encoding.Encoder(_load(tmp_path, checkpoints, text), "hermes")
  view = _view(_TALK[:1])
  bare = dataclasses.replace(view, tools=())
  ends = [
    encoder.tokenizer.decode_exact(encoder.prompt_ids(x))[-20:]
    for x in (view, bare)
  ]
  assert ends[0].endswith("<think>\n\n</think>\n\n")
  assert ends[1].endswith("assistant\n")


@pytest.mark.parametrize("begin", ["<think>", "<|thought_start|>", "[REASON]"])
def test_a_thought_that_nothing_ends_is_refused(tmp_path, checkpoints, begin):
  text = _R1.replace("BEGIN", begin).replace(".split('END')[-1]", "")
  with pytest.raises(errors.UserError, match="opens a thought"):
    _load(tmp_path, checkpoints, text)


@pytest.mark.parametrize(
  ("tail", "head"),
  [
    ("<|im_start|>assistant\n", "<|im_start|>assistant\n"),
    ("<start_of_turn>model\n", "<start_of_turn>model\n"),
    ("[/INST]", "[/INST] "),
    (
      "<|start_header_id|>assistant<|end_header_id|>\n\n",
      "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
      "<|im_start|>assistant\n<think>\n\n</think>\n\n",
      "<|im_start|>assistant\n",
    ),
    ("<｜Assistant｜></think>", "<｜Assistant｜></think>"),
    ("<|start|>assistant", "<|start|>assistant<|channel|>final<|message|>"),
  ],
)
def test_the_head_of_a_turn_is_no_open_thought(tail, head):
  known = "<think></think><|im_end|><end_of_turn><|end|>"
  assert thoughts.thought_end(tail, head, known) == ""
