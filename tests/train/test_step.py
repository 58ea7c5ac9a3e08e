"""The step: accumulation, packing, donation, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train import tiny
from tooldev_jax.config import MeshConfig
from tooldev_jax.errors import UserError
from tooldev_jax.models import blocked
from tooldev_jax.models.attention import BACKENDS, packed_attention
from tooldev_jax.models.parameters import init_adapter, init_params
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
from tooldev_jax.train.batch import check_mesh, check_rows
from tooldev_jax.train.feed import put_like
from tooldev_jax.train.flops import ideal_flops
from tooldev_jax.train.loss import selected_token_loss
from tooldev_jax.train.step import make_gradient, make_train_step


@pytest.fixture(scope="module")
def adapter():
  """One that changes the model: B is not zero."""
  fresh = init_adapter(tiny.CONFIG, tiny.LORA, jax.random.key(1))
  noise = lambda x: 0.1 * jax.random.normal(jax.random.key(x.size), x.shape)
  return jax.tree.map(lambda x: x + noise(x), fresh)


@pytest.fixture(scope="module")
def params():
  return init_params(tiny.CONFIG, jax.random.key(0))


def _close(left, right, rtol):
  scale = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(right))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale),
    left,
    right,
  )


def test_micro_batches_equal_one_big_batch(params, adapter):
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  decoder = Decoder(
    tiny.CONFIG, lora=tiny.LORA, partition=Partition(mesh, TRAIN_RULES)
  )
  gradient = jax.jit(make_gradient(decoder, tiny.TRAIN, trains_base=False))
  big = tiny.make_data().batch(0)
  # Rows differ in trained tokens, so a mean of means would be another number.
  big["target_weights"][:, ::3, 4:] = 0
  small = {k: x.reshape(4, 2, x.shape[2]) for k, x in big.items()}
  want, got = (gradient(adapter, params, batch) for batch in (big, small))
  for left, right in zip(got[:2], want[:2], strict=True):
    np.testing.assert_allclose(left, right, rtol=1e-6)
  assert jax.tree.map(float, got[2]) == jax.tree.map(float, want[2])
  _close(got[3], want[3], 1e-6)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_packed_equals_unpacked(params, adapter, backend, monkeypatch):
  """Three segments in one row, or each alone: the same loss and gradients."""
  monkeypatch.setattr(blocked, "_BLOCK", 32)
  length, sizes = 128, (40, 17, 50)
  rng = np.random.default_rng(0)
  texts = [rng.integers(1, tiny.VOCABULARY, n) for n in sizes]

  def rows(groups):
    """Rows with these texts in each, as segment after segment."""
    shape = (len(groups), length)
    tokens, segments, positions, ids = np.zeros((4, *shape), np.int32)
    weights = np.zeros(shape, np.float32)
    for row, group in enumerate(groups):
      at = 0
      for segment, text in enumerate(group, start=1):
        where = slice(at, at + len(text))
        tokens[row, where], segments[row, where] = text, segment
        positions[row, where] = np.arange(len(text))
        ids[row, at : at + len(text) - 1] = text[1:]
        weights[row, at : at + len(text) - 1] = 1.0
        at += len(text)
    return tokens, segments, positions, ids, weights

  def loss(adapter, arrays):
    tokens, segments, positions, ids, weights = arrays
    decoder = Decoder(tiny.CONFIG, lora=tiny.LORA)
    hidden, _ = decoder.apply(
      {"params": params, "lora": adapter},
      tokens,
      positions,
      packed_attention(segments, backend, interpret=True),
    )
    total, weight = selected_token_loss(
      hidden,
      decoder.head_kernel(params),
      jnp.broadcast_to(jnp.arange(length), ids.shape),
      ids,
      weights,
      chunk=64,
      train_head=False,
    )
    return total / weight

  graded = jax.jit(jax.value_and_grad(loss))
  packed = graded(adapter, rows([texts, [], []]))
  alone = graded(adapter, rows([[text] for text in texts]))
  np.testing.assert_allclose(packed[0], alone[0], rtol=1e-5)
  _close(packed[1], alone[1], 1e-4 if BACKENDS[backend].kernel else 1e-5)


def test_one_program_for_one_shape_with_its_state_donated(params, adapter):
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  data = tiny.make_data()
  step = make_train_step(
    tiny.CONFIG, tiny.LORA, tiny.TRAIN, data.shapes, 4, mesh, TRAIN_RULES,
    jnp.float32,
  )  # fmt: skip
  run = step.compile()
  state = step.init(put_like(adapter, step.state.trained))
  batch = put_like(data.batch(0), step.batch)
  after, _ = run(state, params, batch)
  assert all(x.is_deleted() for x in jax.tree.leaves(state))
  assert not any(x.is_deleted() for x in jax.tree.leaves(adapter))
  longer = {k: jnp.concatenate([x, x], axis=1) for k, x in batch.items()}
  with pytest.raises((TypeError, ValueError)):
    run(after, params, longer)


def test_a_mesh_with_more_batch_shards_than_rows_says_what_would_fit():
  mesh = jax.sharding.AbstractMesh((2, 4, 1), ("data", "fsdp", "tensor"))
  with pytest.raises(UserError, match=r"8 batch shards .* 6 packed rows") as e:
    check_rows(6, Partition(mesh, TRAIN_RULES))
  assert "data × fsdp of 1 or 2 or 4, with" in str(e.value)
  check_rows(16, Partition(mesh, TRAIN_RULES))
  with pytest.raises(UserError, match="6 packed rows"):
    check_mesh(6, Partition(mesh, TRAIN_RULES))
  # What is only uneven is filled up.
  check_mesh(9, Partition(mesh, TRAIN_RULES))


def test_ideal_flops_are_four_or_six_per_weight_and_token():
  D, H, F, V, layers = 32, 128, 64, tiny.VOCABULARY, 2
  block = layers * (4 * D * H + 3 * D * F)
  tokens, trained, pairs = 1000, 100, 7000
  lora = ideal_flops(tiny.CONFIG, trains_base=False)
  full = ideal_flops(tiny.CONFIG, trains_base=True)
  weights = block * tokens + D * V * trained
  assert lora.of(tokens, trained, pairs) == 4 * weights + 12 * H * pairs
  assert full.of(tokens, trained, pairs) == 6 * weights + 12 * H * pairs
