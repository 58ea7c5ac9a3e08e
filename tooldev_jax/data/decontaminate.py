"""Keeps evaluation questions out of training data, with a report.

A training example is contaminated by an evaluation set when

  tool name    it calls or offers a tool whose name an evaluation entry has
               too, whatever its case and signs (`Hotels_2_BookHouse` is
               `hotels2-bookhouse`);
  exact query  one of its user turns is an evaluation query, after case,
               punctuation and blanks are taken away;
  near query   one of its user turns shares most of its word trigrams with an
               evaluation query (Jaccard at least the threshold).

Near queries are found exactly: an index lists for each trigram the evaluation
queries that hold it, and shared trigrams are counted over these lists.
"""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tooldev_jax.config import (
  EXACT_QUERY,
  NEAR_QUERY,
  REASONS,
  TOOL_NAME,
  DecontaminateConfig,
)
from tooldev_jax.toolcall import vocabulary

_NGRAM = 3  # words

# Each sign of a script without spaces counts as a word.
_SIGNS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SIGNS}]|[^\W{_SIGNS}]+")


@dataclasses.dataclass(frozen=True)
class Hit:
  """Why one example is contaminated.

  Attributes:
    example_id: of the training example.
    reason: one of `REASONS`.
    evaluation_id: of an evaluation entry that shows it.
    detail: the shared name, or the evaluation query.
  """

  example_id: str
  reason: str
  evaluation_id: str
  detail: str


@dataclasses.dataclass(frozen=True)
class Decontaminated:
  """The clean part of a set, and the report.

  Attributes:
    kept: examples without a reason to go.
    hits: one for each (example, reason) found.
    removed: number of examples taken out.
    evaluation_hit: reason to number of evaluation entries that the set as it
      was touches.
    evaluation_size: number of evaluation entries.
  """

  kept: tuple[vocabulary.Example, ...]
  hits: tuple[Hit, ...]
  removed: int
  evaluation_hit: Mapping[str, int]
  evaluation_size: int

  def report(self) -> dict[str, Any]:
    """Counts, and the most frequent shared names."""
    examples = collections.Counter(hit.reason for hit in self.hits)
    names = collections.Counter(
      hit.detail for hit in self.hits if hit.reason == TOOL_NAME
    )
    return {
      "kept": len(self.kept),
      "removed": self.removed,
      "examples_hit": {reason: examples[reason] for reason in REASONS},
      "evaluation_entries": self.evaluation_size,
      "evaluation_entries_hit": dict(self.evaluation_hit),
      "shared_names": dict(names.most_common(50)),
    }


def decontaminate(
  sets: Mapping[str, Sequence[vocabulary.Example]],
  evaluation: Sequence[vocabulary.Example],
  config: DecontaminateConfig | None = None,
) -> dict[str, Decontaminated]:
  """Takes out of training sets what an evaluation set has too.

  Args:
    sets: the training sets, by name.
    evaluation: examples of all evaluation sets together.
    config: see `DecontaminateConfig`.
  """
  config = config or DecontaminateConfig()
  index = _Index(evaluation, config)
  return {name: _cleaned(sets[name], index, config) for name in sets}


def _cleaned(
  examples: Sequence[vocabulary.Example],
  index: "_Index",
  config: DecontaminateConfig,
) -> Decontaminated:
  hits: list[Hit] = []
  kept: list[vocabulary.Example] = []
  touched: dict[str, set[int]] = {reason: set() for reason in REASONS}
  for example in examples:
    first: dict[str, Hit] = {}  # of each reason
    for reason, entries, detail in index.matches(example):
      touched[reason] |= entries
      shown = index.ids[min(entries)]
      first.setdefault(reason, Hit(example.id, reason, shown, detail))
    hits += first.values()
    if first.keys().isdisjoint(config.reasons):
      kept.append(example)
  return Decontaminated(
    kept=tuple(kept),
    hits=tuple(hits),
    removed=len(examples) - len(kept),
    evaluation_hit={reason: len(touched[reason]) for reason in REASONS},
    evaluation_size=len(index.ids),
  )


def normal_name(name: str) -> str:
  """A tool name as words: case, punctuation and camel case taken away."""
  split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
  return " ".join(re.findall(r"[^\W_]+", split.lower()))


def normal_text(text: str) -> str:
  """A query as lower-case words without punctuation."""
  folded = unicodedata.normalize("NFKC", text).casefold()
  return " ".join(_WORD.findall(folded))


class _Index:
  """The evaluation entries, by name, by text and by trigram.

  Attributes:
    ids: of the entries.
  """

  def __init__(
    self, evaluation: Sequence[vocabulary.Example], config: DecontaminateConfig
  ):
    self._config = config
    self.ids = [example.id for example in evaluation]
    self._names: dict[str, set[int]] = collections.defaultdict(set)
    self._texts: dict[str, set[int]] = collections.defaultdict(set)
    for entry, example in enumerate(evaluation):
      for tool in example.tools:
        self._names[_joined(normal_name(tool.name))].add(entry)
      for text in _queries(example, config.min_words):
        self._texts[text].add(entry)
    self._known = list(self._texts)
    lists: dict[str, list[int]] = collections.defaultdict(list)
    for number, text in enumerate(self._known):
      for gram in _grams(text):
        lists[gram].append(number)
    self._with_gram = {gram: np.asarray(x) for gram, x in lists.items()}
    self._sizes = np.asarray([len(_grams(text)) for text in self._known])

  def matches(
    self, example: vocabulary.Example
  ) -> Iterator[tuple[str, set[int], str]]:
    """(reason, evaluation entries, what is shared) of all that is found."""
    for name in _tool_names(example, self._config.offered_tools):
      if entries := self._names.get(_joined(name)):
        yield TOOL_NAME, entries, name
    for text in _queries(example, self._config.min_words):
      if text in self._texts:
        yield EXACT_QUERY, self._texts[text], text
        continue
      for known in self._near(text):
        yield NEAR_QUERY, self._texts[known], known

  def _near(self, text: str) -> list[str]:
    """The evaluation queries that share most of their trigrams with `text`."""
    grams = _grams(text)
    lists = [self._with_gram[x] for x in grams if x in self._with_gram]
    if not lists:
      return []
    shared = np.bincount(np.concatenate(lists), minlength=len(self._known))
    union = self._sizes + len(grams) - shared
    found = np.flatnonzero(shared >= self._config.near * union)
    return [self._known[number] for number in found]


def _joined(name: str) -> str:
  """A normal name without its blanks: where words end is a matter of style."""
  return name.replace(" ", "")


def _tool_names(example: vocabulary.Example, offered: bool) -> list[str]:
  names = [call.name for call in example.calls]
  names += [call.name for m in example.messages for call in m.calls]
  # A document has no calls: all it has is its tool.
  if offered or not example.messages:
    names += [tool.name for tool in example.tools]
  return list(dict.fromkeys(normal_name(name) for name in names))


def _queries(example: vocabulary.Example, min_words: int) -> list[str]:
  texts = (normal_text(m.content) for m in example.messages
           if m.role == "user")  # fmt: skip
  return [text for text in texts if text.count(" ") + 1 >= min_words]


def _grams(text: str) -> set[str]:
  """The word trigrams of a normalised text; a short one is a gram itself."""
  words = text.split()
  count = max(1, len(words) - _NGRAM + 1)
  return {" ".join(words[i : i + _NGRAM]) for i in range(count)}
