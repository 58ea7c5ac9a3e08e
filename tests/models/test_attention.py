"""Every attention backend against the textbook formula, with its gradients.

The formula here repeats keys for their query heads and masks with explicit
loops, so it shares no code with what it tests. Kernels run interpreted.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tooldev_jax.errors import UserError
from tooldev_jax.models import blocked
from tooldev_jax.models.attention import BACKENDS, packed_attention
from tooldev_jax.models.config import AttentionSpec

TOKENS = 256
# Three segments, then padding; the second is a single token.
SEGMENTS = np.repeat([1, 2, 3, 0], [101, 1, 128, 26]).astype(np.int32)
PLAIN = AttentionSpec(scale=0.3)
SPECS = {
  "plain": PLAIN,
  "capped": AttentionSpec(scale=0.3, soft_cap=4.0),
  "window": AttentionSpec(scale=0.3, window=37),
  "capped-window": AttentionSpec(scale=0.3, window=140, soft_cap=4.0),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  """Rows of these tests have several blocks."""
  monkeypatch.setattr(blocked, "_BLOCK", 64)


def textbook(q, k, v, segments, spec):
  """softmax over visible keys, one (row, head) matrix at a time."""
  visible = np.zeros((len(segments), TOKENS, TOKENS), bool)
  for row, ids in enumerate(segments):
    for i in range(TOKENS):
      first = 0 if spec.window is None else max(0, i - spec.window + 1)
      for j in range(first, i + 1):
        visible[row, i, j] = ids[i] == ids[j]
  ratio = q.shape[2] // k.shape[2]
  k, v = jnp.repeat(k, ratio, axis=2), jnp.repeat(v, ratio, axis=2)
  logits = jnp.einsum("bihd,bjhd->bhij", q, k) * spec.scale
  if spec.soft_cap is not None:
    logits = spec.soft_cap * jnp.tanh(logits / spec.soft_cap)
  logits = jnp.where(visible[:, None], logits, -jnp.inf)
  return jnp.einsum("bhij,bjhd->bihd", jax.nn.softmax(logits), v)


def arrays(heads, groups, size=16):
  keys = jax.random.split(jax.random.key(heads * 10 + groups), 4)
  shapes = [(2, TOKENS, n, size) for n in (heads, groups, groups, heads)]
  q, k, v, out = map(jax.random.normal, keys, shapes)
  # The second row is the first one's segments backwards.
  return (q, k, v), out, np.stack([SEGMENTS, SEGMENTS[::-1]])


def with_gradients(function, heads, groups):
  """The output, and the gradients along a random direction of it."""
  qkv, direction, segments = arrays(heads, groups)

  @jax.jit
  def run(direction, *qkv):
    out, pull = jax.vjp(function, *qkv)
    real = (segments > 0)[..., None, None]
    return [jnp.where(real, out, 0), *pull(jnp.where(real, direction, 0))]

  return run(direction, *qkv)


@functools.cache
def expected(heads, spec):
  segments = arrays(*heads)[2]
  return with_gradients(lambda *x: textbook(*x, segments, spec), *heads)


@pytest.mark.parametrize("heads", [(2, 2), (4, 1)], ids=["mha", "mqa"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_forward_and_gradients_equal_the_textbook(backend, spec, heads):
  qkv, _, segments = arrays(*heads)
  if BACKENDS[backend].refuses(TOKENS, 16, spec):
    with pytest.raises(UserError, match="cannot be used: it has no"):
      attend = packed_attention(segments, backend, interpret=True)
      attend(*qkv, None, spec)
    return

  attend = packed_attention(jnp.asarray(segments), backend, interpret=True)
  ours = with_gradients(lambda *x: attend(*x, None, spec)[0], *heads)
  for a, b in zip(ours, expected(heads, spec), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_rows_may_go_together(monkeypatch, spec):
  """As they do where there is no CPU."""
  segments = jnp.asarray(arrays(4, 1)[2])
  compute = lambda *x: blocked.blocked_attention(*x, segments, spec)
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  together = with_gradients(compute, 4, 1)
  for a, b in zip(together, expected((4, 1), spec), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_leaks_between_segments(backend):
  """Changing one segment leaves every other's output bit for bit the same."""
  (q, k, v), _, segments = arrays(2, 2)
  attend = packed_attention(jnp.asarray(segments), backend, interpret=True)
  run = jax.jit(lambda q, k, v: attend(q, k, v, None, PLAIN)[0])
  changed = (segments == 3)[..., None, None]
  before = run(q, k, v)
  after = run(*(jnp.where(changed, 7.0 - x, x) for x in (q, k, v)))
  rest = segments != 3
  np.testing.assert_array_equal(before[rest], after[rest])
  assert not np.array_equal(before[~rest], after[~rest])


@pytest.mark.parametrize(
  ("window", "asks", "poisoned"),
  [
    (None, np.s_[128:192], np.s_[:64]),  # another segment, before
    (None, np.s_[128:192], np.s_[192:]),  # the future
    (20, np.s_[192:], np.s_[64:128]),  # the same segment, out of sight
  ],
)
def test_blocks_that_nobody_sees_are_not_looked_at(window, asks, poisoned):
  """NaN times a weight of 0 is NaN, so a block of it must be skipped."""
  segments = jnp.asarray(np.repeat([1, 2], [64, 192]).astype(np.int32))[None]
  (q, k, v), direction, _ = arrays(4, 2)
  q, k, v, direction = (x[:1] for x in (q, k, v, direction))
  k, v = (x.at[:, poisoned].set(jnp.nan) for x in (k, v))
  spec = AttentionSpec(scale=0.3, window=window)

  def total(q):
    out = blocked.blocked_attention(q, k, v, segments, spec)
    return (out * direction)[:, asks].sum()

  value, d_q = jax.value_and_grad(total)(q)
  assert np.isfinite(value)
  assert np.isfinite(d_q[:, asks]).all()


@pytest.mark.parametrize("backend", ["einsum", "blocked", "splash"])
def test_any_row_length_will_do(backend):
  """Rows need not be a multiple of a block."""
  (q, k, v), _, segments = arrays(2, 1)
  spec = SPECS["window"]
  whole = textbook(q, k, v, segments, spec)
  cut = lambda x: x[:, :131]
  attend = packed_attention(jnp.asarray(cut(segments)), backend, interpret=True)
  out, _ = attend(cut(q), cut(k), cut(v), None, spec)
  np.testing.assert_allclose(out, cut(whole), atol=2e-5)


@pytest.mark.parametrize(
  ("backend", "tokens", "spec", "message"),
  [
    ("gpu_flash", 256, SPECS["window"], "no sliding window.* is 37"),
    ("gpu_flash", 256, AttentionSpec(1.0, soft_cap=3.0), "no soft cap"),
    ("gpu_flash", 250, PLAIN, "250 tokens are not a multiple of 16"),
    ("splash", 256, PLAIN, "it is for tpu, this is cpu"),
    ("cudnn", 256, PLAIN, "'cudnn' is not known; known: auto, einsum"),
  ],
)
def test_a_backend_refuses_by_name(backend, tokens, spec, message):
  x = jnp.zeros((1, tokens, 2, 16))
  segments = jnp.ones((1, tokens), jnp.int32)
  with pytest.raises(UserError, match=message):
    packed_attention(segments, backend)(x, x, x, None, spec)


@pytest.mark.parametrize("size", [64, 128])
def test_the_gpu_kernel_lowers_for_cuda_without_a_gpu(size):
  """Forward and backward become Triton calls, for grouped bfloat16 heads."""

  def total(q, k, v, segments):
    compute = BACKENDS["gpu_flash"].compute
    return compute(q, k, v, segments, PLAIN).astype(jnp.float32).sum()

  shape = lambda heads: jax.ShapeDtypeStruct(
    (1, 512, heads, size), jnp.bfloat16
  )
  segments = jax.ShapeDtypeStruct((1, 512), jnp.int32)
  traced = jax.jit(jax.grad(total, argnums=(0, 1, 2))).trace(
    shape(4), shape(2), shape(2), segments
  )
  text = traced.lower(lowering_platforms=("cuda",)).as_text()
  assert text.count("__gpu$xla.gpu.triton") >= 2
