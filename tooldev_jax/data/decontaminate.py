"""Keeps evaluation questions out of training data, with a report.

A training example is contaminated by an evaluation set when

  tool name    it calls or offers a tool whose name an evaluation entry has
               too, whatever its case and signs (`Hotels_2_BookHouse` is
               `hotels2-bookhouse`);
  exact query  one of its user turns is an evaluation query, after case,
               punctuation and blanks are taken away;
  near query   one of its user turns shares most of its word trigrams with an
               evaluation query (Jaccard at least the threshold).

Near duplicates are found by MinHash with banding and then *verified* on the
trigrams themselves, so hash collisions remove nothing; what banding can miss
is stated with `miss_probability`.
"""

import collections
import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_BANDS, _ROWS = 32, 4  # of the MinHash signature

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
  examples: Sequence[vocabulary.Example],
  evaluation: Sequence[vocabulary.Example],
  config: DecontaminateConfig | None = None,
) -> Decontaminated:
  """Takes out of `examples` what an evaluation set has too.

  Args:
    examples: the training set.
    evaluation: examples of all evaluation sets together.
    config: see `DecontaminateConfig`.
  """
  return decontaminate_all({"": examples}, evaluation, config)[""]


def decontaminate_all(
  sets: Mapping[str, Sequence[vocabulary.Example]],
  evaluation: Sequence[vocabulary.Example],
  config: DecontaminateConfig | None = None,
) -> dict[str, Decontaminated]:
  """`decontaminate` for several training sets, by name."""
  config = config or DecontaminateConfig()
  index = _Index(evaluation, config)
  return {
    name: _cleaned(examples, evaluation, index, config)
    for name, examples in sets.items()
  }


def _cleaned(
  examples: Sequence[vocabulary.Example],
  evaluation: Sequence[vocabulary.Example],
  index: "_Index",
  config: DecontaminateConfig,
) -> Decontaminated:
  hits: list[Hit] = []
  kept: list[vocabulary.Example] = []
  touched: dict[str, set[int]] = {reason: set() for reason in REASONS}
  for example in examples:
    found = index.matches(example)
    for reason, (entries, detail) in found.items():
      touched[reason] |= entries
      shown = evaluation[min(entries)].id
      hits.append(Hit(example.id, reason, shown, detail))
    if not any(reason in config.reasons for reason in found):
      kept.append(example)
  return Decontaminated(
    kept=tuple(kept),
    hits=tuple(hits),
    removed=len(examples) - len(kept),
    evaluation_hit={reason: len(touched[reason]) for reason in REASONS},
    evaluation_size=len(evaluation),
  )


def normal_name(name: str) -> str:
  """A tool name as words: case, punctuation and camel case taken away."""
  split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
  return " ".join(re.findall(r"[^\W_]+", split.lower()))


def _joined(name: str) -> str:
  """A normal name without its blanks: where words end is a matter of style."""
  return name.replace(" ", "")


def normal_text(text: str) -> str:
  """A query as lower-case words without punctuation."""
  folded = unicodedata.normalize("NFKC", text).casefold()
  return " ".join(_WORD.findall(folded))


def miss_probability(jaccard: float) -> float:
  """Chance that banding overlooks a pair of this similarity."""
  return (1 - jaccard**_ROWS) ** _BANDS


class _Index:
  """The evaluation entries, by name, by text and by bands of MinHash."""

  def __init__(
    self, evaluation: Sequence[vocabulary.Example], config: DecontaminateConfig
  ):
    self._config = config
    self._names: dict[str, set[int]] = collections.defaultdict(set)
    self._texts: dict[str, set[int]] = collections.defaultdict(set)
    for entry, example in enumerate(evaluation):
      for tool in example.tools:
        self._names[_joined(normal_name(tool.name))].add(entry)
      for text in _queries(example, config.min_words):
        self._texts[text].add(entry)
    self._known = list(self._texts)
    self._grams = [_grams(text) for text in self._known]
    self._bands: dict[tuple[int, bytes], list[int]] = collections.defaultdict(
      list
    )
    for number, grams in enumerate(self._grams):
      for band in _bands(grams):
        self._bands[band].append(number)

  def matches(
    self, example: vocabulary.Example
  ) -> dict[str, tuple[set[int], str]]:
    """Reason to (evaluation entries, what is shared)."""
    found: dict[str, tuple[set[int], str]] = {}
    names = _tool_names(example, self._config.offered_tools)
    self._collect(found, TOOL_NAME, self._by_name(names))
    for text in _queries(example, self._config.min_words):
      if text in self._texts:
        self._collect(found, EXACT_QUERY, [(self._texts[text], text)])
      else:
        self._collect(found, NEAR_QUERY, self._near(text))
    return found

  def _by_name(self, names: Iterable[str]) -> Iterator[tuple[set[int], str]]:
    for name in names:
      if entries := self._names.get(_joined(name)):
        yield entries, name

  def _near(self, text: str) -> Iterator[tuple[set[int], str]]:
    grams = _grams(text)
    candidates = {
      n for band in _bands(grams) for n in self._bands.get(band, ())
    }
    for number in sorted(candidates):
      other = self._grams[number]
      if len(grams & other) >= self._config.near * len(grams | other):
        known = self._known[number]
        yield self._texts[known], known

  @staticmethod
  def _collect(
    found: dict[str, tuple[set[int], str]],
    reason: str,
    matches: Iterable[tuple[set[int], str]],
  ) -> None:
    for entries, detail in matches:
      before, first = found.get(reason, (set(), detail))
      found[reason] = (before | entries, first)


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


def _grams(text: str) -> frozenset[int]:
  """Hashes of the word trigrams of a normalised text."""
  words = text.split()
  count = max(1, len(words) - _NGRAM + 1)
  return frozenset(
    int.from_bytes(
      hashlib.blake2b(
        " ".join(words[i : i + _NGRAM]).encode(), digest_size=7
      ).digest(),
      "big",
    )
    for i in range(count)
  )


def _hash_family() -> tuple[np.ndarray, np.ndarray]:
  """Factors and offsets of the MinHash functions, fixed for all time."""
  rng = np.random.default_rng(20250512)
  size = (_BANDS * _ROWS, 1)
  return (
    rng.integers(1, 1 << 31, size, np.uint64) | np.uint64(1),
    rng.integers(0, 1 << 31, size, np.uint64),
  )


_FACTORS, _OFFSETS = _hash_family()


def _bands(grams: frozenset[int]) -> list[tuple[int, bytes]]:
  """The bands of a MinHash signature, as dictionary keys."""
  values = np.fromiter(grams, np.uint64, len(grams))
  # Wraps around at 2**64: multiply-add hashing.
  hashed = (values * _FACTORS + _OFFSETS) ^ (values >> np.uint64(29))
  signature = hashed.min(axis=1).reshape(_BANDS, _ROWS)
  return [(i, band.tobytes()) for i, band in enumerate(signature)]
