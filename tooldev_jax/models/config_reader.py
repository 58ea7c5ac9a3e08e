"""Reads config.json as transformers would, and refuses what matters.

What a field means is decided by transformers' own config class for the
`model_type`. A field that the class does not know changes nothing: it is kept
and written back. A field that the class knows and this project does not
handle must have the class's default value.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

from absl import logging

from tooldev_jax.models.families import FAMILIES
from tooldev_jax.models.fields import Problems, as_object
from tooldev_jax.models.layers import GLOBAL, LOCAL, AttentionSpec, LayerSpec
from tooldev_jax.models.rope import Rope, rope_from_hf

ACTIVATIONS = ("silu", "gelu_pytorch_tanh")

# More layers than any model has; grouping them takes cubic time.
_MAX_LAYERS = 1000

# Read for every family; each family adds the fields that it names.
_HANDLED = (
  *("model_type", "architectures", "vocab_size", "hidden_size"),
  *("intermediate_size", "num_hidden_layers", "num_attention_heads"),
  *("num_key_value_heads", "head_dim", "max_position_embeddings"),
  *("rms_norm_eps", "tie_word_embeddings", "initializer_range"),
  *("rope_theta", "rope_scaling", "rope_parameters"),
)
_WINDOW_FIELDS = {
  "none": (),
  "all": ("sliding_window",),
  "late": (
    *("sliding_window", "use_sliding_window"),
    *("max_window_layers", "layer_types"),
  ),
  "pattern": ("sliding_window", "layer_types"),
}
# Known to every config class, and without influence on the function from
# tokens to logits. Kept as they are and written back without a word, with the
# names that older files have for them.
_QUIET = frozenset(
  (
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_cache"),
    *("transformers_version", "dtype", "torch_dtype", "_name_or_path"),
    *("output_hidden_states", "output_attentions", "return_dict"),
    *("chunk_size_feed_forward", "id2label", "label2id", "problem_type"),
    "_sliding_window_pattern",
    # Read here, but written back as layer_types.
    "max_window_layers",
  )
)
# No config class of ours has these, yet code of transformers that all models
# share reads them, or they describe a model of several parts.
_SHARED = {
  "quantization_config": "weights that are quantised are not read",
  "compression_config": "weights that are quantised are not read",
  "text_config": "a model of several parts is not read",
  "vision_config": "a model of several parts is not read",
  "audio_config": "a model of several parts is not read",
  "decoder": "a model of several parts is not read",
  "generator": "a model of several parts is not read",
  "per_layer_config": "layers of different shapes are not supported",
  "sliding_window": "transformers would limit its cache by it",
  "layer_types": "transformers would choose caches by it",
  "attention_chunk_size": "attention in chunks is not supported",
  "partial_rotary_factor": "RoPE on a part of each head is not supported",
}


def read_fields(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
  """The values of a `DecoderConfig`, from the fields of a config.json.

  Args:
    fields: the parsed file, as transformers 4 or 5 writes it.
    where: the file's name, for messages.

  Raises:
    UserError: what is not supported, all of it in one message.
  """
  return _Reader(fields, where).values()


@functools.cache
def _class_defaults(model_type: str) -> tuple[str, Mapping[str, Any]]:
  """Name and fields of transformers' config class, with their defaults."""
  # Here, because it takes a second and a config made by hand needs none.
  from transformers import CONFIG_MAPPING

  config_class = CONFIG_MAPPING[model_type]
  fields = dataclasses.fields(config_class)
  return config_class.__name__, {field.name: field.default for field in fields}


@functools.cache
def _log_once(text: str) -> None:
  """Logs a line, once however often the file is read."""
  logging.warning("%s", text)


def _is_off(value: Any) -> bool:
  return value is None or value is False or value in ({}, [])


class _Reader:
  """Reads one config.json field by field, and collects what is wrong."""

  def __init__(self, fields: Mapping[str, Any], where: str):
    self.fields = as_object(fields, where)
    self.where = where
    self.problems = Problems(where)
    model_type = fields.get("model_type")
    found = fields.get("architectures") or []
    names = found if isinstance(found, list) else [found]
    family = FAMILIES.get(str(model_type))
    if family is None or any(x != family.architecture for x in names):
      known = (f"{x.architecture} ({x.model_type})" for x in FAMILIES.values())
      self.problems.add(
        f"{', '.join(map(str, names)) or 'no architecture'} (model_type "
        f"{model_type!r:.60}) is not supported; supported: "
        f"{', '.join(sorted(known))}"
      )
    # Without a family nothing else can be judged.
    if family is None:
      self.problems.finish()
      raise AssertionError
    self.family = family
    self.class_name, defaults = _class_defaults(family.model_type)
    # Old code and old files have these beside what the class declares.
    self.defaults = {"head_dim": None} | dict(defaults)

  def get(self, field: str) -> Any:
    """The field's value, or the class's default where it is left out."""
    default = self.defaults.get(field)
    value = self.fields.get(field, default)
    # null stands for "left out", but a window or soft cap of null means off.
    optional = field in ("sliding_window", *self.family.soft_caps)
    return default if value is None and not optional else value

  def values(self) -> dict[str, Any]:
    family = self.family
    unknown = self.check_fields()
    hidden = self.number("hidden_size")
    heads = self.number("num_attention_heads")
    head_dim = self.head_dim(hidden, heads)
    read = {
      "model_type": family.model_type,
      "vocab_size": self.number("vocab_size"),
      "hidden_size": hidden,
      "intermediate_size": self.number("intermediate_size"),
      "num_heads": heads,
      "num_kv_heads": self.num_kv_heads(heads),
      "head_dim": head_dim,
      "layers": self.layers(head_dim),
      "activation": self.activation(),
      "rms_norm_eps": self.decimal("rms_norm_eps"),
      "max_position_embeddings": self.number("max_position_embeddings"),
      "tie_embeddings": self.flag("tie_word_embeddings"),
      "qkv_bias": self.flag(family.qkv_bias),
      "out_bias": self.flag(family.out_bias),
      "mlp_bias": self.flag(family.mlp_bias),
      "qk_norm": family.qk_norm,
      "unit_offset_norm": family.unit_offset_norm,
      "sandwich_norm": family.sandwich_norm,
      "scale_embeddings": family.scale_embeddings,
      "final_soft_cap": self.optional(family.soft_caps[1]),
      "query_scalar": self.optional(family.query_scalar),
      "initializer_range": self.decimal("initializer_range"),
    }
    kept = {k: self.fields[k] for k in self.fields if k in {*_QUIET, *unknown}}
    # Code that is not written beside the file is not to be asked for.
    kept.pop("auto_map", None)
    self.problems.finish()
    self.log_unknown(unknown)
    return read | {"extra": json.dumps(kept, sort_keys=True)}

  def check_fields(self) -> list[str]:
    """Refuses fields that matter; returns those the class does not know."""
    family, unknown = self.family, []
    handled: set[Any] = {
      *_HANDLED,
      *_WINDOW_FIELDS[family.windows],
      family.activation,
    }
    handled |= {family.qkv_bias, family.out_bias, family.mlp_bias}
    handled |= {family.query_scalar, *family.soft_caps}
    if family.local_rope:
      handled |= {"rope_local_base_freq", "sliding_window_pattern"}
    for field, value in self.fields.items():
      if field in handled or field in _QUIET:
        continue
      if field in self.defaults:
        default = self.defaults[field]
        # null and false both say "off".
        if (value or None) != (default or None):
          self.problems.add(
            f"{field}={value!r:.60} is not supported for {family.model_type}; "
            f"supported: {default!r}"
          )
      elif field in _SHARED and not _is_off(value):
        if field != "partial_rotary_factor" or value != 1:
          self.problems.add(f"{field}={value!r:.60}: {_SHARED[field]}")
      else:
        unknown.append(field)
    return unknown

  def log_unknown(self, unknown: list[str]) -> None:
    """Says in one line what is passed on without being understood."""
    names = sorted(set(unknown) - {"auto_map"})
    parts = []
    if names:
      parts.append(
        f"transformers' {self.class_name} does not know {', '.join(names)}, "
        "so they change nothing and are passed on"
      )
    if "auto_map" in unknown:
      parts.append("auto_map is left out, and its code is never run")
    if parts:
      _log_once(f"{self.where}: {'; '.join(parts)}.")

  def number(self, field: str, whole: bool = True) -> Any:
    return self.problems.number(field, self.get(field), whole)

  def decimal(self, field: str) -> float | None:
    value = self.number(field, whole=False)
    return None if value is None else float(value)

  def optional(self, field: str | None) -> Any:
    """A number that may be null, or that the family does not have."""
    if field is None or self.get(field) is None:
      return None
    return self.number(field, whole=False)

  def flag(self, source: bool | str) -> bool:
    if isinstance(source, bool):
      return source
    return self.problems.flag(source, self.get(source))

  def num_kv_heads(self, heads: int | None) -> int | None:
    # null is one for each query head, even where the default is another.
    name = "num_key_value_heads"
    if self.fields.get(name, self.get(name)) is None:
      return heads
    kv_heads = self.number(name)
    if heads and kv_heads and heads % kv_heads:
      self.problems.add(
        f"num_attention_heads={heads} is not a multiple of {name}={kv_heads}"
      )
    return kv_heads

  def head_dim(self, hidden: int | None, heads: int | None) -> int | None:
    if self.get("head_dim") is not None:
      head_dim = self.number("head_dim")
    elif not hidden or not heads:
      return None
    elif hidden % heads:
      self.problems.add(
        f"hidden_size={hidden} is not a multiple of "
        f"num_attention_heads={heads}, and there is no head_dim"
      )
      return None
    else:
      head_dim = hidden // heads
    if head_dim and head_dim % 2:
      self.problems.add(f"head_dim={head_dim}; RoPE needs it even")
    return head_dim

  def activation(self) -> str:
    field = self.family.activation
    value = self.get(field)
    if value not in ACTIVATIONS:
      self.problems.add(
        f"{field}={value!r:.60} is not supported; "
        f"supported: {', '.join(ACTIVATIONS)}"
      )
    return value

  def layers(self, head_dim: int | None) -> tuple[LayerSpec, ...]:
    family = self.family
    scalar = self.optional(family.query_scalar) or head_dim or 1
    soft_cap = self.optional(family.soft_caps[0])
    window, layer_types = self.window(), self.layer_types()
    if window is None and LOCAL in layer_types:
      self.problems.add(
        f"layer_types has {LOCAL}, but sliding_window is null or "
        "use_sliding_window is false"
      )
    spec = {
      layer_type: LayerSpec(
        AttentionSpec(
          scale=float(scalar) ** -0.5,
          window=window if layer_type == LOCAL else None,
          soft_cap=soft_cap,
        ),
        self.rope(layer_type),
      )
      for layer_type in dict.fromkeys(layer_types)
    }
    return tuple(spec[layer_type] for layer_type in layer_types)

  def window(self) -> int | None:
    """Tokens that the layers with a window see; None if no layer has one."""
    windows = self.family.windows
    if windows == "none" or self.get("sliding_window") is None:
      return None
    if windows == "late" and not self.flag("use_sliding_window"):
      return None
    return self.number("sliding_window")

  def layer_types(self) -> list[str]:
    """LOCAL or GLOBAL for each layer."""
    family, count = self.family, self.number("num_hidden_layers")
    if count is None:
      return []
    if count > _MAX_LAYERS:
      self.problems.add(
        f"num_hidden_layers={count}; at most {_MAX_LAYERS} are supported"
      )
      return []
    named = None
    if "layer_types" in _WINDOW_FIELDS[family.windows]:
      named = self.get("layer_types")
    if named is not None:
      return self.named_layer_types(named, count)
    if family.windows == "all" and self.window() is not None:
      return [LOCAL] * count
    if family.windows == "late" and self.window() is not None:
      first = self.get("max_window_layers")
      if first != 0:
        first = self.number("max_window_layers") or 0
      return [LOCAL if i >= first else GLOBAL for i in range(count)]
    if family.windows == "pattern":
      every = family.pattern
      if family.local_rope and self.fields.get("sliding_window_pattern"):
        every = self.number("sliding_window_pattern") or every
      return [GLOBAL if (i + 1) % every == 0 else LOCAL for i in range(count)]
    return [GLOBAL] * count

  def named_layer_types(self, named: Any, count: int) -> list[str]:
    known = (LOCAL, GLOBAL)
    if not isinstance(named, list):
      self.problems.add(f"layer_types={named!r:.60}; a list is needed")
      return []
    wrong = [x for x in named if x not in known]
    if wrong or len(named) != count:
      self.problems.add(
        f"layer_types names {len(named)} layers and "
        f"{f'{wrong!r:.60}' if wrong else 'known types'}; {count} of "
        f"{' or '.join(known)} needed"
      )
      return []
    return list(named)

  def rope(self, layer_type: str) -> Rope:
    """One layer type's RoPE, from the new field or from the old ones."""
    new, old = self.rope_fields()
    parameters, field, theta = new or old, "rope_theta", 10000.0
    if self.family.local_rope:
      theta = 1000000.0
      parameters = new.get(layer_type) or {} if new else old
      if layer_type == LOCAL:
        field, theta = "rope_local_base_freq", 10000.0
        # The old files scale the global layers only.
        parameters = parameters if new else {}
    return rope_from_hf(
      {"rope_theta": self.fields.get(field) or theta} | dict(parameters),
      self.get("max_position_embeddings"),
      self.problems,
    )

  def rope_fields(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """rope_parameters of transformers 5 and rope_scaling of 4, or empty."""
    new = self.rope_object("rope_parameters")
    old = self.rope_object("rope_scaling")
    nested = LOCAL in new or GLOBAL in new
    if new and nested != self.family.local_rope:
      self.problems.add(
        f"rope_parameters={new!r:.200}; {self.family.model_type} has "
        f"{'one of all layers' if nested else 'one of each type of layer'}"
      )
      return {}, {}
    if nested and not all(
      isinstance(new.get(x) or {}, Mapping) for x in (LOCAL, GLOBAL)
    ):
      self.problems.add(
        f"rope_parameters={new!r:.200}; an object is needed for each type"
      )
      return {}, {}
    scaled = new.get(GLOBAL) or {} if nested else new
    wrong = {x for x in old if x != "type" and old[x] != scaled.get(x)}
    if new and wrong:
      self.problems.add(
        f"rope_scaling and rope_parameters have different "
        f"{', '.join(sorted(wrong))}; leave one of them out"
      )
    return new, old

  def rope_object(self, field: str) -> Mapping[str, Any]:
    value = self.fields.get(field) or {}
    if isinstance(value, Mapping):
      return value
    self.problems.add(f"{field}={value!r:.60}; an object is needed")
    return {}
