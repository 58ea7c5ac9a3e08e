"""The shape of a decoder, and how it is written to config.json.

`DecoderConfig` is what the Flax module needs and nothing else: every
difference between families is a value here, so the module has no family
names in it.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tooldev_jax.models.config_reader import read_fields
from tooldev_jax.models.families import FAMILIES, Family
from tooldev_jax.models.layers import (
  AttentionSpec,
  LayerGroup,
  LayerSpec,
  group_layers,
)
from tooldev_jax.models.rope import rope_to_hf

__all__ = ["AttentionSpec", "DecoderConfig", "LayerGroup", "LayerSpec"]


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
    return group_layers(self.layers)

  @classmethod
  def from_hf(
    cls, fields: Mapping[str, Any], where: str = "config.json"
  ) -> "DecoderConfig":
    """Reads the fields of a config.json, as transformers 4 or 5 write them.

    Args:
      fields: the parsed file.
      where: the file's name, for messages.

    Raises:
      UserError: what is not supported, all of it in one message.
    """
    return cls(**read_fields(fields, where))

  def with_stop_tokens(
    self, stop_token_ids: Iterable[int], pad_token_id: int | None
  ) -> "DecoderConfig":
    """The same decoder, with the tokens that end an answer in its file.

    Args:
      stop_token_ids: any of them ends an answer.
      pad_token_id: what fills a batch; None for the first stop token.
    """
    stops = sorted({int(i) for i in stop_token_ids})
    fields = json.loads(self.extra) | {
      # A single one is written as every reader knows it.
      "eos_token_id": stops[0] if len(stops) == 1 else stops,
      "pad_token_id": stops[0] if pad_token_id is None else int(pad_token_id),
    }
    extra = json.dumps(fields, sort_keys=True)
    return dataclasses.replace(self, extra=extra)

  @property
  def stop_token_ids(self) -> tuple[int, ...]:
    """The tokens that end an answer, as config.json names them."""
    return token_ids(json.loads(self.extra).get("eos_token_id"))

  @property
  def pad_token_id(self) -> int | None:
    """The token that fills a batch, if config.json names one."""
    found = token_ids(json.loads(self.extra).get("pad_token_id"))
    return found[0] if found else None

  def to_hf(self) -> dict[str, Any]:
    """The fields of config.json; `from_hf` gives the same config back."""
    family = self.family
    first = self.layers[0]
    local = [x for x in self.layers if x.attention.window is not None]
    fields = json.loads(self.extra)
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
      if soft_cap is not None:
        fields[soft_cap] = cap
    if family.windows != "none":
      fields["sliding_window"] = local[0].attention.window if local else None
    if family.windows == "late":
      fields["use_sliding_window"] = bool(local)
    if family.windows in ("late", "pattern"):
      fields["layer_types"] = [x.layer_type for x in self.layers]
    return fields | self._rope_fields()

  def _rope_fields(self) -> dict[str, Any]:
    """RoPE in the words of transformers 5 and, beside them, of 4."""
    by_type = {x.layer_type: rope_to_hf(x.rope) for x in self.layers}
    if not self.family.local_rope:
      (rope,) = {json.dumps(x, sort_keys=True) for x in by_type.values()}
      parameters = json.loads(rope)
      fields = {"rope_theta": parameters["rope_theta"]}
      if parameters["rope_type"] != "default":
        scaling = {k: v for k, v in parameters.items() if k != "rope_theta"}
        fields["rope_scaling"] = scaling
      return fields | {"rope_parameters": parameters}
    return {"rope_parameters": by_type}


def token_ids(value: Any) -> tuple[int, ...]:
  """The ids in an `eos_token_id`: a number, a list, or nothing.

  What is no id is left out, as transformers leaves it out.
  """
  values = value if isinstance(value, list) else [value]
  return tuple(x for x in values if type(x) is int and x >= 0)
