"""From raw samples to a verdict: parse, check, vote.

Votes are cast on canonical calls, not on strings, so that `f(a=1, b=2)` and
`f(b=2, a=1)` are one candidate. What is trained on is the winner's most
frequent raw text, so the model keeps its own way of writing.
"""

import dataclasses
import enum
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tooldev_jax.config import EvolveConfig
from tooldev_jax.toolcall import canonical, checks
from tooldev_jax.toolcall.formats import CallFormat, ParseError
from tooldev_jax.toolcall.vocabulary import Call, Message, Tool


class Status(enum.StrEnum):
  """What became of a query, from the earliest end to the best."""

  TOOLS_UNREADABLE = "tools_unreadable"
  TOOLS_UNSOUND = "tools_unsound"
  PROMPT_TOO_LONG = "prompt_too_long"
  NO_VALID_CALL = "no_valid_call"
  NO_MAJORITY = "no_majority"
  TOO_EASY = "too_easy"
  KEPT = "kept"


@dataclasses.dataclass(frozen=True)
class Sample:
  """One sampled answer.

  Attributes:
    text: as sampled.
    finished: whether it stopped by itself.
    reason: "" when valid, else why it does not vote.
    calls: as parsed; empty unless valid.
    key: canonical form that votes are counted on; "" unless valid.
  """

  text: str
  finished: bool
  reason: str = ""
  calls: tuple[Call, ...] = ()
  key: str = ""


@dataclasses.dataclass(frozen=True)
class Vote:
  """The outcome of one vote.

  Attributes:
    status: KEPT, NO_VALID_CALL, NO_MAJORITY or TOO_EASY.
    share: of the winner among all samples, whether valid or not.
    text: the winner's most frequent raw text; "" without a winner.
    calls: of that text.
    reasons: why samples did not vote, and how many.
  """

  status: Status
  share: float
  text: str
  calls: tuple[Call, ...]
  reasons: dict[str, int]

  def to_json(self) -> dict[str, Any]:
    """For the ledger."""
    return {
      "share": self.share,
      "text": self.text,
      "calls": [call.to_json() for call in self.calls],
      "reasons": self.reasons,
    }


def said(messages: Sequence[Message]) -> str:
  """All that a call's values may come from: every message of a dialogue.

  A value can be in an early turn, in a tool's result, in the system text
  (today's date) or in an offer that the user accepts with "yes".
  """
  return "\n".join(message.content for message in messages)


def read_sample(
  text: str,
  finished: bool,
  tools: Sequence[Tool],
  source: str | None,
  call_format: CallFormat,
) -> Sample:
  """Parses and checks one sampled answer.

  Args:
    text: as sampled.
    finished: whether it stopped by itself.
    tools: those that were offered.
    source: what every value must be found in; None lets all values pass.
    call_format: how calls are written.
  """
  if not finished:
    return Sample(text, finished, "unfinished")
  try:
    calls = call_format.parse(text, [tool.name for tool in tools]).calls
  except ParseError as error:
    return Sample(text, finished, f"malformed:{error.reason.value}")
  if not calls:
    return Sample(text, finished, "no_call")
  for call in calls:
    findings = checks.check_call(call, tools)
    if findings:
      return Sample(text, finished, f"misfit:{findings[0].reason.value}")
    if source is not None:
      tool = next(t for t in tools if t.name == call.name)
      findings = checks.check_grounded(call, tool, source)
      if findings:
        return Sample(text, finished, f"ungrounded:{findings[0].reason.value}")
  key = canonical.canonical_key(calls, tools)
  return Sample(text, finished, "", calls, key)


def vote(samples: Sequence[Sample], config: EvolveConfig) -> Vote:
  """The majority among `samples`; ties go to the earliest sampled.

  Args:
    samples: all that were sampled for one (query, tools); at least one.
    config: `min_vote_share` and `max_vote_share`.
  """
  reasons = dict(sorted(Counter(s.reason for s in samples if s.reason).items()))
  counts = Counter(s.key for s in samples if not s.reason)
  if not counts:
    return Vote(Status.NO_VALID_CALL, 0.0, "", (), reasons)
  key, votes = counts.most_common(1)[0]
  share = votes / len(samples)
  winners = [s for s in samples if s.key == key]
  text = Counter(s.text for s in winners).most_common(1)[0][0]
  calls = next(s.calls for s in winners if s.text == text)
  status = Status.KEPT
  if share < config.min_vote_share:
    status = Status.NO_MAJORITY
  elif share > config.max_vote_share:
    status = Status.TOO_EASY
  return Vote(status, share, text, calls, reasons)
