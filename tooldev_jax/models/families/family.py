"""What one family of checkpoints adds to the common decoder, as data."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Family:
  """How to read a family's config.json; every value is plain data.

  A bias is True, False, or the name of the config.json field that says so.

  Attributes:
    model_type: `model_type` in config.json.
    architecture: the one entry of `architectures` that is supported.
    defaults: fields that shape the model and what they are when left out
      (transformers leaves out fields that equal its class defaults).
    fixed: fields that may be there, but only with this value.
    qkv_bias: q, k and v projections have a bias.
    out_bias: the attention output projection has a bias.
    mlp_bias: the MLP projections have a bias.
    qk_norm: queries and keys are normalised a head before RoPE.
    unit_offset_norm: norms scale by 1 + weight, multiplied in float32.
    sandwich_norm: attention and MLP outputs are normalised as well.
    scale_embeddings: embeddings are multiplied by sqrt(hidden size).
    activation: the field that names the MLP's activation.
    query_scalar: the field whose inverse square root scales queries; None
      for the head size.
    soft_caps: fields of the attention and of the final soft cap, or None.
    windows: which layers have a sliding window: none; "all" when
      `sliding_window` is set; "late" layers from `max_window_layers` on when
      `use_sliding_window`; "pattern" by `layer_types` (all but every n-th).
    pattern: n of "pattern" when the file names no pattern.
    local_rope: sliding layers have a RoPE of their own.
  """

  model_type: str
  architecture: str
  defaults: Mapping[str, Any]
  fixed: Mapping[str, Any]
  qkv_bias: bool | str = False
  out_bias: bool | str = False
  mlp_bias: bool | str = False
  qk_norm: bool = False
  unit_offset_norm: bool = False
  sandwich_norm: bool = False
  scale_embeddings: bool = False
  activation: str = "hidden_act"
  query_scalar: str | None = None
  soft_caps: tuple[str | None, str | None] = (None, None)
  windows: Literal["none", "all", "late", "pattern"] = "none"
  pattern: int = 0
  local_rope: bool = False
