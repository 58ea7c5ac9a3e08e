"""Every shipped config loads, validates, and refuses what it must."""

import importlib
import pathlib

import pytest

from tooldev_jax import config as configs
from tooldev_jax.errors import UserError
from tooldev_jax.toy.base import PretrainConfig

_FOLDER = pathlib.Path(__file__).parents[1] / "configs"
_RUNS = sorted(
  path.stem
  for path in _FOLDER.glob("*.py")
  if path.stem not in ("__init__", "default", "tiny_base")
)


def _load(name):
  return importlib.import_module(f"configs.{name}").get_config()


@pytest.mark.parametrize("name", _RUNS)
def test_shipped_config_is_valid_but_for_its_paths(name):
  fields = _load(name)
  for role in ("examples", "queries", "development"):
    fields.data[role].path = "given"
  run = configs.from_config_dict(configs.RunConfig, fields)
  assert run.base.path
  assert run.decompose.epochs >= 1


@pytest.mark.parametrize("name", _RUNS)
def test_every_field_can_be_set_by_a_flag(name):
  """Flags can set tuples, and no lists."""
  pending = [_load(name).to_dict()]
  while pending:
    for value in pending.pop().values():
      assert not isinstance(value, list), value
      if isinstance(value, dict):
        pending.append(value)


def test_tiny_base_config_is_valid():
  run = configs.from_config_dict(PretrainConfig, _load("tiny_base"))
  assert run.phases


def test_default_names_every_field_that_a_run_has():
  shipped = _load("default").to_dict()
  fields = configs.records.to_json(
    configs.from_config_dict(configs.RunConfig, _load("quickstart"))
  )
  assert set(shipped) == set(fields)
  for group in ("data", "view", "encode", "evolve", "evaluate", "toy"):
    assert set(shipped[group]) == set(fields[group]), group


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda c: c.lora.update(rank="x"), "config.lora.rank"),
    (lambda c: c.update(loraa={}), "unknown field 'loraa'"),
    (lambda c: c.evolve.update(min_vote_share=2.0), "min_vote_share"),
    (lambda c: c.evaluate.update(bfcl_slice=-1), "evaluate.bfcl_slice: -1"),
    (lambda c: c.encode.update(max_length=4096), "data.row_length"),
    (lambda c: c.base.update(dtype="int8"), "base.dtype"),
    (lambda c: c.data.development.update(path=""), "data.development"),
    (lambda c: c.data.queries.update(path=""), "data.queries.path"),
    (lambda c: c.view.update(mask_names=2.0), "view.mask_names"),
    (
      lambda c: (c.view.update(split_turns=True), c.encode.update(turns="all")),
      'set encode.turns = "last"',
    ),
  ],
)
def test_a_wrong_field_is_named(change, message):
  fields = _load("quickstart")
  with fields.ignore_type(), fields.unlocked():
    change(fields)
  with pytest.raises(UserError, match=message):
    configs.from_config_dict(configs.RunConfig, fields)


def test_differences_name_the_field_and_both_values():
  lines = configs.differences(
    {"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "d": 2}, "config"
  )
  assert lines == [
    "config.a.b: was 1, is now 3",
    "config.c: was 2, is now '(absent)'",
    "config.d: was '(absent)', is now 2",
  ]
