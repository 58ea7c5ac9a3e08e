"""Flash attention kernels that come with JAX, behind our signature.

Both are Pallas kernels, which the compiler cannot split over a mesh by
itself: `attention.packed_attention` calls them inside `shard_map`, so they see
one device's rows and heads. Each says what it cannot do and refuses it by
name; none ever leaves out a segment border or a window silently.

Dim letters as in attention.py.
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.pallas.ops.gpu import attention as gpu_kernel
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_kernel as splash_kernel,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_mask as splash_mask,
)

from tooldev_jax.errors import UserError
from tooldev_jax.models.config import AttentionSpec
from tooldev_jax.models.packed import fill_up

# Tiles, largest first. On TPU large tiles are what keeps the matrix unit busy;
# the GPU's shared memory holds 128 x 128 of heads of 128 at most.
_SPLASH_TILES = (512, 256, 128)
_GPU_TILES = (128, 64, 32, 16)


def splash_attention(
  q_BxTxHxK: jax.Array,
  k_BxTxGxK: jax.Array,
  v_BxTxGxK: jax.Array,
  segment_ids_BxT: jax.Array,
  spec: AttentionSpec,
  interpret: bool = False,
) -> jax.Array:
  """TPU splash attention: skips tiles that causality or window rule out."""
  given, heads = q_BxTxHxK.shape[1:3]
  # So rows may have any length.
  q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, segment_ids_BxT = (
    fill_up(x, _SPLASH_TILES[-1])
    for x in (q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, segment_ids_BxT)
  )
  tokens = q_BxTxHxK.shape[1]
  mask: splash_mask.Mask
  if spec.window is None:
    mask = splash_mask.CausalMask((tokens, tokens))
  else:
    window = (spec.window - 1, 0)
    mask = splash_mask.LocalMask((tokens, tokens), window, offset=0)
  tile = next(n for n in _SPLASH_TILES if tokens % n == 0)
  # One kernel for all gradients makes the scores once instead of twice: 5
  # products a tile, not 7. It visits every tile, so windows are left to two.
  fused = spec.window is None
  kernel = splash_kernel.make_splash_mha_single_device(
    splash_mask.MultiHeadMask([mask] * heads),
    block_sizes=splash_kernel.BlockSizes(
      block_q=tile,
      block_kv=tile,
      block_q_dkv=tile,
      block_kv_dkv=tile,
      block_q_dq=None if fused else tile,
      block_kv_dq=None if fused else tile,
      use_fused_bwd_kernel=fused,
    ),
    attn_logits_soft_cap=spec.soft_cap,
    # What a remat policy keeps of it: the output, and the sums beside it.
    residual_checkpoint_name="attention",
    interpret=interpret,
  )

  def one_row(q: jax.Array, k: jax.Array, v: jax.Array, s: jax.Array):
    q, k, v = (x.transpose(1, 0, 2) for x in (q * spec.scale, k, v))
    out = kernel(q, k, v, segment_ids=splash_kernel.SegmentIds(s, s))
    return out.transpose(1, 0, 2)

  out = jax.vmap(one_row)(q_BxTxHxK, k_BxTxGxK, v_BxTxGxK, segment_ids_BxT)
  return out[:, :given]


def gpu_flash_refuses(tokens: int, head_dim: int, spec: AttentionSpec) -> str:
  """Why the GPU kernel cannot do this; empty if it can."""
  if spec.window is not None and spec.window < tokens:
    return f"it has no sliding window, and this layer's is {spec.window}"
  if spec.soft_cap is not None:
    return f"it has no soft cap, and this layer's is {spec.soft_cap}"
  if tokens % _GPU_TILES[-1]:
    return f"rows of {tokens} tokens are not a multiple of {_GPU_TILES[-1]}"
  if head_dim < 16:
    return f"heads of {head_dim} are narrower than a tile of 16"
  return ""


def gpu_flash_attention(
  q_BxTxHxK: jax.Array,
  k_BxTxGxK: jax.Array,
  v_BxTxGxK: jax.Array,
  segment_ids_BxT: jax.Array,
  spec: AttentionSpec,
  interpret: bool = False,
) -> jax.Array:
  """GPU flash attention (Pallas, through Triton), forward and backward."""
  _, tokens, heads, size = q_BxTxHxK.shape
  # The kernel knows no shared keys; their gradients sum over the copies.
  repeat = functools.partial(
    jnp.repeat, repeats=heads // k_BxTxGxK.shape[2], axis=2
  )
  # Heads of 128 and more fill the shared memory with half the tile.
  largest = 128 if size <= 64 else 64
  tile = next(n for n in _GPU_TILES if n <= largest and tokens % n == 0)
  out = gpu_kernel.mha(
    q_BxTxHxK,
    repeat(k_BxTxGxK),
    repeat(v_BxTxGxK),
    segment_ids_BxT,
    sm_scale=spec.scale,
    causal=True,
    block_sizes=gpu_kernel.BlockSizes(
      block_q=tile,
      block_k=tile,
      block_q_dkv=tile,
      block_kv_dkv=tile,
      block_q_dq=tile,
      block_kv_dq=tile,
    ),
    interpret=interpret,
  )
  return checkpoint_name(out, "attention")


def refuse(name: str, reason: str) -> None:
  """Raises UserError if there is a reason."""
  if reason:
    raise UserError(
      f"attention backend {name!r} cannot be used: {reason}; 'blocked' and "
      "'einsum' can do everything."
    )
