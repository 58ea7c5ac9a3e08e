"""The shape of a decoder, read from and written to config.json.

`DecoderConfig` is what the Flax module needs and nothing else: every
difference between families is a value here, so the module has no family
names in it.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

from tooldev_jax.errors import UserError
from tooldev_jax.models.families import FAMILIES, Family
from tooldev_jax.models.fields import positive
from tooldev_jax.models.rope import Rope, rope_from_hf, rope_to_hf

ACTIVATIONS = ("silu", "gelu_pytorch_tanh")
LOCAL, GLOBAL = "sliding_attention", "full_attention"

# Fields that say nothing about the function from tokens to logits. They are
# kept as they are and written back.
_PASSED_ON = frozenset(
  (
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_cache"),
    *("transformers_version", "torch_dtype", "dtype", "_name_or_path"),
    *("max_window_layers", "sliding_window_pattern", "cache_implementation"),
    *("_sliding_window_pattern", "return_dict", "output_hidden_states"),
    *("output_attentions", "is_encoder_decoder", "id2label", "label2id"),
    *("problem_type", "chunk_size_feed_forward", "tokenizer_class", "prefix"),
    *("task_specific_params", "unsloth_fixed", "unsloth_version"),
    *("_attn_implementation", "_attn_implementation_autoset"),
    *("attn_implementation", "is_llama_config", "transformers.js_config"),
    # Defaults of generation, which older files hold.
    *("do_sample", "early_stopping", "max_length", "min_length"),
    *("temperature", "top_k", "top_p", "typical_p", "num_return_sequences"),
    *("num_beams", "num_beam_groups", "diversity_penalty", "length_penalty"),
    *("repetition_penalty", "no_repeat_ngram_size"),
    "encoder_no_repeat_ngram_size",
  )
)
_ROPE_FIELDS = (
  "rope_theta",
  "rope_scaling",
  "rope_parameters",
  "rope_local_base_freq",
)


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
  """What one layer's attention does with queries, keys and values.

  Attributes:
    scale: factor on the products of queries and keys.
    window: how many tokens a query sees, itself included; None for all.
    soft_cap: products p become cap * tanh(p / cap); None for none.
  """

  scale: float
  window: int | None = None
  soft_cap: float | None = None


@dataclasses.dataclass(frozen=True)
class LayerSpec:
  """What differs from layer to layer: attention and RoPE."""

  attention: AttentionSpec
  rope: Rope


@dataclasses.dataclass(frozen=True)
class LayerGroup:
  """`repeats` times the same block of layers, scanned as one.

  Attributes:
    name: the group's key in parameters, adapters and caches.
    first: index of its first layer in the model.
    repeats: how often the block repeats: the leading axis of its arrays.
    layers: the layers of the block.
  """

  name: str
  first: int
  repeats: int
  layers: tuple[LayerSpec, ...]


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
  """A decoder's shape; hashable, so it can be a static argument.

  Attributes are named as in config.json where it has them. `layers` holds
  one LayerSpec a layer; `initializer_range` is the standard deviation of
  weights made from scratch; `extra` is JSON text of the fields of config.json
  that do not touch the model and are written back as they came.
  """

  model_type: str
  vocab_size: int
  hidden_size: int
  intermediate_size: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  layers: tuple[LayerSpec, ...]
  activation: str
  rms_norm_eps: float
  max_position_embeddings: int
  tie_embeddings: bool
  qkv_bias: bool
  out_bias: bool
  mlp_bias: bool
  qk_norm: bool
  unit_offset_norm: bool
  sandwich_norm: bool
  scale_embeddings: bool
  final_soft_cap: float | None
  query_scalar: float | None = None
  initializer_range: float = 0.02
  extra: str = "{}"

  @property
  def family(self) -> Family:
    """The family's declaration."""
    return FAMILIES[self.model_type]

  @property
  def groups(self) -> tuple[LayerGroup, ...]:
    """The layers as repeating blocks, with as few distinct layers as can be.

    Llama is one group of one layer; Gemma 3 with 26 layers is four times
    (five local, one global), then two times one local layer.
    """
    return _group(self.layers)

  @classmethod
  def from_hf(
    cls, fields: Mapping[str, Any], where: str = "config.json"
  ) -> "DecoderConfig":
    """Reads the fields of a config.json, as transformers 4 or 5 write them.

    Args:
      fields: the parsed file.
      where: the file's name, for messages.

    Raises:
      UserError: an architecture, field or value that is not supported.
    """
    return _Reader(fields, where).config()

  def to_hf(self) -> dict[str, Any]:
    """The fields of config.json; `from_hf` gives the same config back."""
    family = self.family
    first = self.layers[0]
    local = [x for x in self.layers if x.attention.window is not None]
    fields = json.loads(self.extra) | dict(family.fixed)
    fields |= {
      "model_type": family.model_type,
      "architectures": [family.architecture],
      "vocab_size": self.vocab_size,
      "hidden_size": self.hidden_size,
      "intermediate_size": self.intermediate_size,
      "num_hidden_layers": len(self.layers),
      "num_attention_heads": self.num_heads,
      "num_key_value_heads": self.num_kv_heads,
      "head_dim": self.head_dim,
      family.activation: self.activation,
      "rms_norm_eps": self.rms_norm_eps,
      "max_position_embeddings": self.max_position_embeddings,
      "tie_word_embeddings": self.tie_embeddings,
      "initializer_range": self.initializer_range,
    }
    for field, value in (
      (family.qkv_bias, self.qkv_bias),
      (family.mlp_bias, self.mlp_bias),
    ):
      if isinstance(field, str):
        fields[field] = value
    if family.query_scalar:
      fields[family.query_scalar] = self.query_scalar
    soft_caps = (first.attention.soft_cap, self.final_soft_cap)
    for soft_cap, cap in zip(family.soft_caps, soft_caps, strict=True):
      if soft_cap:
        fields[soft_cap] = cap
    if family.windows != "none":
      fields["sliding_window"] = local[0].attention.window if local else None
    if family.windows == "late":
      fields["use_sliding_window"] = bool(local)
    if family.windows in ("late", "pattern"):
      fields["layer_types"] = [_layer_type(x) for x in self.layers]
    return fields | self._rope_fields()

  def _rope_fields(self) -> dict[str, Any]:
    """RoPE in the words of transformers 5 and, beside them, of 4."""
    by_type = {_layer_type(x): rope_to_hf(x.rope) for x in self.layers}
    if not self.family.local_rope:
      (rope,) = {json.dumps(x, sort_keys=True) for x in by_type.values()}
      parameters = json.loads(rope)
      fields = {"rope_theta": parameters["rope_theta"]}
      if parameters["rope_type"] != "default":
        scaling = {k: v for k, v in parameters.items() if k != "rope_theta"}
        fields["rope_scaling"] = scaling
      return fields | {"rope_parameters": parameters}
    return {"rope_parameters": by_type}


class _Reader:
  """Reads one config.json field by field and refuses what is left over."""

  def __init__(self, fields: Mapping[str, Any], where: str):
    if not isinstance(fields, Mapping):
      raise UserError(f"{where}: an object is needed, not {fields!r:.40}.")
    self.fields = fields
    self.where = where
    model_type = fields.get("model_type")
    architectures = fields.get("architectures") or []
    family = FAMILIES.get(str(model_type))
    if family is None or any(x != family.architecture for x in architectures):
      found = ", ".join(map(str, architectures)) or "no architecture"
      known = (f"{x.architecture} ({x.model_type})" for x in FAMILIES.values())
      raise UserError(
        f"{where}: {found} (model_type {model_type!r}) is not supported; "
        f"supported: {', '.join(sorted(known))}."
      )
    self.family = family
    self.defaults = {"initializer_range": 0.02} | dict(family.defaults)

  def get(self, field: str) -> Any:
    """The field's value, or the family's default where it is left out."""
    default = self.defaults.get(field)
    value = self.fields.get(field, default)
    # null stands for "left out", but a window or soft cap of null means off.
    optional = field in ("sliding_window", *self.family.soft_caps)
    return default if value is None and not optional else value

  def config(self) -> DecoderConfig:
    self.refuse_unknown()
    family = self.family
    heads = self.number("num_attention_heads")
    hidden = self.number("hidden_size")
    kv_heads = heads
    # null is one for each query head, even where the default is another.
    if self.fields.get("num_key_value_heads", self.get("num_key_value_heads")):
      kv_heads = self.number("num_key_value_heads")
    if heads % kv_heads:
      raise UserError(
        f"{self.where}: num_attention_heads={heads} is not a multiple of "
        f"num_key_value_heads={kv_heads}."
      )
    head_dim = hidden // heads
    if self.get("head_dim") is not None:
      head_dim = self.number("head_dim")
    if head_dim % 2:
      raise UserError(f"{self.where}: head_dim={head_dim}; RoPE needs it even.")
    activation = self.get(family.activation)
    if activation not in ACTIVATIONS:
      raise UserError(
        f"{self.where}: {family.activation}={activation!r} is not supported; "
        f"supported: {', '.join(ACTIVATIONS)}."
      )
    return DecoderConfig(
      model_type=family.model_type,
      vocab_size=self.number("vocab_size"),
      hidden_size=hidden,
      intermediate_size=self.number("intermediate_size"),
      num_heads=heads,
      num_kv_heads=kv_heads,
      head_dim=head_dim,
      layers=self.layers(head_dim),
      activation=activation,
      rms_norm_eps=float(self.number("rms_norm_eps", whole=False)),
      max_position_embeddings=self.number("max_position_embeddings"),
      tie_embeddings=self.flag("tie_word_embeddings"),
      qkv_bias=self.flag(family.qkv_bias),
      out_bias=self.flag(family.out_bias),
      mlp_bias=self.flag(family.mlp_bias),
      qk_norm=family.qk_norm,
      unit_offset_norm=family.unit_offset_norm,
      sandwich_norm=family.sandwich_norm,
      scale_embeddings=family.scale_embeddings,
      final_soft_cap=self.optional(family.soft_caps[1]),
      query_scalar=self.optional(family.query_scalar),
      initializer_range=float(self.number("initializer_range", whole=False)),
      extra=json.dumps(
        {k: v for k, v in self.fields.items() if k in _PASSED_ON},
        sort_keys=True,
      ),
    )

  def refuse_unknown(self) -> None:
    family = self.family
    for field, value in self.fields.items():
      if field in family.fixed:
        # null and false both say "off".
        if (value or None) != (family.fixed[field] or None):
          raise UserError(
            f"{self.where}: {field}={value!r} is not supported for "
            f"{family.model_type}; supported: {family.fixed[field]!r}."
          )
      elif (
        field not in self.defaults
        and field not in _PASSED_ON
        and field not in _ROPE_FIELDS
        and field not in ("model_type", "architectures")
        and value not in ({}, [])
        and value is not None
        and value is not False
      ):
        raise UserError(
          f"{self.where}: field {field!r} (value {value!r}) is not known for "
          f"{family.model_type}, so the model may not be what it asks for. "
          "Remove the field if it changes nothing. Supported: "
          f"{', '.join(sorted(family.defaults))}."
        )

  def number(self, field: str, whole: bool = True) -> Any:
    return positive(self.where, field, self.get(field), whole)

  def optional(self, field: str | None) -> Any:
    """A number that may be null, or that the family does not have."""
    if field is None or self.get(field) is None:
      return None
    return self.number(field, whole=False)

  def flag(self, source: bool | str) -> bool:
    value = self.get(source) if isinstance(source, str) else source
    if not isinstance(value, bool):
      raise UserError(
        f"{self.where}: {source}={value!r}; true or false needed."
      )
    return value

  def layers(self, head_dim: int) -> tuple[LayerSpec, ...]:
    family = self.family
    scalar = self.optional(family.query_scalar) or head_dim
    soft_cap = self.optional(family.soft_caps[0])
    window = self.window()
    specs = []
    for layer_type in self.layer_types():
      local = layer_type == LOCAL
      if local and window is None:
        raise UserError(
          f"{self.where}: layer_types has {LOCAL}, but sliding_window is null "
          "or use_sliding_window is false."
        )
      attention = AttentionSpec(
        scale=float(scalar) ** -0.5,
        window=window if local else None,
        soft_cap=soft_cap,
      )
      specs.append(LayerSpec(attention, self.rope(layer_type)))
    return tuple(specs)

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
    count = self.number("num_hidden_layers")
    family = self.family
    named = self.get("layer_types")
    if named is not None:
      wrong = [x for x in named if x not in (LOCAL, GLOBAL)]
      if wrong or len(named) != count:
        raise UserError(
          f"{self.where}: layer_types names {len(named)} layers and "
          f"{wrong or 'known types'}; {count} of {LOCAL} or {GLOBAL} needed."
        )
      return list(named)
    if family.windows == "all" and self.window() is not None:
      return [LOCAL] * count
    if family.windows == "late" and self.window() is not None:
      first = self.get("max_window_layers")
      return [LOCAL if i >= first else GLOBAL for i in range(count)]
    if family.windows == "pattern":
      every = self.fields.get("sliding_window_pattern") or family.pattern
      return [GLOBAL if (i + 1) % every == 0 else LOCAL for i in range(count)]
    return [GLOBAL] * count

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
      self.number("max_position_embeddings"),
      self.where,
    )

  def rope_fields(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """rope_parameters of transformers 5 and rope_scaling of 4, or empty."""
    new, old = (
      self.fields.get(field) or {}
      for field in ("rope_parameters", "rope_scaling")
    )
    nested = isinstance(new, Mapping) and (LOCAL in new or GLOBAL in new)
    for field, value in (("rope_parameters", new), ("rope_scaling", old)):
      if not isinstance(value, Mapping):
        raise UserError(
          f"{self.where}: {field}={value!r}; an object is needed."
        )
    if new and nested != self.family.local_rope:
      raise UserError(
        f"{self.where}: rope_parameters={new!r}; {self.family.model_type} has "
        f"{'one of all layers' if nested else 'one of each type of layer'}."
      )
    scaled = new.get(GLOBAL) or {} if nested else new
    wrong = {x for x in old if x != "type" and old[x] != scaled.get(x)}
    if new and wrong:
      raise UserError(
        f"{self.where}: rope_scaling and rope_parameters have different "
        f"{', '.join(sorted(wrong))}; leave one of them out."
      )
    return new, old


def _layer_type(layer: LayerSpec) -> str:
  return GLOBAL if layer.attention.window is None else LOCAL


@functools.cache
def _group(layers: tuple[LayerSpec, ...]) -> tuple[LayerGroup, ...]:
  """Cuts layers into repeated blocks; fewest distinct layers, then groups."""
  count = len(layers)
  # best[i]: (distinct layers, groups, [(period, repeats), ...]) from i on.
  best: list[Any] = [None] * count + [(0, 0, ())]
  for i in reversed(range(count)):
    for period in range(1, count - i + 1):
      repeats = 1
      while (
        layers[i : i + period]
        == layers[i + repeats * period : i + (repeats + 1) * period]
      ):
        repeats += 1
      distinct, groups, rest = best[i + period * repeats]
      option = (distinct + period, groups + 1, ((period, repeats), *rest))
      if best[i] is None or option[:2] < best[i][:2]:
        best[i] = option
  result, start = [], 0
  for number, (period, repeats) in enumerate(best[0][2]):
    block = layers[start : start + period]
    result.append(LayerGroup(f"blocks_{number}", start, repeats, block))
    start += period * repeats
  return tuple(result)
