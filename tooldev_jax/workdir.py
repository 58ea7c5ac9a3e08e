"""What a run's folder is bound to, and what may change between two starts.

Each field of the config names the earliest part of a run whose files depend on
it (`decides`, in `tooldev_jax.config`):

    adapt, decompose, rounds   frozen once that stage, or a later one, has
                               begun: what was trained would be another thing
    evaluate                   may change; answers, scores and the report are
                               made again. A round's verdict stays: it was
                               taken on the scores of its time
    nothing                    may change: where work is done, how it is
                               divided, what is kept or printed

So a folder in which nothing was made takes any config, `evolve.rounds` may
grow, and stages that have not begun may be changed.

"Nothing" is meant with care. Another mesh, backend or rematerialisation adds
the same numbers up in another order, so the last bits may differ, and once in
a while a sampled token with them. The data and their order stay the same, but
a step takes a multiple of the mesh's batch shards: a stage that is trained on
another mesh may cut the same rows into other steps. Training itself refuses to
go on in the middle of a stage where its batches would have another shape.

    config.json            the config of the last start that made something
    <stage>/identity.json  what the stage's files follow from
    done/<stage>.json      what a complete stage was complete for
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from tooldev_jax import io, records
from tooldev_jax.config import RunConfig, fields_of
from tooldev_jax.errors import UserError
from tooldev_jax.parallel import processes

PARTS = ("adapt", "decompose", "rounds", "evaluate")
CONFIG_FILE, IDENTITY_FILE = "config.json", "identity.json"

_FIELDS = {field.path: field for field in fields_of(RunConfig)}
_ROUND = re.compile(r"round_[1-9]\d*")
# Which inputs a stage learns from. A round replays what decompose learned.
_READS = {
  "adapt": ("documents",),
  "decompose": ("examples",),
  "rounds": ("examples", "queries"),
}


@dataclasses.dataclass(frozen=True)
class Identity:
  """What the files of a stage follow from.

  Attributes:
    stage: "adapt", "decompose" or "round_<number>".
    config: every field that decides the stage, by its path, the run's seed
      among them.
    base: fingerprint of the base's weights.
    inputs: digest of the rows of each role that the stage learns from.
    code: version of the code that began the stage; only told.
  """

  stage: str
  config: Mapping[str, Any]
  base: str
  inputs: Mapping[str, str]
  code: str


def part_of(stage: str) -> str:
  """The part that a stage belongs to: rounds are one."""
  return "rounds" if _ROUND.fullmatch(stage) else stage


def flat(config: RunConfig) -> dict[str, Any]:
  """Every field's value as JSON, by its path, as "lora.rank"."""
  return _flattened(records.to_json(config))


def deciding(part: str) -> list[str]:
  """Paths of the fields that decide a part or one before it."""
  parts = PARTS[: PARTS.index(part) + 1]
  return [x for x, field in _FIELDS.items() if field.setting.decides in parts]


def stage_config(config: RunConfig, part: str) -> dict[str, Any]:
  """The values of the fields that decide a part."""
  values = flat(config)
  return {path: values[path] for path in deciding(part)}


def score_identity(config: RunConfig) -> str:
  """Digest of what decides a state's scores beside the state itself."""
  values = flat(config)
  own = [x for x, f in _FIELDS.items() if f.setting.decides == "evaluate"]
  return io.digest([{path: values[path] for path in own}])


class Workdir:
  """The folder of a run.

  Of several processes the first one writes; all must call the methods that
  write, at the same time.

  Args:
    path: of the folder; it need not exist.
  """

  def __init__(self, path: io.PathLike):
    self.path = epath.Path(path)

  # --- before a run ---------------------------------------------------------

  def check(self, config: RunConfig) -> list[str]:
    """Compares a config with what the folder holds; writes nothing.

    Returns:
      Lines to print: what changed since the last start, and what of it is
      made again.

    Raises:
      UserError: a change would make a stage that has begun another one.
    """
    begun = self.begun()
    refused = self._refused(config, begun)
    if refused:
      raise UserError(
        f"{self.path} holds a run that was begun with another config. Use"
        " another --workdir, or the old values:\n  " + "\n  ".join(refused)
      )
    return self._told(config, begun)

  def begun(self) -> list[str]:
    """The stages that have made something, in order."""
    rounds = []
    if self.path.exists():
      rounds = [x.name for x in self.path.iterdir() if _ROUND.fullmatch(x.name)]
    rounds.sort(key=lambda name: int(name.removeprefix("round_")))
    stages = ["adapt", "decompose", *rounds]
    return [stage for stage in stages if _holds_artefacts(self.path / stage)]

  def _refused(self, config: RunConfig, begun: list[str]) -> list[str]:
    """A line for each field that must not have changed."""
    new, found = flat(config), {}
    for stage in begun:
      old = self._config_of(stage)
      if old is None:
        continue
      for path in deciding(part_of(stage)):
        before = old.get(path, _default(path))
        if before != new[path] and path not in found:
          found[path] = (
            f"config.{path}: was {before!r}, is now {new[path]!r};"
            f" {stage} was made with it"
          )
    last = int(begun[-1].split("_")[1]) if begun and "_" in begun[-1] else 0
    if config.evolve.rounds < last:
      found["evolve.rounds"] = (
        f"config.evolve.rounds: is now {config.evolve.rounds}, and {begun[-1]}"
        " was made"
      )
    return [found[path] for path in _FIELDS if path in found]

  def _told(self, config: RunConfig, begun: list[str]) -> list[str]:
    """What changed since the last start, a line for each consequence."""
    file = self.path / CONFIG_FILE
    if not file.exists():
      unknown = [stage for stage in begun if self.identity(stage) is None]
      return [
        f"{stage}: has files, and nothing says what they were made with; they"
        " are taken as they are"
        for stage in unknown
      ]
    old, new = _flattened(io.read_json(file)), flat(config)
    changed: dict[str, list[str]] = {}
    for path, field in _FIELDS.items():
      before = old.get(path, _default(path))
      if before != new[path]:
        line = f"{path} {before!r} -> {new[path]!r}"
        changed.setdefault(field.setting.decides, []).append(line)
    told = {
      "adapt": "nothing was made with it yet",
      "decompose": "nothing was made with it yet",
      "rounds": "nothing was made with it yet",
      "evaluate": "scores and report are made again"
      if begun
      else "nothing was made with it yet",
      "nothing": "no file that was made depends on it",
    }
    return [
      f"changed: {', '.join(changed[part])} ({why})"
      for part, why in told.items()
      if part in changed
    ]

  # --- while it runs --------------------------------------------------------

  def claim(self, config: RunConfig) -> None:
    """Writes config.json; to be called before a start's first artefact."""
    file, value = self.path / CONFIG_FILE, records.to_json(config)
    if processes.is_lead() and not (
      file.exists() and io.read_json(file) == value
    ):
      io.write_json(file, value)
    processes.barrier("config written")

  def begin(
    self,
    stage: str,
    config: RunConfig,
    base: str,
    inputs: Mapping[str, str],
    code: str,
  ) -> None:
    """Writes what a stage's files will follow from, or compares with it.

    To be called when all is read and loaded, and before the stage's first
    artefact; claims the folder.

    Args:
      stage: "adapt", "decompose" or "round_<number>".
      config: of the run, which `check` has seen.
      base: fingerprint of the base's weights.
      inputs: digest of the rows of each role.
      code: version of the code.

    Raises:
      UserError: the base, or rows that a stage of this folder has learned
        from, are no longer the same.
    """
    changed = self.changed(base, inputs)
    if changed:
      raise UserError("\n".join([f"{self.path}: cannot go on", *changed]))
    self.claim(config)
    file = self.path / stage / IDENTITY_FILE
    part = part_of(stage)
    if processes.is_lead() and not (
      file.exists() and _holds_artefacts(file.parent)
    ):
      reads = {role: inputs[role] for role in _READS[part] if role in inputs}
      found = Identity(stage, stage_config(config, part), base, reads, code)
      io.write_json(file, records.to_json(found))
    processes.barrier(f"{stage} begun")

  def changed(self, base: str, inputs: Mapping[str, str]) -> list[str]:
    """What is not as it was when stages learned from it, a line each.

    Args:
      base: fingerprint of the base's weights.
      inputs: digest of the rows of each role. Rows also change when the
        evaluation sets do, since what those ask is taken out.
    """
    lines = {}
    for stage in self.begun():
      old = self.identity(stage)
      if old is None:
        continue
      if old.base != base:
        lines["base"] = f"base.path: {stage} was made with other weights"
      for role, value in old.inputs.items():
        if inputs.get(role, value) != value:
          lines.setdefault(
            role,
            f"data.{role}: other rows than those that {stage} learned from;"
            " the file has changed, or what the evaluation sets take out of it",
          )
    return list(lines.values())

  def identity(self, stage: str) -> Identity | None:
    """What a stage's files follow from; None where that was not written."""
    file = self.path / stage / IDENTITY_FILE
    if not file.exists():
      return None
    return records.from_json(Identity, io.read_json(file), str(file))

  def _config_of(self, stage: str) -> Mapping[str, Any] | None:
    """The fields that a stage was made with, by path; None if nothing says."""
    found = self.identity(stage)
    if found is not None:
      return found.config
    file = self.path / CONFIG_FILE
    return _flattened(io.read_json(file)) if file.exists() else None

  # --- what is complete -----------------------------------------------------

  def is_done(self, stage: str, config: RunConfig) -> bool:
    """Whether a stage of `config.STAGES` came to its end with this config."""
    file = self._done_file(stage)
    return file.exists() and io.read_json(file) == _done_for(stage, config)

  def mark_done(self, stage: str, config: RunConfig) -> None:
    """Writes that a stage has come to its end."""
    if processes.is_lead():
      io.write_json(self._done_file(stage), _done_for(stage, config))
    processes.barrier(f"{stage} done")

  def _done_file(self, stage: str) -> epath.Path:
    return self.path / "done" / f"{stage}.json"


def _done_for(stage: str, config: RunConfig) -> dict[str, Any]:
  """What a stage's being complete depends on."""
  part = {"evolve": "rounds", "export": "rounds"}.get(stage, stage)
  rounds = {} if part in ("adapt", "decompose") else {"rounds": config.rounds}
  values = {**stage_config(config, part), **rounds}
  return {"stage": stage, "identity": io.digest([values])}


def _holds_artefacts(folder: epath.Path) -> bool:
  """Whether a stage's folder holds more than logs and its identity."""
  if not folder.exists():
    return False
  checkpoints = folder / "checkpoints"
  return (
    any((folder / x).exists() for x in ("state.json", "result/manifest.json"))
    or (checkpoints.exists() and any(checkpoints.iterdir()))
    or any(x.name != "metrics.jsonl" for x in folder.glob("*.jsonl"))
    or any(folder.glob("*.jsonl*.log"))
  )


def _default(path: str) -> Any:
  """A field's default as JSON: what it was before the field existed."""
  return records.to_json(_FIELDS[path].default)


def _flattened(tree: Any, path: str = "") -> dict[str, Any]:
  """The leaves of nested objects, by dotted path."""
  if not isinstance(tree, Mapping):
    return {path: tree}
  found: dict[str, Any] = {}
  for key, value in tree.items():
    found |= _flattened(value, f"{path}.{key}" if path else str(key))
  return found
