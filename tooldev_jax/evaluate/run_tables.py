"""Tables of what a run did: its rounds, its stages, what it left out.

As in `tables`, each function makes one table of a `RunSummary`, or None.
"""

from collections.abc import Iterable, Mapping, Sequence

from tooldev_jax.evaluate import wording
from tooldev_jax.evaluate.summary import RunSummary, StageSummary
from tooldev_jax.evaluate.tables import (
  FINAL,
  PLAIN,
  REJECTED,
  Row,
  Table,
  row_kind,
  row_label,
  spaced,
  without_empty_columns,
)


def rounds(summary: RunSummary) -> Table | None:
  """Yield of each round."""
  if not summary.rounds:
    return None
  rows = []
  for r in summary.rounds:
    mean = sum(r.vote_shares) / len(r.vote_shares) if r.vote_shares else None
    share = r.kept / r.queries if r.queries else None
    rows.append(
      Row(
        (
          r.name,
          wording.count(r.queries),
          f"{wording.count(r.kept)} ({wording.percent(share)})",
          wording.percent(mean),
          wording.figure(r.labels.values_exact if r.labels else None),
          ("accepted" if r.accepted else "rolled back")
          + (f": {r.verdict}" if r.verdict else ""),
        ),
        PLAIN if r.accepted else REJECTED,
      )
    )
  columns = (
    "round",
    "queries",
    "kept",
    "mean vote share",
    "label precision",
    "decision",
  )
  return without_empty_columns(
    Table(
      "Rounds",
      columns,
      tuple(rows),
      "Label precision: share of self-made labels whose values are exactly"
      " gold's; gold of these queries is opened by evaluation only."
      if any(r.labels for r in summary.rounds)
      else "",
      (len(columns) - 1,),
    )
  )


def diversity(summary: RunSummary) -> Table | None:
  """How varied what each round kept is."""
  names = _in_order(r.meters for r in summary.rounds)
  if not names:
    return None
  return Table(
    "How varied the kept examples are",
    ("round", *names),
    tuple(
      Row(
        (
          r.name,
          *(
            wording.number(r.meters[name]) if name in r.meters else wording.NONE
            for name in names
          ),
        )
      )
      for r in summary.rounds
    ),
    "Both fall when a model narrows to the same few tools and calls.",
  )


def fates(summary: RunSummary) -> Table | None:
  """Why queries were kept or dropped."""
  return _counts(
    summary,
    "Kept and dropped, by reason",
    [{"kept": r.kept, **r.fates} for r in summary.rounds],
    "Each query counts once.",
  )


def sample_reasons(summary: RunSummary) -> Table | None:
  """Why sampled answers had no vote."""
  return _counts(
    summary,
    "Samples without a vote, by reason",
    [r.sample_reasons for r in summary.rounds],
    "They still count in the denominator of every vote share.",
  )


def _counts(
  summary: RunSummary,
  title: str,
  counts: Sequence[Mapping[str, int]],
  note: str,
) -> Table | None:
  names = _in_order(counts)
  if not names:
    return None
  return Table(
    title,
    ("reason", *(r.name for r in summary.rounds)),
    tuple(
      Row(
        (
          spaced(name.replace(":", ": ")),
          *(wording.count(each.get(name, 0)) for each in counts),
        ),
        FINAL if name == "kept" else PLAIN,
      )
      for name in names
    ),
    note,
  )


def _in_order(counts: Iterable[Iterable[str]]) -> list[str]:
  return list(dict.fromkeys(name for each in counts for name in each))


def labels(summary: RunSummary) -> Table | None:
  """Precision of the self-made labels, round by round."""
  rows = [
    Row(
      (
        r.name,
        wording.count(found.n),
        wording.figure(found.values_exact),
        wording.figure(found.calls),
        wording.figure(found.value_precision),
        wording.figure(found.value_recall),
        wording.figure(found.names),
      )
    )
    for r in summary.rounds
    if (found := r.labels)
  ]
  if not rows:
    return None
  return Table(
    "How right the self-made labels are",
    (
      "round",
      "labels",
      "values exact",
      "number of calls",
      "value precision",
      "value recall",
      "tool names",
    ),
    tuple(rows),
    "Made tools have names of their own, so labels are compared by the values"
    " they fill in: exact means the same number of calls with the same values."
    " Which parameter a value went to stays unseen.",
  )


def label_bands(summary: RunSummary) -> Table | None:
  """Whether agreement foretells rightness."""
  judged = [(r.name, r.labels) for r in summary.rounds if r.labels]
  bands = sorted(
    {(b.low, b.high) for _, found in judged for b in found.by_vote_share}
  )
  if not bands:
    return None
  cells = {
    (name, b.low): f"{wording.figure(b.values_exact)[:-1]}, n = "
    f"{b.values_exact.n})"
    for name, found in judged
    for b in found.by_vote_share
  }
  return Table(
    "Labels with exact values, by vote share",
    ("vote share", *(name for name, _ in judged)),
    tuple(
      Row(
        (
          f"above {low:.3g} to {high:.3g}" if low else f"up to {high:.3g}",
          *(cells.get((name, low), wording.NONE) for name, _ in judged),
        )
      )
      for low, high in bands
    ),
    "Where this rises with the share, agreement is worth training on.",
  )


def notices(summary: RunSummary) -> Table | None:
  """What was skipped, cut or shortened, and why."""
  rows = [
    Row(
      (
        n.what,
        f"{wording.count(n.count)} of {wording.count(n.of)}"
        if n.of
        else wording.count(n.count),
        n.why,
      )
    )
    for n in summary.notices
  ]
  for stage in summary.stages:
    rows += _answer_notices(stage)
  skipped = [
    scores.skipped
    for stage in summary.stages
    for scores in (stage.bfcl_slice, stage.bfcl)
    if scores and scores.skipped
  ]
  rows += [Row(("BFCL", "all", why)) for why in dict.fromkeys(skipped)]
  if not rows:
    return None
  return Table(
    "Skipped, cut and left out",
    ("what", "how many", "why"),
    tuple(rows),
    "Skipped and cut answers stay in every denominator.",
    (2,),
  )


def _answer_notices(stage: StageSummary) -> list[Row]:
  """Answers that the token limits cut, and questions that did not fit."""
  groups = stage.calls.categories if stage.calls else ()
  counted = [
    (
      "answers",
      sum(g.n for g in groups),
      sum(g.cut for g in groups),
      sum(g.skipped for g in groups),
    )
  ]
  if stage.tools:
    made = stage.tools
    counted.append(("made tools", made.n, made.cut, made.skipped))
  rows = []
  for what, n, cut, skipped in counted:
    for fate, k, why in (
      ("cut", cut, "they reached the token limit before they ended"),
      ("skipped", skipped, "the prompt did not fit; they count as wrong"),
    ):
      if k:
        of = f"{wording.count(k)} of {wording.count(n)}"
        rows.append(Row((f"{what} {fate}, {stage.name}", of, why)))
  return rows


def training(summary: RunSummary) -> Table | None:
  """What each stage trained on, and how long it took."""
  seconds = summary.clock.seconds if summary.clock else {}
  names = [s.name for s in summary.stages]
  rows = [
    Row(
      (
        row_label(s),
        wording.count(s.examples) if s.examples else wording.NONE,
        wording.count(s.tokens) if s.tokens else wording.NONE,
        wording.count(s.loss_steps[-1]) if s.loss_steps else wording.NONE,
        f"{s.losses[-1]:.4f}" if s.losses else wording.NONE,
        wording.duration(seconds[s.name])
        if s.name in seconds
        else wording.NONE,
        s.note,
      ),
      row_kind(summary, s),
    )
    for s in summary.stages
  ]
  rows += [
    Row((name, *[wording.NONE] * 4, wording.duration(value), ""))
    for name, value in seconds.items()
    if name not in names
  ]
  table = without_empty_columns(
    Table(
      "Stages",
      (
        "stage",
        "examples",
        "trained tokens",
        "steps",
        "last loss",
        "wall time",
        "note",
      ),
      tuple(rows),
      texts=(6,),
    )
  )
  return table if len(table.columns) > 1 else None
