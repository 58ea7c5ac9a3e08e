"""A job: what is run and on what, and what a platform would do for it."""

import dataclasses
import re
import shlex
from collections.abc import Mapping

from launch import errors
from tooldev_jax.errors import UserError
from tooldev_jax.parallel.chips import Slice

# What a job may end with and be started again. EXIT_PREEMPTED: it saved and
# stopped because it was asked to. 134: the process was aborted, as JAX does
# with those that are left when another process of the run is gone.
EXIT_LOST_PROCESS = 134

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/.*)?")
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]+-[a-z]")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/@-]*")
# Every resource has these labels, by which `list` finds it.
_APP = {"app": "tooldev-jax"}
_MAX_LABELS = 64 - len(_APP) - 1


@dataclasses.dataclass(frozen=True)
class Job:
  """A run on a platform's machines.

  Attributes:
    name: of all that is created.
    workdir: folder of the run, gs://.
    arguments: flags of launch.run as they were given, --workdir apart.
    accelerator: the chips of one slice.
    slices: how many of them.
    provisioning: "standard", "spot" or "flex" (queued, for a limited time).
    image: the container image.
    labels: of the user.
    restarts: how often it is started again after it was interrupted.
  """

  name: str
  workdir: str
  arguments: tuple[str, ...]
  accelerator: Slice
  slices: int
  provisioning: str
  image: str
  labels: Mapping[str, str]
  restarts: int = 10

  def __post_init__(self) -> None:
    check_name(self.name)
    if not _BUCKET.fullmatch(self.workdir):
      raise UserError(
        f"--workdir: {self.workdir!r} is not seen by the platform's machines;"
        " give a folder in a bucket, as gs://BUCKET/runs/demo"
      )
    if self.slices < 1:
      raise UserError(f"--slices: {self.slices}; allowed: at least 1")
    if self.restarts < 0:
      raise UserError(f"--restarts: {self.restarts}; allowed: at least 0")
    if not _IMAGE.fullmatch(self.image):
      raise UserError(
        f"--image: {self.image!r} is no container image; build"
        " launch/Dockerfile and give it as"
        " REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG"
      )
    _check_labels(self.labels)

  @property
  def hosts(self) -> int:
    """Machines, and so processes, of the whole job."""
    return self.accelerator.hosts * self.slices

  @property
  def bucket(self) -> str:
    return self.workdir.removeprefix("gs://").partition("/")[0]

  @property
  def all_labels(self) -> dict[str, str]:
    return {**_APP, "run": self.name, **self.labels}

  @property
  def exits_to_restart(self) -> list[int]:
    """Exit statuses after which the run goes on if it is started again."""
    several = [EXIT_LOST_PROCESS] if self.hosts > 1 else []
    return [errors.EXIT_PREEMPTED, *several]

  def command(self, *process_flags: str) -> tuple[str, ...]:
    """What each machine runs."""
    return (
      *("python", "-m", "launch.run"),
      *self.arguments,
      f"--workdir={self.workdir}",
      *process_flags,
    )

  def in_words(self) -> str:
    x = self.accelerator
    shape = f" ({x.topology})" if x.is_tpu else f" ({x.machine})"
    return (
      f"{self.slices} × {x.name}{shape}: {self.slices * x.chips} chips on"
      f" {self.hosts} machines, {self.provisioning}"
    )


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is handed to a platform's client.

  Attributes:
    commands: run one after another in a folder that holds `files`.
    files: text by name.
    notes: what the user should know: one sentence each.
    stale: a command that prints the state of an earlier resource of the same
      name, and the states in which `remove` is run first; None for none.
  """

  commands: tuple[tuple[str, ...], ...]
  files: Mapping[str, str] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  stale: "Stale | None" = None

  def in_words(self) -> str:
    """All of it, as --dry_run prints it."""
    lines = []
    for name, text in self.files.items():
      lines += [f"--- {name}", text.rstrip()]
    lines += ["--- commands"]
    if self.stale:
      lines += [
        f"# first, if {shlex.join(self.stale.state)}",
        f"# prints {' or '.join(self.stale.states)}:",
        f"# {shlex.join(self.stale.remove)}",
      ]
    lines += [shlex.join(command) for command in self.commands]
    lines += [f"# {note}" for note in self.notes]
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Stale:
  """A resource that is in the way of another of its name, and of no use."""

  state: tuple[str, ...]
  states: tuple[str, ...]
  remove: tuple[str, ...]


def check_name(name: str) -> None:
  """Raises UserError where a platform would refuse the name."""
  if not _NAME.fullmatch(name):
    raise UserError(
      f"--name: {name!r}; allowed: 1 to 63 lower-case letters, digits and"
      " hyphens, a letter first and no hyphen last"
    )


def check_zone(zone: str) -> None:
  if not _ZONE.fullmatch(zone):
    raise UserError(f"--zone: {zone!r} is no zone; zones are as us-east5-a")


def check_region(region: str) -> None:
  if not _REGION.fullmatch(region):
    raise UserError(
      f"--region: {region!r} is no region; regions are as us-central1"
    )


def check_duration(flag: str, seconds: int, most: int) -> None:
  if not 1 <= seconds <= most:
    raise UserError(f"--{flag}: {seconds}; allowed: 1 to {most} seconds")


def parse_labels(pairs: list[str]) -> dict[str, str]:
  """Labels of "key=value" texts."""
  labels = {}
  for pair in pairs:
    key, equals, value = pair.partition("=")
    if not equals:
      raise UserError(f"--labels: {pair!r} is not of the form key=value")
    labels[key] = value
  return labels


def _check_labels(labels: Mapping[str, str]) -> None:
  if len(labels) > _MAX_LABELS:
    raise UserError(f"--labels: {len(labels)}; allowed: up to {_MAX_LABELS}")
  for key, value in labels.items():
    if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
      raise UserError(
        f"--labels: {key}={value}; allowed in both: 1 to 63 lower-case letters,"
        " digits, hyphens and underscores, a letter first in the key, a letter"
        " or a digit first and last in the value"
      )
    if key in (*_APP, "run") or key.startswith(("goog-", "google-")):
      raise UserError(f"--labels: {key} is taken; give it another name")
