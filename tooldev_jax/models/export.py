"""A base with its adapter merged in, as a folder of its own.

Merged weights are rounded to the folder's dtype. How far that moves the model
is measured: greedy answers of base plus adapter against those of the merged
weights, both computed in float32.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from tooldev_jax.config import LoraConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models.attention_math import MASKED, soft_cap, visible_TxS
from tooldev_jax.models.checkpoint import Loaded, on_host, save_model
from tooldev_jax.models.config import AttentionSpec, DecoderConfig
from tooldev_jax.models.lora import merge
from tooldev_jax.models.transformer import Attend, Decoder

# Length of the compared answers, in tokens.
_ANSWER = 24
# Prompts are filled up to a multiple of this.
_BUCKET = 16


@dataclasses.dataclass(frozen=True)
class MergeReport:
  """What merging did to the function.

  Attributes:
    fingerprint: of the merged model, as `load_model` will give it.
    dtype: of the merged weights.
    max_logit_difference: largest difference of a logit between base plus
      adapter and the merged weights, over all tokens of the prompts.
    max_logit: largest absolute logit there, for scale.
    prompts: how many were answered.
    changed_answers: how many greedy answers the rounding changed.
  """

  fingerprint: str
  dtype: str
  max_logit_difference: float
  max_logit: float
  prompts: int
  changed_answers: int


def export_merged(
  base: Loaded,
  adapter: Any,
  lora: LoraConfig,
  folder: epath.PathLike,
  prompts: Sequence[Sequence[int]],
  dtype: Any = None,
  max_shard_bytes: int = 1 << 30,
) -> MergeReport:
  """Merges (float32 sum, rounded once) and writes what transformers loads.

  Holds a second copy of the weights on the devices while it works.

  Args:
    base: the base model.
    adapter: factors trained on it.
    lora: their shape.
    folder: where to.
    prompts: token ids to compare answers on.
    dtype: of the merged weights; None for the base's own.
    max_shard_bytes: largest safetensors file.

  Raises:
    UserError: the dtype cannot hold the weights.
  """
  merged = jax.jit(merge, static_argnums=(2, 3))(
    base.params, adapter, lora, dtype
  )
  leaves = jax.tree.leaves(merged)
  name = str(leaves[0].dtype)
  if not all(bool(jnp.isfinite(leaf).all()) for leaf in leaves):
    raise UserError(
      f"dtype={name}: weights are larger than it can hold; use bfloat16 or "
      "float32."
    )
  variables = {"params": base.params, "lora": adapter}
  before, logits = _answers(base.config, lora, variables, prompts)
  after, rounded = _answers(base.config, lora, {"params": merged}, prompts)
  changed = sum(x != y for x, y in zip(before, after, strict=True))
  return MergeReport(
    fingerprint=save_model(merged, base.config, folder, max_shard_bytes),
    dtype=name,
    max_logit_difference=float(np.abs(logits - rounded).max()),
    max_logit=float(np.abs(logits).max()),
    prompts=len(prompts),
    changed_answers=changed,
  )


def _answers(
  config: DecoderConfig,
  lora: LoraConfig,
  variables: Any,
  prompts: Sequence[Sequence[int]],
) -> tuple[list[list[int]], np.ndarray]:
  """Greedy answers up to their stop token, and the logits of the prompts.

  Returns:
    One list of ids a prompt, and float32 [B, P, V]; 0 on padding.
  """
  length = -(-max(map(len, prompts)) // _BUCKET) * _BUCKET
  tokens = np.zeros((len(prompts), length), np.int32)
  given = np.zeros((len(prompts), length), np.int32)
  for i, prompt in enumerate(prompts):
    # At the end of the row, so that all answers begin at one column.
    tokens[i, length - len(prompt) :] = prompt
    given[i, length - len(prompt) :] = 1
  decoder = Decoder(config, lora)
  # Else a TPU would multiply float32 numbers as bfloat16.
  with jax.default_matmul_precision("highest"):
    run = jax.jit(functools.partial(_greedy, decoder))
    answers, logits = jax.tree.map(on_host, run(variables, tokens, given))
  stops = set(config.stop_token_ids)
  cut = []
  for row in answers.tolist():
    end = next((i for i, x in enumerate(row) if x in stops), len(row))
    cut.append(row[:end])
  return cut, logits * given[..., None]


def _greedy(
  decoder: Decoder, variables: Any, tokens_BxP: jax.Array, given_BxP: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The most likely next token, _ANSWER times, and the prompts' logits."""
  config = decoder.config
  rows, length = tokens_BxP.shape
  seen_BxS = jnp.pad(given_BxP, ((0, 0), (0, _ANSWER)), constant_values=1)
  position_BxS = jnp.maximum(jnp.cumsum(seen_BxS, axis=1) - 1, 0)
  shape = (rows, length + _ANSWER, config.num_kv_heads, config.head_dim)
  cache = {
    group.name: tuple(
      (jnp.zeros((group.repeats, *shape)),) * 2 for _ in group.layers
    )
    for group in config.groups
  }

  def run(tokens_BxT: jax.Array, at: Any, cache: Any) -> tuple[Any, Any]:
    count = tokens_BxT.shape[1]
    positions = jax.lax.dynamic_slice_in_dim(position_BxS, at, count, 1)
    attend = _cached_attention(seen_BxS, at)
    hidden, cache = decoder.apply(
      variables, tokens_BxT, positions, attend, cache
    )
    return decoder.unembed(variables["params"], hidden), cache

  def step(carry: Any, at: jax.Array) -> tuple[Any, jax.Array]:
    token_B, cache = carry
    logits, cache = run(token_B[:, None], at, cache)
    return (logits[:, -1].argmax(axis=-1), cache), token_B

  logits_BxPxV, cache = run(tokens_BxP, 0, cache)
  first_B = logits_BxPxV[:, -1].argmax(axis=-1)
  columns = length + jnp.arange(_ANSWER)
  _, answers = jax.lax.scan(step, (first_B, cache), columns)
  return answers.T, logits_BxPxV


def _cached_attention(seen_BxS: jax.Array, at: Any) -> Attend:
  """Attention to all columns up to each query's own; keys begin at `at`."""

  def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, cache: Any, spec: AttentionSpec
  ) -> tuple[jax.Array, Any]:
    rows, count, heads, size = q.shape
    keys, values = (
      jax.lax.dynamic_update_slice_in_dim(old, new, at, axis=1)
      for old, new in zip(cache, (k, v), strict=True)
    )
    q = q.reshape(rows, count, keys.shape[2], -1, size) * spec.scale
    logits = soft_cap(jnp.einsum("btgrk,bsgk->bgrts", q, keys), spec.soft_cap)
    mine = jax.lax.dynamic_slice_in_dim(seen_BxS, at, count, 1)
    visible = visible_TxS(
      at + jnp.arange(count),
      jnp.arange(keys.shape[1]),
      mine,
      seen_BxS,
      spec.window,
    )
    logits = jnp.where(visible[:, None, None], logits, MASKED)
    out = jnp.einsum("bgrts,bsgk->btgrk", jax.nn.softmax(logits), values)
    return out.reshape(rows, count, heads, size), (keys, values)

  return attend
