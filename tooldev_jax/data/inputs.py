"""The files a run learns from and is measured on, read and checked at once.

Whatever would make a later stage refuse or waste its work is looked for here,
before any work starts. What is left out, and why, is told as a `Notice`.
"""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence

from etils import epath

from tooldev_jax import io, records, seeds
from tooldev_jax.config import TOOL_NAME, RunConfig, SourceConfig
from tooldev_jax.data.decontaminate import Decontaminated, decontaminate
from tooldev_jax.data.sources import read_examples
from tooldev_jax.errors import UserError
from tooldev_jax.toolcall.formats import RenderError, get_format
from tooldev_jax.toolcall.vocabulary import Example

TRAINING = ("documents", "examples", "queries")
EVALUATION = ("development", "test")
DECONTAMINATION_FILE = "decontamination.json"

_Found = Mapping[str, tuple[Example, ...]]


@dataclasses.dataclass(frozen=True)
class Notice:
  """Something that was left out, cut or changed, said plainly.

  Attributes:
    what: e.g. "examples left out of decompose".
    count: how many.
    of: out of how many; 0 if that has no meaning.
    why: the reason, in words.
  """

  what: str
  count: int
  of: int
  why: str


@dataclasses.dataclass(frozen=True)
class Inputs:
  """Everything that the stages read.

  `queries` have lost whatever labels their file had. The gold answers of the
  queries are not here: `read_gold` opens them, and only for evaluation.

  Attributes:
    documents, examples, queries, development, test: as configured; empty
      where the config names no file.
    notices: rows that could not be read or used, what was shared with an
      evaluation set, and limits that were applied.
  """

  documents: tuple[Example, ...]
  examples: tuple[Example, ...]
  queries: tuple[Example, ...]
  development: tuple[Example, ...]
  test: tuple[Example, ...]
  notices: tuple[Notice, ...]

  def counts(self) -> Mapping[str, int]:
    """Examples by role."""
    return {role: len(getattr(self, role)) for role in (*TRAINING, *EVALUATION)}

  def digests(self) -> Mapping[str, str]:
    """SHA-256 of what is trained on, by role."""
    return {
      role: io.digest(example.to_json() for example in getattr(self, role))
      for role in TRAINING
    }


def read_inputs(
  config: RunConfig, workdir: epath.Path, bfcl: Sequence[Example] = ()
) -> Inputs:
  """Reads all inputs.

  What training data shares with the evaluation sets is written to
  `decontamination.json`.

  Args:
    config: of the run.
    workdir: the run's folder.
    bfcl: the benchmark's cases, an evaluation set beside the config's.

  Raises:
    UserError: a file is missing, is of another kind, or has too many bad
      rows; an input that a stage needs has nothing in it that the stage can
      use.
  """
  _check_gold(config, workdir)
  notices: list[Notice] = []
  read = {
    role: _read(role, getattr(config.data, role), config, workdir, notices)
    for role in (*TRAINING, *EVALUATION)
  }
  read["queries"] = tuple(
    dataclasses.replace(example, tools=(), calls=(), answer="")
    for example in read["queries"]
  )
  evaluation = {role: read[role] for role in EVALUATION}
  if bfcl:
    evaluation["bfcl"] = tuple(bfcl)
  read |= _decontaminated(config, read, evaluation, workdir, notices)
  _check(config, read)
  return Inputs(**read, notices=tuple(notices))


def read_gold(config: RunConfig, workdir: epath.Path) -> tuple[Example, ...]:
  """The answers to the queries; empty if there are none. For evaluation."""
  # The gold of any query may be asked for: no limit.
  source = dataclasses.replace(config.data.queries_gold, limit=0)
  return _read("queries_gold", source, config, workdir, [])


def resolve(source: SourceConfig, workdir: epath.Path) -> epath.Path:
  """The file, with the run's folder filled in."""
  return epath.Path(source.path.replace("{workdir}", str(workdir)))


def _read(
  role: str,
  source: SourceConfig,
  config: RunConfig,
  workdir: epath.Path,
  notices: list[Notice],
) -> tuple[Example, ...]:
  """The rows of a file that its role can use, as many as the config takes."""
  if not source.path:
    return ()
  found = read_examples(resolve(source, workdir), source.kind)
  try:
    found.require(config.data.max_bad_share)
  except UserError as e:
    raise UserError(f"data.{role}: {e}") from None
  rows = len(found.examples) + len(found.rejected)
  for reason, count in found.reasons.items():
    notices.append(Notice(f"{role}: rows not read", count, rows, reason))
  if lacking := found.left_out:
    places = len({row.detail.partition(": ")[0] for row in lacking})
    detail = f"such as {lacking[0].detail}"
    notices.append(Notice(f"{role}: rows not read whole", places, rows, detail))
  usable = found.examples
  for reason, lacks in _lacks(role, config.view.call_format):
    kept = tuple(example for example in usable if not lacks(example))
    if not kept:
      raise UserError(
        f"data.{role}: {source.path}: no row can be used: {reason}"
      )
    if len(kept) < len(usable):
      notices.append(
        Notice(f"{role}: rows not used", len(usable) - len(kept), rows, reason)
      )
    usable = kept
  if not source.limit or len(usable) <= source.limit:
    return usable
  rng = random.Random(seeds.fold(config.seed, "limit", role))
  chosen = sorted(rng.sample(range(len(usable)), source.limit))
  left, why = len(usable) - source.limit, f"data.{role}.limit"
  notices.append(Notice(f"{role}: examples left out", left, len(usable), why))
  return tuple(usable[i] for i in chosen)


_Lack = tuple[str, Callable[[Example], bool]]
_NO_QUERY: _Lack = ("no query", lambda example: not example.query.strip())
_NO_ANSWER: _Lack = (
  "no known answer (labelled: false)",
  lambda example: example.provenance.get("labelled") is False,
)
_NO_TOOL: _Lack = ("no tool", lambda example: not example.tools)
_NOT_OFFERED: _Lack = (
  "calls a tool that it does not offer",
  lambda example: (
    not {call.name for call in example.calls}
    <= {tool.name for tool in example.tools}
  ),
)
_LACKS: Mapping[str, Sequence[_Lack]] = {
  "documents": (_NO_TOOL,),
  "examples": (_NO_QUERY, _NO_ANSWER, _NOT_OFFERED),
  "queries": (_NO_QUERY,),
  "queries_gold": (_NO_ANSWER,),
  "development": (_NO_QUERY, _NO_ANSWER),
  "test": (_NO_QUERY, _NO_ANSWER),
}


def _lacks(role: str, call_format: str) -> Sequence[_Lack]:
  """Why a row may be of no use in this role, in the order of asking."""
  if role not in EVALUATION:
    return _LACKS[role]
  known = get_format(call_format)

  def unwritable(example: Example) -> bool:
    try:
      known.render(example.calls)
    except RenderError:
      return True
    return False

  # What cannot be written in the format cannot be answered in it either.
  return (*_LACKS[role], ("calls beyond the bounds of the format", unwritable))


def _decontaminated(
  config: RunConfig,
  read: _Found,
  sets: _Found,
  workdir: epath.Path,
  notices: list[Notice],
) -> _Found:
  """Training data without what evaluation asks; the report is written."""
  evaluation = [
    dataclasses.replace(example, id=f"{name}: {example.id}")
    for name, examples in sets.items()
    for example in examples
  ]
  settings = config.data.decontaminate
  found = decontaminate(
    {role: read[role] for role in TRAINING}, evaluation, settings
  )
  for role, result in found.items():
    notices += _shared(role, result, settings.reasons)
  report = {
    "settings": records.to_json(settings),
    "evaluation": {name: len(examples) for name, examples in sets.items()},
    **{
      role: {**result.report(), "hits": records.to_json(result.hits)}
      for role, result in found.items()
    },
  }
  file = workdir / DECONTAMINATION_FILE
  # Inputs are read at every start, and by every process.
  if not file.exists() or io.read_json(file) != report:
    io.write_json(file, report)
  return {role: result.kept for role, result in found.items()}


def _shared(
  role: str, result: Decontaminated, reasons: Sequence[str]
) -> list[Notice]:
  """What was left out for `reasons`, and the names that were not."""
  of = result.removed + len(result.kept)
  hit = result.report()["examples_hit"]
  found = []
  if result.removed:
    why = ", ".join(f"{hit[r]} by {r}" for r in reasons if hit[r])
    found.append(
      Notice(f"{role}: left out, evaluation has them", result.removed, of, why)
    )
  if hit[TOOL_NAME] and TOOL_NAME not in reasons:
    found.append(
      Notice(
        f"{role}: kept, though evaluation has their tools' names",
        hit[TOOL_NAME],
        of,
        "data.decontaminate.reasons",
      )
    )
  return found


def _check_gold(config: RunConfig, workdir: epath.Path) -> None:
  """The file of gold answers is there; it is not opened."""
  gold = config.data.queries_gold
  if gold.path and not resolve(gold, workdir).exists():
    raise UserError(
      f"data.queries_gold: {resolve(gold, workdir)}: there is no such file"
    )


def _check(config: RunConfig, read: _Found) -> None:
  """What stages would refuse after hours of work."""
  needed = {
    "documents": bool(config.data.documents.path and config.adapt.epochs),
    "examples": config.decompose.epochs > 0,
    "queries": config.rounds > 0,
  }
  for role, is_needed in needed.items():
    if is_needed and not read[role]:
      raise UserError(
        f"data.{role}: nothing is left after decontamination; see"
        f" {DECONTAMINATION_FILE}, and data.decontaminate.reasons"
      )
  rounds, queries = config.rounds, len(read["queries"])
  size = config.evolve.round_size(queries)
  if rounds and (not size or (rounds - 1) * size >= queries):
    raise UserError(
      f"data.queries has {queries} queries, too few for {rounds} rounds"
      + (f" of {size}" if size else "")
    )
