"""A whole run, as small as can be, for tests of the pipeline.

Also a config file for the launcher: --config=tests/pipeline_run.py
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from etils import epath
from ml_collections import ConfigDict

from configs import quickstart
from tooldev_jax import config as configs
from tooldev_jax import context, pipeline
from tooldev_jax.model import Model

# What must be the same bytes however often a run was stopped. Checkpoints,
# metrics, the clock and the report hold times, or how the run was stopped.
SAME = (
  "config.json",
  "decontamination.json",
  "data/*.jsonl",
  "*/state.json",
  "*/result/*",
  "*/*.jsonl",
  "*/counts.json",
  "export/adapter/*",
)
_CLOCKS = ("metrics.jsonl",)


def get_config() -> ConfigDict:
  """The quickstart with a handful of examples; lenient, so that rounds keep."""
  fields = quickstart.get_config()
  fields.toy.update(examples=24, queries=6, development=4, test=4)
  fields.data.documents.limit = 8
  fields.adapt.epochs = fields.decompose.epochs = 1
  fields.train.checkpoint_every = fields.train.log_every = 1
  fields.evolve.update(
    rounds=1,
    samples=2,
    min_vote_share=0.0,
    grounded=False,
    max_drop=1.0,
    max_over_call_rise=1.0,
  )
  fields.evaluate.tool_making = 2
  # One bucket of each: the time goes into compiling.
  fields.sampler.prompt_buckets = [fields.encode.max_length]
  fields.sampler.tail_buckets = fields.sampler.tail_buckets[-1:]
  fields.sampler.rows = 8
  return fields


def small_config(**changes: Any) -> configs.RunConfig:
  """The same, checked."""
  fields = get_config()
  fields.update_from_flattened_dict(changes)
  return configs.from_config_dict(configs.RunConfig, fields)


def run(
  config: configs.RunConfig,
  workdir: epath.Path,
  stages: Sequence[str] = configs.STAGES,
) -> list[str]:
  """Runs stages in `workdir`; returns what was said."""
  said: list[str] = []
  pipeline.run(config, epath.Path(workdir), said.append, stages)
  return said


def share_model(monkeypatch: pytest.MonkeyPatch) -> None:
  """All starts get one model: it holds weights and compiled programs, nothing
  of a run."""
  monkeypatch.setattr(context, "Model", functools.cache(_model))


def _model(config: configs.RunConfig, say: Any) -> Model:
  return Model(config, lambda line: None)


def digests(workdir: epath.Path) -> dict[str, str]:
  """SHA-256 of every file that must be the same."""
  found = {}
  for pattern in SAME:
    for file in sorted(workdir.glob(pattern)):
      if file.name in _CLOCKS or file.name.startswith("."):
        continue
      digest = hashlib.sha256(file.read_bytes()).hexdigest()
      found[str(file.relative_to(workdir))] = digest
  return found
