"""Makes a small base from nothing: tokenizer, weights, Hugging Face folder.

Real runs start from an instruct checkpoint. The quickstart and the tests need
one too, small enough to ship, so this project makes its own with the same
encoder, loader and training step, all parameters trained.
"""

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from etils import epath

from tooldev_jax import io
from tooldev_jax.config import EncodeConfig, MeshConfig, TrainConfig, ViewConfig
from tooldev_jax.data.encoding import Encoded, Encoder
from tooldev_jax.data.loader import LoaderConfig, TrainData
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.data.tokenizer_files import copy_tokenizer_files
from tooldev_jax.data.views import KINDS, View, make_view
from tooldev_jax.errors import UserError
from tooldev_jax.models import checkpoint
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.parameters import init_params
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.toolcall.vocabulary import Message
from tooldev_jax.toy import tokenizer as toy_tokenizer
from tooldev_jax.toy import world
from tooldev_jax.toy.parameters import PLAIN
from tooldev_jax.train.loop import fit

_TOKENIZER_FILES = (
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
)


@dataclasses.dataclass(frozen=True)
class Phase:
  """One stretch of training, with a schedule of its own.

  Attributes:
    examples: views drawn; each is seen once.
    copying: share of views that only repeat words: the skill that calls need
      most and that is learned last without them.
    views: shares of adaption, generation and invocation among the others.
    documents: share of tokens before the first query that are trained too,
      as pretraining does.
    queries: the same of the tokens from there on. Words recur within prompts,
      and learning to expect that comes before copying into calls.
    plain: first lessons: values of one token, told right after their label.
    mix: which cases, with how many tools.
    row_length: tokens a row; longer views are dropped and counted.
    batch_examples: views a step.
    train: optimisation.
  """

  examples: int
  copying: float
  views: tuple[float, float, float]
  documents: float
  queries: float
  plain: bool
  mix: world.Mix
  row_length: int
  batch_examples: int
  train: TrainConfig


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
  """The base to make.

  Attributes:
    tokenizer: folder that has one; a new one is trained if empty.
    vocab_size: of a new tokenizer, at most.
    model: fields of config.json but for the vocabulary.
    invented: share of tools made of random words.
    phases: run in order.
    seed: of everything.
    dtype: of the weights in the folder.
  """

  tokenizer: str
  vocab_size: int
  model: Mapping[str, Any]
  invented: float
  phases: tuple[Phase, ...]
  seed: int = 0
  dtype: str = "bfloat16"


def make_base(config: PretrainConfig, workdir: epath.Path) -> epath.Path:
  """Trains the base and writes it to `<workdir>/base`; resumes if killed.

  Returns:
    The Hugging Face folder.
  """
  folder = workdir / "base"
  if (folder / "config.json").exists():
    logging.info("%s is complete; nothing to do.", folder)
    return folder
  tokenizer_folder = epath.Path(config.tokenizer or workdir / "tokenizer")
  # Looked for before hours of training: the base is to have them all.
  missing = [x for x in _TOKENIZER_FILES if not (tokenizer_folder / x).exists()]
  if missing:
    if config.tokenizer:
      raise UserError(
        f"tokenizer={config.tokenizer!r}: there is no {missing[0]}; leave"
        " the field empty to have one trained."
      )
    trained = toy_tokenizer.train_tokenizer(config.vocab_size)
    trained.save_pretrained(tokenizer_folder)
  tokenizer = ChatTokenizer.load(tokenizer_folder)
  model = decoder_config(config, tokenizer)
  mesh = make_mesh(MeshConfig())
  params = init_params(model, jax.random.key(config.seed))
  for index, phase in enumerate(config.phases):
    data = phase_data(config, phase, index, tokenizer)
    logging.info(
      "phase %d: %s", index, json.dumps(dataclasses.asdict(data.report))
    )
    result = fit(
      base=checkpoint.Loaded(model, None, f"phase {index}", folder),
      lora=None,
      initial=params,
      data=data,
      config=phase.train,
      mesh=mesh,
      workdir=workdir,
      name=f"phase_{index}",
    )
    params = result.trained
  dtype = jnp.dtype(config.dtype)
  params = jax.tree.map(lambda x: x.astype(dtype), params)
  model = model.with_stop_tokens(tokenizer.stop_token_ids, tokenizer.pad_id)
  return _write_folder(folder, tokenizer_folder, model, params)


def decoder_config(
  config: PretrainConfig, tokenizer: ChatTokenizer
) -> DecoderConfig:
  """The model's shape, with the vocabulary that the tokenizer has."""
  # A multiple of 64 keeps the head's matrix products aligned.
  vocab = 64 * -(-tokenizer.vocab_size // 64)
  return DecoderConfig.from_hf({**config.model, "vocab_size": vocab})


def phase_data(
  config: PretrainConfig, phase: Phase, index: int, tokenizer: ChatTokenizer
) -> TrainData:
  """The phase's views, encoded and packed."""
  source = world.EndlessWorld(invented=config.invented, plain=phase.plain)
  split = PLAIN if phase.plain else "base"
  rng = random.Random(f"{config.seed} {index}")
  words = toy_tokenizer.practice_words()
  options = ViewConfig(max_distractors=0)
  views = []
  for k in range(phase.examples):
    if rng.random() < phase.copying:
      views.append(_copying(words, k, rng))
      continue
    kind = rng.choices(KINDS, phase.views)[0]
    example = world.draw_example(source, split, f"{index}-{k}", rng, phase.mix)
    view = make_view(example, kind, config.seed, options)
    if view is not None:
      views.append(view)
  encoder = Encoder(
    tokenizer,
    "pythonic",
    EncodeConfig(max_length=phase.row_length, turns="all"),
  )
  encoded = encoder.encode_all(views)
  if encoded.dropped:
    logging.info("phase %d: dropped %s", index, dict(encoded.dropped))
  sequences = encoded.encoded
  if phase.documents or phase.queries:
    sequences = tuple(
      _train_on_prompt(sequence, phase, rng) for sequence in sequences
    )
  loader = LoaderConfig(
    row_length=phase.row_length,
    batch_examples=phase.batch_examples,
    seed=config.seed,
  )
  return TrainData(sequences, loader, tokenizer.pad_id)


def _train_on_prompt(
  sequence: Encoded, phase: Phase, rng: random.Random
) -> Encoded:
  """The same sequence with a random share of the prompt trained as well."""
  first = int(np.argmax(sequence.tokens == toy_tokenizer.USER_ID))
  shares = [phase.documents] * first
  shares += [phase.queries] * (len(sequence.tokens) - first)
  chosen = [rng.random() < share for share in shares]
  trained = sequence.trained | np.asarray(chosen)
  trained[0] = False
  return dataclasses.replace(sequence, trained=trained)


def _copying(words: Sequence[str], k: int, rng: random.Random) -> View:
  """Say it again: words and numbers, often from the same few."""
  pool = rng.sample(words, rng.randint(3, 12))
  text = " ".join(
    rng.choice(pool) if rng.random() < 0.8 else str(rng.randint(0, 99))
    for _ in range(rng.randint(4, 20))
  )
  return View("copying", f"copy-{k}", (Message("user", text),), (), text)


def _write_folder(
  folder: epath.Path,
  tokenizer_folder: epath.Path,
  model: DecoderConfig,
  params: Any,
) -> epath.Path:
  copy_tokenizer_files(tokenizer_folder, folder)
  io.write_text(folder / "README.md", _card(params))
  checkpoint.save_model(params, model, folder)
  return folder


def _card(params: Any) -> str:
  """The model card."""
  size = sum(leaf.size for leaf in jax.tree.leaves(params))
  return f"""---
license: apache-2.0
language: en
tags: [tool-use, toy]
---

# Tiny base of tooldev_jax

A Llama of {size:,} parameters, trained from nothing by
`python -m launch.make_base --config=configs/tiny_base.py` on documents,
queries and calls of an invented world. It knows a few hundred English words
and one task, calling tools, which it does badly: it exists so that the
quickstart and the tests have something to adapt. Use it for nothing else.

Its world shares no domain and no tool with the quickstart's.
"""
