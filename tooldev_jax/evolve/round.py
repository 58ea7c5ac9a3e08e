"""One round of self-evolution: queries in, judged examples and a ledger out.

    query -> made tools -> sampled calls -> parsed -> checked -> voted -> kept

Method: arXiv 2505.07512. A round gets its samples from the function that it
is handed; it neither knows the model nor trains.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etils import epath

from tooldev_jax import io
from tooldev_jax.config import EvolveConfig
from tooldev_jax.data.toolparse import ToolParseError, parse_tools
from tooldev_jax.data.views import View
from tooldev_jax.evolve import diversity, prompts
from tooldev_jax.evolve.judge import Status, Vote, read_sample, said, vote
from tooldev_jax.toolcall import checks
from tooldev_jax.toolcall.formats import CallFormat
from tooldev_jax.toolcall.vocabulary import Example, Tool


@dataclasses.dataclass(frozen=True)
class Answers:
  """What was sampled for one prompt.

  Attributes:
    texts: one a sample.
    finished: whether each stopped by itself.
    fits: False where the prompt was too long to be sampled at all.
  """

  texts: tuple[str, ...]
  finished: tuple[bool, ...]
  fits: bool = True


# (prompts, samples of each, temperature, most tokens of a sample, file that the
# samples are kept in) -> one `Answers` a prompt, in their order.
Generate = Callable[
  [Sequence[View], int, float, int, epath.Path], Sequence[Answers]
]


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One set of tools made for a query, and what came of it.

  Attributes:
    example: the query.
    number: of the set, for queries with several.
    text: the answer that holds the tools.
    tools: as parsed; empty if unreadable.
    status: None while undecided.
    detail: more about the status.
    vote: None before the vote.
  """

  example: Example
  number: int
  text: str
  tools: tuple[Tool, ...] = ()
  status: Status | None = None
  detail: str = ""
  vote: Vote | None = None

  def ended(self, status: Status, detail: str = "", **fields) -> "Candidate":
    """The same candidate, decided."""
    return dataclasses.replace(self, status=status, detail=detail, **fields)


@dataclasses.dataclass(frozen=True)
class RoundData:
  """What a round made.

  Attributes:
    kept: examples to learn from; `provenance` has the vote share as "weight"
      and the winner's text as "raw".
    ledger: one JSON row a query: its status and why.
    counts: statuses, sample reasons, vote shares, and how varied `kept` is.
  """

  kept: tuple[Example, ...]
  ledger: tuple[Mapping[str, Any], ...]
  counts: Mapping[str, Any]


def make_round(
  queries: Sequence[Example],
  generate: Generate,
  call_format: CallFormat,
  config: EvolveConfig,
  seed: int,
  folder: epath.Path,
) -> RoundData:
  """Runs a round up to the point where there is something to train on.

  Args:
    queries: unlabelled; only ids and messages are looked at.
    generate: samples from the current model.
    call_format: how calls are written.
    config: see `EvolveConfig`.
    seed: of the round.
    folder: the samples are kept in its made_tools.jsonl and calls.jsonl.
  """
  file = folder / "made_tools.jsonl"
  candidates = make_tools(queries, generate, config, seed, file)
  file = folder / "calls.jsonl"
  judged = sample_calls(candidates, generate, call_format, config, file)
  return keep_best(queries, judged, config)


def write_round(folder: epath.Path, made: RoundData) -> None:
  """Writes kept.jsonl, ledger.jsonl and, last, counts.json."""
  kept = [example.to_json() for example in made.kept]
  io.write_jsonl(folder / "kept.jsonl", kept)
  io.write_jsonl(folder / "ledger.jsonl", made.ledger)
  io.write_json(folder / "counts.json", made.counts)


def is_made(folder: epath.Path) -> bool:
  """Whether `write_round` came to its end there."""
  return (folder / "counts.json").exists()


def read_round(folder: epath.Path) -> RoundData:
  """What `write_round` wrote."""
  kept = io.read_jsonl(folder / "kept.jsonl")
  return RoundData(
    kept=tuple(Example.from_json(row) for row in kept),
    ledger=tuple(io.read_jsonl(folder / "ledger.jsonl")),
    counts=io.read_json(folder / "counts.json"),
  )


def make_tools(
  queries: Sequence[Example],
  generate: Generate,
  config: EvolveConfig,
  seed: int,
  file: epath.Path,
) -> list[Candidate]:
  """Has the model make tools for each query, and reads and checks them.

  Returns:
    At least one candidate a query.
  """
  answers = generate(
    [prompts.for_tools(query, seed) for query in queries],
    config.tool_sets,
    config.tool_temperature,
    config.max_tool_tokens,
    file,
  )
  candidates = []
  for query, answer in zip(queries, answers, strict=True):
    if not answer.fits:
      candidates.append(Candidate(query, 0, "").ended(Status.PROMPT_TOO_LONG))
    samples = zip(answer.texts, answer.finished, strict=True)
    candidates += [
      _read_tools(Candidate(query, number, text), finished)
      for number, (text, finished) in enumerate(samples)
    ]
  return candidates


def _read_tools(candidate: Candidate, finished: bool) -> Candidate:
  if not finished:
    return candidate.ended(Status.TOOLS_UNREADABLE, "unfinished")
  try:
    tools = parse_tools(candidate.text)
  except ToolParseError as error:
    return candidate.ended(Status.TOOLS_UNREADABLE, error.reason.value)
  if not tools:
    return candidate.ended(Status.TOOLS_UNSOUND, "no_tools")
  for finding in checks.check_tools(tools):
    if finding.unsound:
      reason = finding.reason.value
      return candidate.ended(Status.TOOLS_UNSOUND, reason, tools=tools)
  return dataclasses.replace(candidate, tools=tools)


def sample_calls(
  candidates: Sequence[Candidate],
  generate: Generate,
  call_format: CallFormat,
  config: EvolveConfig,
  file: epath.Path,
) -> list[Candidate]:
  """Samples calls for each (query, made tools) and lets them vote."""
  undecided = [c for c in candidates if c.status is None]
  answers = generate(
    [prompts.for_calls(c.example, c.tools) for c in undecided],
    config.samples,
    config.temperature,
    config.max_call_tokens,
    file,
  )
  judged = (
    _judge(candidate, answer, call_format, config)
    for candidate, answer in zip(undecided, answers, strict=True)
  )
  return [next(judged) if c.status is None else c for c in candidates]


def _judge(
  candidate: Candidate,
  answers: Answers,
  call_format: CallFormat,
  config: EvolveConfig,
) -> Candidate:
  if not answers.fits:
    return candidate.ended(Status.PROMPT_TOO_LONG)
  source = said(candidate.example.messages) if config.grounded else None
  outcome = vote(
    [
      read_sample(text, finished, candidate.tools, source, call_format)
      for text, finished in zip(answers.texts, answers.finished, strict=True)
    ],
    config,
  )
  return candidate.ended(outcome.status, vote=outcome)


def keep_best(
  queries: Sequence[Example],
  candidates: Sequence[Candidate],
  config: EvolveConfig,
) -> RoundData:
  """Of each query's candidates the one that got furthest counts."""
  by_query: dict[str, list[Candidate]] = {query.id: [] for query in queries}
  for candidate in candidates:
    by_query[candidate.example.id].append(candidate)
  kept, ledger = [], []
  for tried in by_query.values():
    best = max(tried, key=_progress)
    if best.status is Status.KEPT:
      kept.append(_example(best, config))
    ledger.append(_row(best, len(tried)))
  counts = {**_counts(ledger), "diversity": diversity.measure(kept)}
  return RoundData(tuple(kept), tuple(ledger), counts)


def _progress(candidate: Candidate) -> tuple[int, float, int]:
  assert candidate.status is not None
  share = candidate.vote.share if candidate.vote else 0.0
  return list(Status).index(candidate.status), share, -candidate.number


def _example(candidate: Candidate, config: EvolveConfig) -> Example:
  """The made example; it remembers how it came to be."""
  assert candidate.vote is not None
  share = candidate.vote.share
  return Example(
    id=candidate.example.id,
    messages=candidate.example.messages,
    tools=candidate.tools,
    calls=candidate.vote.calls,
    provenance={
      "source": "self",
      "raw": candidate.vote.text,
      "vote_share": share,
      "weight": share if config.weight_by_share else 1.0,
    },
  )


def _row(best: Candidate, tried: int) -> dict[str, Any]:
  """The ledger's row of a query."""
  assert best.status is not None
  return {
    "id": best.example.id,
    "query": best.example.query,
    "status": best.status.value,
    "detail": best.detail,
    "tool_set": best.number,
    "tool_sets": tried,
    "made_tools": best.text,
    "vote": best.vote.to_json() if best.vote else None,
  }


def _counts(ledger: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """The yield table of the round."""
  votes = [row["vote"] for row in ledger if row["vote"]]
  details = [
    f"{row['status']}:{row['detail']}" for row in ledger if row["detail"]
  ]
  dropped: Counter[str] = Counter()
  for entry in votes:
    dropped.update(entry["reasons"])
  return {
    "queries": len(ledger),
    "statuses": _sorted(Counter(row["status"] for row in ledger)),
    "details": _sorted(Counter(details)),
    "samples_dropped": _sorted(dropped),
    "vote_shares": [entry["share"] for entry in votes],
  }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
  return dict(sorted(counts.items()))
