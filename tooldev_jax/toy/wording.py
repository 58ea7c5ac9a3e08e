"""How people phrase a request; every split has wordings of its own.

In frames, `{request}` is "book a table in Rome", `{thing}` is "a table in
Rome".
"""

import random
from collections.abc import Sequence

from tooldev_jax.toy import lexicon, tables

# How the first lessons of a base talk, beside the splits: see `world`.
PLAIN = "plain"

SPLITS = ("base", "train", "evolve", "dev", "test")

# Name of a table -> split -> wordings.
#   frames: whole requests; questions and wishes: for verbs in lexicon.ASKING
#     and lexicon.WANTING.
#   phrases, facts: ways to name a parameter by its label.
#   joiners: between the parts of a request that needs several calls; a new
#     sentence begins after a stop.
#   again: another call of the same tool, without naming it again.
#   asides: sentences beside the point. small_talk: queries no tool is for.
TABLES: dict[str, dict[str, tuple[str, ...]]] = {}
for _table, _split, _cell in tables.rows("wordings", 3):
  TABLES.setdefault(_table, {})[_split] = tables.parts(_cell, "|")

# Asks for the request behind some calls: see `base.request_view`.
WRITE_REQUEST = "Write the request that these calls answer: {calls}"


def sentence(text: str, proper: bool) -> str:
  """With a stop, and a capital where people write properly."""
  text = text.strip()
  if text[-1] not in "?.!":
    text += "."
  if proper:
    return text[0].upper() + text[1:]
  return text.replace("I'", "i'").replace("I ", "i ")


def small_talk(split: str, rng: random.Random) -> str:
  """A query that no tool helps with."""
  text = rng.choice(TABLES["small_talk"][split])
  for name, words in lexicon.WORDS.items():
    while f"{{{name}}}" in text:
      text = text.replace(f"{{{name}}}", rng.choice(words), 1)
  return sentence(text, rng.random() < 0.7)


def noun(
  thing: str, before: Sequence[str], articles: Sequence[str], rng: random.Random
) -> str:
  """'a red table': article, what is said before the noun, and the noun."""
  words = " ".join([*before, thing])
  article = rng.choice(articles)
  if article == "a" and words[0] in "aeiou":
    article = "an"
  return f"{article} {words}"


def request(
  clauses: Sequence[str],
  frame: str,
  facts: Sequence[str],
  split: str,
  rng: random.Random,
) -> str:
  """The whole query.

  Args:
    clauses: what is asked for, one a call (or several).
    frame: a pattern of frames, questions or wishes, for the first clause.
    facts: sentences that belong to the clauses.
    split: whose wordings are taken.
    rng: chooses.
  """
  text = clauses[0]
  for further in clauses[1:]:
    joiner = rng.choice(TABLES["joiners"][split])
    space = "" if joiner[0] in ",;." else " "
    text += f"{space}{joiner} {further}"
  # The frame is around the first sentence.
  head, *rest = text.split(". ")
  parts = [frame.replace("{request}", head).replace("{thing}", head), *rest]
  parts = [*facts, *parts] if rng.random() < 0.25 else [*parts, *facts]
  if split != PLAIN and rng.random() < 0.1:
    aside = rng.choice(TABLES["asides"][split])
    parts = [aside, *parts] if rng.random() < 0.5 else [*parts, aside]
  proper = rng.random() < 0.7
  text = " ".join(sentence(part, proper) for part in parts)
  return text if proper or text[-1] != "." or rng.random() < 0.5 else text[:-1]
