"""One round of self-evolution: queries in, judged examples and a ledger out.

    query -> made tools -> sampled calls -> parsed -> checked -> voted -> kept

Method: arXiv 2505.07512. A round reads and writes files and asks for samples
through `Ask`; it neither knows the sampler nor trains.
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
from tooldev_jax.evolve import ask as ask_
from tooldev_jax.evolve import diversity
from tooldev_jax.evolve.judge import (
  Sample,
  Status,
  Vote,
  read_sample,
  said,
  vote,
)
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


# (views, samples of each, temperature, most tokens, file) -> answers in order.
Ask = Callable[[Sequence[View], int, float, int, epath.Path], Sequence[Answers]]


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
  ask: Ask,
  call_format: CallFormat,
  config: EvolveConfig,
  seed: int,
  folder: epath.Path,
) -> RoundData:
  """Runs a round up to the point where there is something to train on.

  Args:
    queries: unlabelled; only ids and messages are looked at.
    ask: samples from the current model, resumably, into the file given.
    call_format: how calls are written.
    config: see `EvolveConfig`.
    seed: of the round.
    folder: gets made_tools.jsonl and calls.jsonl.
  """
  made = propose(queries, ask, config, seed, folder / "made_tools.jsonl")
  judged = answer(made, ask, call_format, config, folder / "calls.jsonl")
  return settle(queries, judged, config)


def write_round(folder: epath.Path, made: RoundData) -> None:
  """Writes kept.jsonl, ledger.jsonl and, last, counts.json."""
  io.write_jsonl(
    folder / "kept.jsonl", [example.to_json() for example in made.kept]
  )
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


def propose(
  queries: Sequence[Example],
  ask: Ask,
  config: EvolveConfig,
  seed: int,
  file: epath.Path,
) -> list[Candidate]:
  """Has the model make tools for each query, and reads and checks them.

  Returns:
    At least one candidate a query.
  """
  asked = [ask_.for_tools(query, seed) for query in queries]
  answers = ask(
    asked,
    config.tool_sets,
    config.tool_temperature,
    config.max_tool_tokens,
    file,
  )
  candidates = []
  for query, answer in zip(queries, answers, strict=True):
    if not answer.fits:
      candidates.append(Candidate(query, 0, "", status=Status.PROMPT_TOO_LONG))
    samples = zip(answer.texts, answer.finished, strict=True)
    candidates += [
      _read_tools(query, number, text, finished)
      for number, (text, finished) in enumerate(samples)
    ]
  return candidates


def _read_tools(
  query: Example, number: int, text: str, finished: bool
) -> Candidate:
  candidate = Candidate(query, number, text)
  if not finished:
    return dataclasses.replace(
      candidate, status=Status.TOOLS_UNREADABLE, detail="unfinished"
    )
  try:
    tools = parse_tools(text)
  except ToolParseError as e:
    return dataclasses.replace(
      candidate, status=Status.TOOLS_UNREADABLE, detail=e.reason.value
    )
  findings = [one for one in checks.check_tools(tools) if one.unsound]
  if findings or not tools:
    detail = findings[0].reason.value if findings else "no_tools"
    return dataclasses.replace(
      candidate, tools=tools, status=Status.TOOLS_UNSOUND, detail=detail
    )
  return dataclasses.replace(candidate, tools=tools)


def answer(
  candidates: Sequence[Candidate],
  ask: Ask,
  call_format: CallFormat,
  config: EvolveConfig,
  file: epath.Path,
) -> list[Candidate]:
  """Samples calls for each (query, made tools) and lets them vote."""
  open_ = [c for c in candidates if c.status is None]
  asked = [ask_.for_calls(c.example, c.tools) for c in open_]
  answers = ask(
    asked, config.samples, config.temperature, config.max_call_tokens, file
  )
  judged = {
    id(c): _judge(c, a, call_format, config)
    for c, a in zip(open_, answers, strict=True)
  }
  return [judged.get(id(c), c) for c in candidates]


def _judge(
  candidate: Candidate,
  answers: Answers,
  call_format: CallFormat,
  config: EvolveConfig,
) -> Candidate:
  if not answers.fits:
    return dataclasses.replace(candidate, status=Status.PROMPT_TOO_LONG)
  source = said(candidate.example.messages) if config.grounded else None
  samples: list[Sample] = [
    read_sample(text, finished, candidate.tools, source, call_format)
    for text, finished in zip(answers.texts, answers.finished, strict=True)
  ]
  outcome = vote(samples, config)
  return dataclasses.replace(candidate, status=outcome.status, vote=outcome)


def settle(
  queries: Sequence[Example],
  candidates: Sequence[Candidate],
  config: EvolveConfig,
) -> RoundData:
  """Keeps the best candidate of each query, and writes down every status."""
  by_query: dict[str, list[Candidate]] = {query.id: [] for query in queries}
  for candidate in candidates:
    by_query[candidate.example.id].append(candidate)
  kept, ledger = [], []
  for query in queries:
    best = max(by_query[query.id], key=_rank)
    if best.status is Status.KEPT:
      kept.append(_example(best, config))
    ledger.append(_row(query, best, by_query[query.id]))
  counts = {**_counts(ledger), "diversity": diversity.measure(kept)}
  return RoundData(tuple(kept), tuple(ledger), counts)


# Of several tool sets for a query, the one that got furthest counts.
_PROGRESS = (
  Status.TOOLS_UNREADABLE,
  Status.TOOLS_UNSOUND,
  Status.PROMPT_TOO_LONG,
  Status.NO_VALID_CALL,
  Status.NO_MAJORITY,
  Status.TOO_EASY,
  Status.KEPT,
)


def _rank(candidate: Candidate) -> tuple[int, float, int]:
  assert candidate.status is not None
  share = candidate.vote.share if candidate.vote else 0.0
  return _PROGRESS.index(candidate.status), share, -candidate.number


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


def _row(
  query: Example, best: Candidate, tried: Sequence[Candidate]
) -> dict[str, Any]:
  assert best.status is not None
  return {
    "id": query.id,
    "query": query.query,
    "status": best.status.value,
    "detail": best.detail,
    "tool_set": best.number,
    "tool_sets": len(tried),
    "made_tools": best.text,
    "vote": best.vote.to_json() if best.vote else None,
  }


def _counts(ledger: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Yield table of the round."""
  votes = [row["vote"] for row in ledger if row["vote"]]
  reasons: Counter[str] = Counter()
  for entry in votes:
    reasons.update(entry["reasons"])
  details = Counter(
    f"{row['status']}:{row['detail']}" for row in ledger if row["detail"]
  )
  return {
    "queries": len(ledger),
    "statuses": dict(sorted(Counter(row["status"] for row in ledger).items())),
    "details": dict(sorted(details.items())),
    "samples_dropped": dict(sorted(reasons.items())),
    "vote_shares": [entry["share"] for entry in votes],
  }
