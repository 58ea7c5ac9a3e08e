"""Causal attention over packed rows, one signature for every backend.

A row holds several sequences ("segments") one after the other. A token sees
the tokens of its own segment up to itself, and within the layer's window if
there is one. Segment 0 is padding: it sees only padding, and nothing reads it.

The two Pallas kernels come with JAX. The compiler cannot split them over a
mesh, so `packed_attention` calls them inside `shard_map`, where they see one
device's rows and heads. Each says what it cannot do; none leaves out a segment
border or a window silently.

Dim letters: B rows, T query tokens, S key tokens, H query heads, G key/value
heads, R = H / G, K head size.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

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
from tooldev_jax.models.attention_math import (
  MASKED,
  fill_up,
  soft_cap,
  visible_TxS,
)
from tooldev_jax.models.blocked import blocked_attention
from tooldev_jax.models.config import AttentionSpec
from tooldev_jax.models.transformer import Attend
from tooldev_jax.parallel.sharding import Partition

# Tiles, largest first. On TPU large tiles are what keeps the matrix unit busy;
# the GPU's shared memory holds 128 x 128 of heads of 128 at most.
_SPLASH_TILES = (512, 256, 128)
_GPU_TILES = (128, 64, 32, 16)


def einsum_attention(
  q_BxTxHxK: jax.Array,
  k_BxTxGxK: jax.Array,
  v_BxTxGxK: jax.Array,
  segment_ids_BxT: jax.Array,
  spec: AttentionSpec,
) -> jax.Array:
  """softmax(q k) v, [B, T, H, K], with all logits of a row at once.

  Logits and sums are float32.
  """
  rows, tokens, heads, size = q_BxTxHxK.shape
  groups = k_BxTxGxK.shape[2]
  q, k, v = (
    x.transpose(0, 2, 1, 3)
    for x in (q_BxTxHxK * spec.scale, k_BxTxGxK, v_BxTxGxK)
  )
  # Query heads that share keys become rows of one matrix product.
  q = q.reshape(rows, groups, -1, size)
  logits = jnp.einsum(
    "bgtk,bgsk->bgts", q, k, preferred_element_type=jnp.float32
  ).reshape(rows, groups, -1, tokens, tokens)
  logits = soft_cap(logits, spec.soft_cap)
  index, ids = jnp.arange(tokens), segment_ids_BxT
  visible_BxTxS = visible_TxS(index, index, ids, ids, spec.window)
  logits = jnp.where(visible_BxTxS[:, None, None], logits, MASKED)
  # The shift changes nothing, so nothing is to be learned from it; dividing
  # after the product with v touches K numbers a query instead of S.
  top = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
  weights = jnp.exp(logits - top)
  total = weights.sum(axis=-1)[..., None]
  out = jnp.einsum(
    "bgts,bgsk->bgtk",
    weights.astype(v.dtype).reshape(rows, groups, -1, tokens),
    v,
    preferred_element_type=jnp.float32,
  ).reshape(rows, groups, -1, tokens, size)
  out = (out / total).astype(q.dtype).reshape(rows, heads, tokens, size)
  return checkpoint_name(out.transpose(0, 2, 1, 3), "attention")


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


@dataclasses.dataclass(frozen=True)
class Backend:
  """One way to compute attention over packed rows.

  Attributes:
    compute: (q, k, v, segment_ids, spec[, interpret]) -> out; names what a
      remat policy is to keep of it "attention".
    refuses: (tokens, head_dim, spec) -> why it cannot, or "".
    kernel: whether it is a Pallas kernel for this platform, or None where it
      is plain JAX that runs on all of them.
  """

  compute: Callable[..., jax.Array]
  refuses: Callable[[int, int, AttentionSpec], str]
  kernel: str | None = None


def _takes_all(tokens: int, head_dim: int, spec: AttentionSpec) -> str:
  del tokens, head_dim, spec
  return ""


BACKENDS = {
  "einsum": Backend(einsum_attention, _takes_all),
  "blocked": Backend(blocked_attention, _takes_all),
  "splash": Backend(splash_attention, _takes_all, "tpu"),
  "gpu_flash": Backend(gpu_flash_attention, gpu_flash_refuses, "gpu"),
}


def packed_attention(
  segment_ids_BxT: jax.Array,
  backend: str = "auto",
  partition: Partition | None = None,
  interpret: bool = False,
) -> Attend:
  """The `attend` of training: packed rows, no cache.

  Args:
    segment_ids_BxT: int32; 0 is padding.
    backend: a key of BACKENDS; "auto" takes the platform's kernel for every
      layer that the kernel can do, and "blocked" for the others.
    partition: mesh and rules of the step that calls it, where each device
      attends for its own rows and heads. None on one device.
    interpret: runs kernels as plain JAX, to test them on any platform.

  Raises:
    UserError: unknown backend, another platform's kernel, or (when called on
      a layer) a layer that the named backend cannot do.
  """
  platform = jax.default_backend()
  if partition is not None:
    # The chips compiled for need not be attached.
    platform = partition.mesh.devices.flat[0].platform
  if backend != "auto" and backend not in BACKENDS:
    raise UserError(
      f"attention backend {backend!r} is not known; known: auto, "
      f"{', '.join(BACKENDS)}."
    )

  def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, cache: Any, spec: AttentionSpec
  ) -> tuple[jax.Array, Any]:
    tokens, head_dim = q.shape[1], q.shape[3]
    name = backend
    if name == "auto":
      name = _choose(platform, tokens, head_dim, spec)
    chosen = BACKENDS[name]
    _refuse(name, chosen.refuses(tokens, head_dim, spec))
    extra: tuple[bool, ...] = ()
    if chosen.kernel is not None:
      if not interpret and chosen.kernel != _PLATFORMS.get(platform, platform):
        _refuse(name, f"it is for {chosen.kernel}, this is {platform}")
      extra = (interpret,)
    compute = lambda *arrays: chosen.compute(*arrays, spec, *extra)
    return _on_each_device(compute, partition)(q, k, v, segment_ids_BxT), cache

  return attend


# jax.default_backend() says "gpu"; a device says "cuda" or "rocm" elsewhere.
_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


def _choose(
  platform: str, tokens: int, head_dim: int, spec: AttentionSpec
) -> str:
  """The platform's kernel if it can do the layer, else plain JAX."""
  for name, backend in BACKENDS.items():
    if backend.kernel == _PLATFORMS.get(
      platform, platform
    ) and not backend.refuses(tokens, head_dim, spec):
      return name
  return "blocked"


def _on_each_device(
  compute: Callable[..., jax.Array], partition: Partition | None
) -> Callable[..., jax.Array]:
  """Runs `compute` on each device's rows and heads."""
  if partition is None:
    return compute
  spec = partition.rules.spec
  queries = spec(("batch", None, "act_heads", None))
  keys = spec(("batch", None, "act_kv_heads", None))
  return jax.shard_map(
    compute,
    mesh=partition.mesh,
    in_specs=(queries, keys, keys, spec(("batch", None))),
    out_specs=queries,
    # Kernels do not say along which axes their results vary.
    check_vma=False,
  )


def _refuse(name: str, reason: str) -> None:
  """Raises UserError if there is a reason."""
  if reason:
    raise UserError(
      f"attention backend {name!r} cannot be used: {reason}; 'blocked' and "
      "'einsum' can do everything."
    )
