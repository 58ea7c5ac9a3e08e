"""What a run is: every setting with its default, its bounds and its meaning.

The tree of frozen dataclasses here is the one place where a default stands.
`configs/default.py` and `--print_config` are made of it, values are checked by
it before any work, and `workdir` reads from it which files of a run a setting
decides: `decides` names the earliest part whose files depend on it ("adapt",
"decompose", "rounds" or "evaluate"), and later parts depend on earlier ones.
What decides "nothing" changes no file that a result follows from, but for the
last bits of a sum: how work is divided over chips, how often something is
saved or told.

    settings    how a field is declared, checked, read and written
    inputs      the base, the data, and how data become tokens
    training    adapter, mesh, optimisation, stages, sampler
    run         rounds, evaluation, and the run that holds them all

No other file of the package knows ml_collections.
"""

from tooldev_jax.config.inputs import (
  CALL_FORMATS,
  DTYPES,
  EXACT_QUERY,
  NEAR_QUERY,
  PROMPT_STYLES,
  REASONS,
  SOURCE_KINDS,
  TOOL_NAME,
  TURNS,
  BaseConfig,
  DataConfig,
  DecontaminateConfig,
  EncodeConfig,
  SourceConfig,
  ToyConfig,
  ViewConfig,
)
from tooldev_jax.config.run import (
  STAGES,
  EvaluateConfig,
  EvolveConfig,
  RunConfig,
)
from tooldev_jax.config.settings import (
  Field,
  described,
  differences,
  fields_of,
  from_config_dict,
  nearest_field,
  to_config_dict,
)
from tooldev_jax.config.training import (
  ATTENTION,
  LINEAR_MODULES,
  OPTIMIZERS,
  REMAT,
  SCHEDULES,
  LoraConfig,
  MeshConfig,
  SamplerConfig,
  StageConfig,
  TrainConfig,
  profile_range,
)

__all__ = [
  "ATTENTION",
  "CALL_FORMATS",
  "DTYPES",
  "EXACT_QUERY",
  "LINEAR_MODULES",
  "NEAR_QUERY",
  "OPTIMIZERS",
  "PROMPT_STYLES",
  "REASONS",
  "REMAT",
  "SCHEDULES",
  "SOURCE_KINDS",
  "STAGES",
  "TOOL_NAME",
  "TURNS",
  "BaseConfig",
  "DataConfig",
  "DecontaminateConfig",
  "EncodeConfig",
  "EvaluateConfig",
  "EvolveConfig",
  "Field",
  "LoraConfig",
  "MeshConfig",
  "RunConfig",
  "SamplerConfig",
  "SourceConfig",
  "StageConfig",
  "ToyConfig",
  "TrainConfig",
  "ViewConfig",
  "described",
  "differences",
  "fields_of",
  "from_config_dict",
  "nearest_field",
  "profile_range",
  "to_config_dict",
]
