"""Every shipped config loads, validates, and refuses what it must."""

import dataclasses
import importlib
import math
import pathlib

import pytest

from tooldev_jax import config as configs
from tooldev_jax import records
from tooldev_jax.config.settings import Settings, setting
from tooldev_jax.data.sources import SOURCES
from tooldev_jax.errors import UserError
from tooldev_jax.models.attention import BACKENDS
from tooldev_jax.models.transformer import REMAT_POLICIES
from tooldev_jax.toolcall.formats import CALL_FORMATS
from tooldev_jax.toy.base import PretrainConfig

_FOLDER = pathlib.Path(__file__).parents[1] / "configs"
_RUNS = sorted(
  path.stem
  for path in _FOLDER.glob("*.py")
  if path.stem not in ("__init__", "default", "tiny_base")
)


def _load(name):
  return importlib.import_module(f"configs.{name}").get_config()


def _read(fields):
  return configs.from_config_dict(configs.RunConfig, fields)


def _problems(**changes):
  """The lines about a quickstart with these changes; none if it is fine."""
  fields = _load("quickstart")
  with fields.ignore_type(), fields.unlocked():
    for path, value in changes.items():
      *above, name = path.split(".")
      group = fields
      for part in above:
        group = group[part]
      group[name] = value
  try:
    _read(fields)
  except UserError as e:
    return str(e).splitlines()
  return []


@pytest.mark.parametrize("name", _RUNS)
def test_a_shipped_config_is_valid_but_for_its_paths(name):
  fields = _load(name)
  for role in ("examples", "queries", "development"):
    fields.data[role].path = "given"
  run = _read(fields)
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


def test_the_tiny_bases_config_is_valid():
  assert configs.from_config_dict(PretrainConfig, _load("tiny_base")).phases


def test_the_default_config_is_the_defaults_of_the_dataclasses():
  fields = _load("default")
  fields.base.path = fields.data.development.path = "given"
  fields.data.examples.path = fields.data.queries.path = "given"
  run = _read(fields)
  given = {"base.path", *(f"data.{r}.path" for r in (
    "development", "examples", "queries"))}  # fmt: skip
  for field in configs.fields_of(configs.RunConfig):
    value = run
    for part in field.path.split("."):
      value = getattr(value, part)
    expected = "given" if field.path in given else field.default
    assert value == expected, field.path


def test_every_field_has_a_sentence_and_what_it_decides():
  for field in configs.fields_of(configs.RunConfig):
    assert field.setting.doc, field.path
    assert field.setting.decides in (
      "adapt", "decompose", "rounds", "evaluate", "nothing"
    ), field.path  # fmt: skip


def test_what_the_table_allows_is_what_the_rooms_have():
  assert set(configs.CALL_FORMATS) == set(CALL_FORMATS)
  assert set(configs.SOURCE_KINDS) == set(SOURCES)
  assert set(configs.ATTENTION) == {"auto", *BACKENDS}
  assert tuple(REMAT_POLICIES) == configs.REMAT


@pytest.mark.parametrize(
  ("field", "value", "told"),
  [
    ("lora.rank", "x", "found str, allowed: int"),
    ("lora.rank", True, "found bool, allowed: int"),
    ("lora.rank", 0, "0; allowed: at least 1"),
    ("lora.targets", ("lm_head",), "['lm_head']; allowed: one of q_proj,"),
    ("lora.targets", (), "none; allowed: q_proj,"),
    ("train.weight_decay", math.nan, "nan; allowed: at least 0"),
    ("train.learning_rate", math.inf, "inf; allowed: above 0"),
    ("train.beta2", 1.0, "1.0; allowed: at least 0, below 1"),
    ("train.profile_steps", "soon", "'soon' is not of the form 10:15"),
    ("train.remat", "some", "'some'; allowed: one of none, products,"),
    ("decompose.learning_rate", -1.0, "-1.0; allowed: at least 0"),
    ("round.batch_examples", 0, "0; allowed: at least 1"),
    ("round.epochs", -1, "-1; allowed: at least 0"),
    ("sampler.prompt_buckets", (-1, 64), "[-1, 64]; allowed: at least 1"),
    ("sampler.prompt_buckets", (128, 64), "allowed: one or more lengths, asc"),
    ("sampler.tail_buckets", (), "allowed: one or more lengths, ascending"),
    ("sampler.ahead", -1, "-1; allowed: at least 0"),
    ("evolve.replay", 2.0, "2.0; allowed: at least 0, at most 1"),
    ("evolve.temperature", -0.1, "-0.1; allowed: at least 0"),
    ("evolve.restart_from", "first", "'first'; allowed: one of last, base"),
    ("evaluate.bfcl_slice", -1, "-1; allowed: at least 0"),
    ("base.dtype", "int8", "'int8'; allowed: one of bfloat16, float32"),
    ("base.path", "", "empty; a folder or hub id is needed"),
    ("view.call_format", "xml", "'xml'; allowed: one of pythonic,"),
    ("data.examples.kind", "csv", "'csv'; allowed: one of records,"),
    ("data.max_bad_share", 1.5, "1.5; allowed: at least 0, at most 1"),
    ("data.decontaminate.near", 0.0, "0.0; allowed: above 0, at most 1"),
    ("data.decontaminate.reasons", ("x",), "['x']; allowed: one of tool name,"),
    ("data.development.path", "", "empty, and rounds are accepted on it"),
    ("data.queries.path", "", "empty, and evolve.rounds is not 0"),
    ("data.examples.path", "", "empty, and decompose needs it"),
    ("encode.max_length", 4096, "4096 is above data.row_length 320"),
    ("encode.max_length", 200, ""),
    ("mesh.tensor", 0, "0; allowed: a positive number or -1"),
    ("mesh.fsdp", -2, "-2; allowed: at least -1"),
    ("seed", -1, "-1; allowed: at least 0"),
    ("toy.max_tools", 0, "0; allowed: at least 1"),
  ],
)
def test_a_wrong_value_is_one_line_that_names_its_field(field, value, told):
  (line,) = _problems(**{field: value})
  where = field if told else "sampler.prompt_buckets"
  assert line.startswith(f"config.{where}: ")
  assert told in line


def test_all_problems_of_a_config_are_told_at_once():
  lines = _problems(
    **{
      "lora.rank": 0,
      "decompose.learning_rate": -1.0,
      "evolve.max_vote_share": 0.1,
      "data.development.path": "",
    }
  )
  assert [line.split(":")[0] for line in lines] == [
    "config.lora.rank",
    "config.decompose.learning_rate",
    "config.evolve.min_vote_share",
    "config.data.development.path",
  ]
  lines = _problems(**{"lora.rank": "x", "lora.rnk": 3, "round.epochs": -1})
  assert len(lines) == 3
  assert "unknown field 'rnk' (did you mean 'rank'?); allowed: " in lines[0]
  assert lines[1] == "config.lora.rank: found str, allowed: int"
  assert lines[2] == "config.round.epochs: -1; allowed: at least 0"


@pytest.mark.parametrize("turns", ["all", "with_calls"])
def test_turns_are_trained_once(turns):
  (line,) = _problems(**{"view.split_turns": True, "encode.turns": turns})
  assert 'set encode.turns = "last"' in line


def test_rounds_without_an_epoch_are_skipped_and_need_no_queries():
  assert not _problems(**{"round.epochs": 0, "data.queries.path": ""})
  fields = _load("quickstart")
  assert _read(fields).rounds == 2
  fields.round.epochs = 0
  assert _read(fields).rounds == 0


def test_a_stage_without_a_rate_takes_that_of_train():
  fields = _load("quickstart")
  fields.train.learning_rate, fields.decompose.learning_rate = 3e-4, 0.0
  run = _read(fields)
  assert run.training(run.decompose).learning_rate == 3e-4
  assert run.training(run.adapt).learning_rate == 2e-3


def test_a_config_checks_itself_when_it_is_made():
  @dataclasses.dataclass(frozen=True)
  class TeaConfig(Settings):
    cups: int = setting(1, "how many", at_least=1)
    sizes: tuple[float, ...] = setting((0.2,), "in litres", above=0, below=1)

  assert TeaConfig(2, (0.1, 0.9)).cups == 2
  with pytest.raises(UserError) as refused:
    TeaConfig(0, (0.1, 1.0))
  assert str(refused.value).splitlines() == [
    "tea.cups: 0; allowed: at least 1",
    "tea.sizes: (0.1, 1.0); allowed: above 0, below 1",
  ]


def test_a_config_survives_json():
  run = _read(_load("quickstart"))
  assert records.from_json(configs.RunConfig, records.to_json(run)) == run


def test_differences_name_the_field_and_both_values():
  lines = configs.differences(
    {"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "d": 2}, "config"
  )
  assert lines == [
    "config.a.b: was 1, is now 3",
    "config.c: was 2, is now '(absent)'",
    "config.d: was '(absent)', is now 2",
  ]
