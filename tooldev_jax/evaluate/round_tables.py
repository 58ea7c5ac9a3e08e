"""The tables of a report about the rounds; see `tables`."""

from collections.abc import Mapping

from tooldev_jax.evaluate.summary import RunSummary
from tooldev_jax.evaluate.tables import (
  FINAL,
  PLAIN,
  REJECTED,
  Line,
  Table,
  by_name,
  make_table,
)
from tooldev_jax.evaluate.wording import count, figure, number, percent, spaced


def rounds(summary: RunSummary) -> Table | None:
  """Yield of each round."""
  return make_table(
    "Rounds",
    [
      Line(r.name, PLAIN if r.accepted else REJECTED, r) for r in summary.rounds
    ],
    {
      "round": "",
      "queries": lambda r: count(r.queries),
      "kept": lambda r: f"{count(r.kept)} ({percent(r.kept_share)})",
      "mean vote share": lambda r: percent(
        sum(r.vote_shares) / len(r.vote_shares) if r.vote_shares else None
      ),
      "label precision": "labels.values_exact",
      "decision": lambda r: ": ".join(
        filter(None, ("accepted" if r.accepted else "rolled back", r.verdict))
      ),
    },
    "Label precision: share of self-made labels whose values are exactly"
    " gold's; gold of these queries is opened by evaluation only."
    if any(r.labels for r in summary.rounds)
    else "",
    texts=["decision"],
  )


def statuses(summary: RunSummary) -> Table | None:
  """Why queries were kept or dropped."""
  found = {r.name: {"kept": r.kept, **r.statuses} for r in summary.rounds}
  note = "Each query counts once."
  return _reasons("Kept and dropped, by reason", found, note)


def sample_reasons(summary: RunSummary) -> Table | None:
  """Why sampled answers had no vote."""
  found = {r.name: r.sample_reasons for r in summary.rounds}
  note = "They still count in the denominator of every vote share."
  return _reasons("Samples without a vote, by reason", found, note)


def _reasons(
  title: str, found: Mapping[str, Mapping[str, int]], note: str
) -> Table | None:
  """Counts by reason; a column for each round."""
  return make_table(
    title,
    [
      Line(
        spaced(reason.replace(":", ": ")),
        FINAL if reason == "kept" else PLAIN,
        {name: count(each.get(reason, 0)) for name, each in found.items()},
      )
      for reason in dict.fromkeys(r for each in found.values() for r in each)
    ],
    {"reason": "", **{name: by_name(name) for name in found}},
    note,
  )


def labels(summary: RunSummary) -> Table | None:
  """Precision of the self-made labels, round by round."""
  return make_table(
    "How right the self-made labels are",
    [Line(r.name, PLAIN, r.labels) for r in summary.rounds if r.labels],
    {
      "round": "",
      "labels": lambda found: count(found.n),
      "values exact": "values_exact",
      "number of calls": "calls",
      "value precision": "value_precision",
      "value recall": "value_recall",
      "tool names": "names",
    },
    "Made tools have names of their own, so labels are compared by the values"
    " they fill in: exact means the same number of calls with the same values."
    " Which parameter a value went to stays unseen.",
  )


def label_bands(summary: RunSummary) -> Table | None:
  """Whether labels that more samples agreed on are more often right."""
  bands: dict[tuple[float, float], dict[str, str]] = {}
  for r in summary.rounds:
    for band in r.labels.by_vote_share if r.labels else ():
      right = band.values_exact
      cell = f"{figure(right)[:-1]}, n = {right.n})"
      bands.setdefault((band.low, band.high), {})[r.name] = cell
  return make_table(
    "Labels with exact values, by vote share",
    [
      Line(
        f"above {low:.3g} to {high:.3g}" if low else f"up to {high:.3g}",
        PLAIN,
        cells,
      )
      for (low, high), cells in sorted(bands.items())
    ],
    {"vote share": "", **{r.name: by_name(r.name) for r in summary.rounds}},
    "Where this rises with the share, agreement is worth training on.",
  )


def diversity(summary: RunSummary) -> Table | None:
  """How varied what each round kept is."""
  names = dict.fromkeys(name for r in summary.rounds for name in r.diversity)
  return make_table(
    "How varied the kept examples are",
    [
      Line(r.name, PLAIN, {k: number(v) for k, v in r.diversity.items()})
      for r in summary.rounds
    ],
    {"round": "", **{name: by_name(name) for name in names}},
    "Both fall when a model narrows to the same few tools and calls.",
  )
