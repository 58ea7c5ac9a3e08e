"""Reading what a compiled program does."""

import jax
import jax.numpy as jnp
import pytest

from tooldev_jax.fit.capacity import TooBig, splash_flops, too_big
from tooldev_jax.fit.hlo import Program, UnreadableProgramError

# As the TPU compiler writes it: products are convolutions, a batch of them one
# with a dilated window, a collective is split into pieces of one channel.
TPU = """\
HloModule jit_run, is_scheduled=true

%fused (p0: bf16[8,4], p1: bf16[4,16]) -> bf16[8,16] {
  %p0 = bf16[8,4]{1,0:T(8,128)(2,1)} parameter(0)
  %p1 = bf16[4,16]{1,0:T(8,128)(2,1)} parameter(1)
  ROOT %c = bf16[8,16]{1,0:T(8,128)(2,1)S(1)} convolution(%p0, %p1), dim_labels=bf_io->bf, metadata={op_name="x/dot_general"}
}

%batched (q: bf16[2,512,128], k: bf16[2,1024,128]) -> f32[2,512,1024] {
  %q = bf16[2,512,128]{2,1,0} parameter(0)
  %k = bf16[2,1024,128]{2,1,0} parameter(1)
  ROOT %c2 = f32[2,512,1024]{2,1,0} convolution(%q, %k), window={size=2 stride=1 lhs_dilate=2}, dim_labels=0bf_0oi->0bf
}

%body (arg: (s32[], bf16[8,4])) -> (s32[], bf16[8,4]) {
  %arg = (s32[]{:T(128)}, bf16[8,4]{1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%arg), index=0
  %x = bf16[8,4]{1,0} get-tuple-element(%arg), index=1
  %w = bf16[4,16]{1,0} constant({...})
  %f = bf16[8,16]{1,0} fusion(%x, %w), kind=kOutput, calls=%fused
  %g = bf16[16,16]{1,0} all-gather(%f), channel_id=3, dimensions={0}
  %h = bf16[16,16]{1,0} all-gather(%f), channel_id=3, dimensions={0}
  %r = f32[4]{0} all-reduce(%f), channel_id=4, to_apply=%add
  %one = s32[]{:T(128)} constant(1)
  %kept = s32[]{:T(128)} copy(%i)
  %next = s32[]{:T(128)} add(%kept, %one)
  ROOT %out = (s32[], bf16[8,4]{1,0}) tuple(%next, %x)
}

%condition (arg.1: (s32[], bf16[8,4])) -> pred[] {
  %arg.1 = (s32[]{:T(128)}, bf16[8,4]{1,0}) parameter(0)
  %limit = s32[]{:T(128)} constant(7)
  %i.1 = s32[]{:T(128)} get-tuple-element(%arg.1), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %limit), direction=LT
}

ENTRY %main (a: bf16[8,4]) -> bf16[8,4] {
  %a = bf16[8,4]{1,0} parameter(0)
  %zero = s32[]{:T(128)} constant(0)
  %copied = s32[]{:T(128)} copy(%zero)
  %start = (s32[], bf16[8,4]{1,0}) tuple(%copied, %a)
  %loop = (s32[]{:T(128)}, bf16[8,4]{1,0}) while(%start), condition=%condition, body=%body
  ROOT %last = bf16[8,4]{1,0} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def test_products_in_a_loop_count_each_time():
  assert Program(TPU).flops() == 7 * 2 * 8 * 4 * 16


def test_a_batch_in_a_dilated_window_counts_its_true_products():
  text = TPU.replace("calls=%fused", "calls=%batched").replace(
    "fusion(%x, %w)", "fusion(%x, %x)"
  )
  # One of the window's two places meets a hole at every step.
  assert Program(text).flops() == 7 * 2 * 2 * 512 * 1024 * 128


def test_collectives_count_each_time_and_each_channel_once():
  found = {x.kind: x for x in Program(TPU).collectives()}
  assert set(found) == {"all-gather", "all-reduce"}
  assert (found["all-gather"].count, found["all-gather"].bytes) == (7, 7 * 512)
  assert (found["all-reduce"].count, found["all-reduce"].bytes) == (7, 7 * 16)


def test_an_unrolled_loop_counts_in_its_own_steps():
  text = TPU.replace("%one = s32[]{:T(128)} constant(1)",
                     "%one = s32[]{:T(128)} constant(2)")  # fmt: skip
  assert Program(text).flops() == 4 * 2 * 8 * 4 * 16


def test_a_loop_of_unknown_length_is_an_error():
  text = TPU.replace("direction=LT", "direction=NE")
  with pytest.raises(UnreadableProgramError, match="loop has no readable"):
    Program(text).flops()


KERNEL = """\
HloModule kernel

ENTRY %main (a: bf16[2,4,2048,128]) -> bf16[2,4,2048,128] {
  %grid = s8[1,4,4]{2,1,0} parameter(1)
  %q = bf16[2,4,2048,128]{3,2,1,0} parameter(0)
  %NAME.1 = (f32[2,128]{1,0}, bf16[2,4,2048,128]{3,2,1,0}) custom-call(%grid, %q), custom_call_target="tpu_custom_call", frontend_attributes={kernel_metadata={
"xprof_metadata":"{\\"block_q\\": 512}"
}}, metadata={op_name="a/b/pallas_call"}
  ROOT %NAME.2 = (f32[2,128]{1,0}, bf16[2,4,2048,128]{3,2,1,0}) custom-call(%grid, %q), custom_call_target="tpu_custom_call", metadata={op_name="a/b/pallas_call"}
}
"""  # noqa: E501


@pytest.mark.parametrize(
  ("kernel", "first_result", "products"),
  [
    ("fwd_residuals", "f32[2,128]{1,0}", 2),
    ("dkv", "f32[2,128]{1,0}", 4),
    ("dq", "f32[2,128]{1,0}", 3),
    ("dkv", "bf16[2,4,4,2048,128]{4,3,2,1,0}", 5),
  ],
)
def test_splash_counts_the_tiles_it_computes(kernel, first_result, products):
  text = KERNEL.replace("NAME", f"splash_mha_{kernel}")
  text = text.replace("(f32[2,128]{1,0}", f"({first_result}")
  tile = 2 * 512 * 512 * 128
  heads, tiles = 2 * 4, 1 + 2 + 3 + 4
  got = Program(text).flops(splash_flops)
  # Two calls; the lines of the first one's metadata end nothing.
  assert got == 2 * heads * tiles * tile * products


def test_a_kernel_of_unknown_cost_is_an_error_not_a_zero():
  with pytest.raises(
    UnreadableProgramError, match=r"mystery\.1 \(tpu_custom_call\)"
  ):
    Program(KERNEL.replace("NAME", "mystery")).flops(splash_flops)


def test_a_real_program_counts_like_its_formula():
  """On CPU: a scan of products and its gradient, each twice as dear back."""
  B, D, steps = 8, 64, 5

  def loss(w, x):
    def body(x, w):
      return jnp.tanh(x @ w), None

    return jax.lax.scan(body, x, w)[0].sum()

  w, x = jnp.ones((steps, D, D)), jnp.ones((B, D))
  text = jax.jit(jax.grad(loss)).lower(w, x).compile().as_text()
  # The first step's input needs no gradient, which the scan does not know.
  assert Program(text).flops() == 3 * steps * 2 * B * D * D


@pytest.mark.parametrize(
  ("message", "verdict"),
  [
    (
      "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 17.50G"
      " of 15.75G hbm. Exceeded hbm capacity by 1.75G.",
      TooBig(17.5 * 2**30, 15.75 * 2**30),
    ),
    (
      "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required"
      " for HLO temporaries (62.42G) exceeds available HBM (15.75G).",
      TooBig(62.42 * 2**30, 15.75 * 2**30),
    ),
    ("RESOURCE_EXHAUSTED: something else", TooBig(0, 0)),
  ],
)
def test_a_verdict_says_how_much_is_missing_where_the_compiler_does(
  message, verdict
):
  assert too_big(message) == verdict
