"""Broken copies of rows, chat templates and tokenizer files.

Each is read, or refused in words; what is read can be trained on.
"""

import json
import pathlib
import shutil

import pytest

from tests.toolcall import mutations
from tooldev_jax import errors
from tooldev_jax.config import EncodeConfig, ViewConfig
from tooldev_jax.data import encoding, prepare, sources, tokenizer, views
from tooldev_jax.toolcall.vocabulary import Message

_SEEDS = range(200)
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
_TOOLS = [
  {
    "name": "Rates (EUR/USD), daily",
    "description": "R.",
    "parameters": _SCHEMA,
  },
  {"name": "news", "description": "News.", "parameters": _SCHEMA},
]
_PADDED = [
  {"type": "function", "function": {
    "name": name, "description": None, "strict": None,
    "parameters": {"type": "object", "required": None,
                   "properties": {"city": city, "day": day}}}}
  for name, city, day in (
    ("rain", {"type": "string", "enum": None}, None),
    ("pay", None, {"type": ["integer", "null"], "default": None}),
  )
]  # fmt: skip

# Kind of source to a good row.
_ROWS = {
  "toolace": {
    "system": f"Today is 2026-03-01. {json.dumps(_TOOLS)}",
    "conversations": [
      {"from": "user", "value": "Rates in Oslo?"},
      {"from": "assistant", "value":
       '[Rates (EUR/USD), daily(city="Oslo"), news(city="Oslo")]'},
      {"from": "tool", "value": "[1.1]"},
      {"from": "assistant", "value": "About 1.1 [see (news)]."},
    ],
  },
  "hermes": {
    "conversations": [
      {"from": "system", "value": "You live in Bergen. <tools>"
       f"{json.dumps(_TOOLS[1])}</tools> Profile: {{\"name\": \"Ann\"}}."},
      {"from": "human", "value": "News?", "weight": None},
      {"from": "gpt", "value": 'Well. <tool_call>{"name": "news", '
       '"arguments": {"city": "Bergen"}}</tool_call>', "weight": 1},
    ],
  },
  "glaive": {
    "system": "SYSTEM: You are a helpful assistant with access to the "
    f"following functions. Use them if required -\n{json.dumps(_TOOLS[1])}",
    "chat": "USER: News?\n\nASSISTANT: <functioncall> {\"name\": \"news\", "
    "\"arguments\": '{\"city\": \"Oslo\"}'} <|endoftext|>",
  },
  "openai": {
    "messages": [
      {"role": "system", "content": "Be brief.", "tool_calls": None},
      {"role": "user", "content": "Rain?", "weight": None},
      {"role": "assistant", "content": "Where?", "weight": 0},
      {"role": "user", "content": [{"type": "text", "text": "Oslo."}]},
      {"role": "assistant", "content": None, "train": True, "tool_calls": [
        {"id": "a", "function": {"name": "rain", "arguments":
                                 {"city": "Oslo", "day": None}}},
        {"id": None, "function": {"name": "pay", "arguments":
                                  '{"day": null}'}}]},
    ],
    "tools": _PADDED,
  },
  "xlam": {
    "id": 7,
    "query": "Rain?",
    "answers": [{"name": "rain", "arguments": {"city": "Oslo", "day": None}}],
    "tools": [{"name": "rain", "description": "R.", "parameters": {
      "city": {"type": "str, optional", "default": ""}, "day": None}}],
  },
  "records": {
    "id": "a",
    "messages": [
      {"role": "user", "content": "Rain?", "calls": None},
      {"role": "assistant", "content": "Where?", "trained": False},
      {"role": "user", "content": "Oslo."},
    ],
    "tools": [tool["function"] for tool in _PADDED],
    "calls": [{"name": "rain", "arguments": {"city": "Oslo", "day": None}}],
    "answer": None,
    "provenance": {"weight": 0.5},
  },
  "toolrl": {
    "instruction": "Today is Monday.\n\n**Available Tools**\nUse these tools:\n"
    "1. Name: rain\nDescription: Rain.\nParameters: {\"city\": {\"type\": "
    "\"str\"}}\n\n**Steps for Each Turn**\n1. Think.",
    "input": "<user> Rain? </user>",
    "output": "<think> Hm. </think>\n<tool_call>\n{\"name\": \"rain\", "
    "\"parameters\": {\"city\": null}}\n</tool_call>",
  },
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(_ROWS))
def test_broken_rows_are_read_or_refused_and_can_be_trained(
  tmp_path, chat_tokenizers, kind
):
  encode = EncodeConfig(prompt_style="toolace", turns="all")
  encoder = encoding.Encoder(chat_tokenizers["qwen25"], "hermes", encode)
  settings = prepare.PrepareConfig(
    views.KINDS, view=ViewConfig(call_format="hermes", mask_names=0.5)
  )
  row = json.dumps(_ROWS[kind])
  path = tmp_path / "rows.jsonl"
  path.write_text(row)
  assert sources.read_examples(path, kind).rejected == ()
  read, refused = [], 0
  for seed in _SEEDS:
    path.write_text(mutations.mutated(row, "jsonl", seed))
    found = sources.read_examples(path, kind)
    refused += len(found.rejected)
    assert all(bad.reason and bad.line >= 1 for bad in found.rejected)
    read += found.examples
  assert len(read) > 10 and refused > 10
  prepare.prepare(read, encoder, settings)


_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_THINKING = """
{%- for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant
{{ m.content.split('</think>')[-1] }}<|im_end|>
{% else %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""


@pytest.mark.parametrize("name", ["thinking", "qwen3"])
def test_broken_templates_are_refused_or_end_the_thought(
  tmp_path, checkpoints, name
):
  text = _THINKING
  if name != "thinking":
    text = (_TEMPLATES / f"{name}.jinja").read_text()
  shutil.copytree(checkpoints["qwen3"], tmp_path / "base")
  view = views.View("invocation", "a", (Message("user", "Go."),), (), "Done.")
  loaded = 0
  for seed in _SEEDS:
    file = tmp_path / "base" / "chat_template.jinja"
    file.write_text(mutations.mutated(text, "template", seed), newline="")
    try:
      chat = tokenizer.ChatTokenizer.load(tmp_path / "base")
      options = EncodeConfig(prompt_style="toolace")
      encoder = encoding.Encoder(chat, "hermes", options)
    except errors.UserError as told:
      assert "\n" not in str(told)
      continue
    loaded += 1
    for sequence in encoder.encode_all([view]).encoded:
      prompt = chat.decode_exact(sequence.tokens[~sequence.trained])
      opened = prompt.rpartition("<|im_start|>assistant")[2]
      assert opened.count("<think>") <= opened.count("</think>")
  assert loaded > 10


@pytest.mark.parametrize(
  "file", ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]
)
def test_broken_files_of_a_tokenizer_are_told_in_one_sentence(
  tmp_path, checkpoints, file
):
  shutil.copytree(checkpoints["qwen25"], tmp_path / "base")
  path = tmp_path / "base" / file
  text, refused = path.read_text(), 0
  for seed in _SEEDS:
    path.write_text(mutations.mutated(text, "json", seed))
    try:
      chat = tokenizer.ChatTokenizer.load(tmp_path / "base")
      chat.encode_pieces([tokenizer.Piece("plain", "Go.")])
    except errors.UserError as told:
      assert "\n" not in str(told)
      refused += 1
  assert refused > 10
