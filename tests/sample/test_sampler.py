"""The sampler on real decoders of every family, against no-cache forwards."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.multihost.worker import run_processes
from tooldev_jax.config import MeshConfig, SamplerConfig
from tooldev_jax.models import lora, parameters
from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.config import DecoderConfig
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.sample import policy as policies
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.sample.sampler import Sampler

VOCAB = 61
CONFIG = SamplerConfig(
  prompt_buckets=(32,), tail_buckets=(8,), rows=8, prefill_tokens=128, chunk=5
)
WINDOWED = {"num_hidden_layers": 3, "sliding_window": 5}
GEMMA = {
  "hidden_activation": "gelu_pytorch_tanh",
  "head_dim": 8,
  "query_pre_attn_scalar": 8,
  "num_hidden_layers": 3,
  "sliding_window": 5,
}
FAMILIES = {
  "llama": ("LlamaForCausalLM", {}),
  "qwen2": ("Qwen2ForCausalLM", {}),
  "qwen3": ("Qwen3ForCausalLM", {"head_dim": 8}),
  "mistral": ("MistralForCausalLM", WINDOWED),
  "gemma2": (
    "Gemma2ForCausalLM",
    GEMMA | {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0},
  ),
  "gemma3_text": ("Gemma3ForCausalLM", GEMMA | {"sliding_window_pattern": 2}),
}


def decoder_of(family: str, **settings) -> Decoder:
  architecture, changes = FAMILIES[family]
  config = DecoderConfig.from_hf(
    {
      "model_type": family,
      "architectures": [architecture],
      "vocab_size": VOCAB,
      "hidden_size": 32,
      "intermediate_size": 48,
      "num_hidden_layers": 2,
      "num_attention_heads": 4,
      "num_key_value_heads": 2,
      "max_position_embeddings": 512,
    }
    | changes
  )
  return Decoder(config, **settings)


def weights_of(decoder: Decoder, seed: int = 0):
  """Ten times the usual size, so that the distributions are not all alike."""
  tree = parameters.init_params(decoder.config, jax.random.key(seed))
  grow = lambda path, x: x * (1 if "norm" in str(path) else 10)
  return jax.tree_util.tree_map_with_path(grow, tree)


def adapter_of(decoder: Decoder):
  tree = parameters.init_adapter(
    decoder.config, decoder.lora, jax.random.key(5)
  )
  leaves, structure = jax.tree.flatten(tree)
  keys = jax.random.split(jax.random.key(6), len(leaves))
  noise = [
    x + 0.3 * jax.random.normal(k, x.shape)
    for x, k in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(structure, noise)


@functools.cache
def no_cache_forward(decoder: Decoder, size: int = 48):
  """logits(variables, ids): every position at once, [len(ids), V]."""

  @jax.jit
  def run(variables, tokens):
    attend = packed_attention(jnp.ones_like(tokens), "einsum")
    position = jnp.arange(size)[None]
    hidden, _ = decoder.apply(variables, tokens, position, attend)
    return decoder.unembed(variables["params"], hidden)

  def logits(variables, ids):
    tokens = np.zeros((1, size), np.int32)
    tokens[0, : len(ids)] = ids
    return np.asarray(run(variables, tokens))[0, : len(ids)]

  return logits


def log_softmax(x: np.ndarray) -> np.ndarray:
  x = x - x.max(axis=-1, keepdims=True)
  return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def workload(count: int = 14, n: int = 1):
  """Prompts of 1 to 14 tokens; half of them grow past their tail."""
  rng = np.random.default_rng(1)
  prompts = [rng.integers(0, VOCAB, 1 + i % 14).tolist() for i in range(count)]
  kinds = (
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"temperature": 0.8, "top_k": 20, "top_p": 0.9},
  )
  settings = [
    SamplingParams(
      n=n,
      max_new_tokens=16 if i % 2 else 8,
      expected_new_tokens=8,
      stop_token_ids=(1, 2, 3),
      logprobs=True,
      **kinds[i % 3],
    )
    for i in range(count)
  ]
  return prompts, settings


def check(decoder, variables, prompts, settings, outputs, atol):
  """Log-probabilities equal teacher forcing; greedy tokens are the argmax."""
  forward = no_cache_forward(decoder)
  for prompt, setting, output in zip(prompts, settings, outputs, strict=True):
    for sample in output.samples:
      ids = [*prompt, *sample.token_ids]
      logits = forward(variables, ids)[len(prompt) - 1 : -1]
      scores = log_softmax(logits)
      chosen = scores[np.arange(len(scores)), list(sample.token_ids)]
      np.testing.assert_allclose(sample.logprobs, chosen, atol=atol)
      if setting.temperature == 0:
        # Equal but for rounding: nothing was likelier by more than that.
        assert (scores.max(axis=-1) - chosen).max() <= atol
        if atol < 1e-3:
          assert list(sample.token_ids) == logits.argmax(axis=-1).tolist()


def sampler_of(decoder: Decoder, **changes) -> Sampler:
  mesh = make_mesh(MeshConfig(), jax.devices()[:1])
  return Sampler(decoder, None, mesh, dataclasses.replace(CONFIG, **changes))


@pytest.fixture(scope="module")
def llama():
  """A Llama's sampler with an adapter's shape, and its weights."""
  decoder = decoder_of("llama", lora=lora.LoraConfig(rank=4, alpha=8.0))
  return sampler_of(decoder), weights_of(decoder)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_samples_equal_teacher_forcing(family, llama):
  if family == "llama":
    sampler, params = llama
  else:
    # One family with windows scans its layers, as accelerators do.
    unroll = False if family == "gemma3_text" else None
    sampler = sampler_of(decoder_of(family), unroll=unroll)
    params = weights_of(sampler.decoder)
  prompts, settings = workload()
  outputs = sampler.generate(params, prompts, settings)
  variables = {"params": params}
  check(sampler.decoder, variables, prompts, settings, outputs, atol=1e-4)
  assert sampler.stats.continued > 0
  sizes = {len(output.samples[0].token_ids) for output in outputs}
  assert len(sizes) > 2


def test_order_neighbours_and_depth_change_no_bit(llama):
  sampler, params = llama
  prompts, settings = workload()
  whole = sampler.generate(params, prompts, settings)
  order = np.random.default_rng(0).permutation(len(prompts)).tolist()
  sampler.ahead = 1
  shuffled = sampler.generate(
    params,
    [prompts[i] for i in order],
    [settings[i] for i in order],
    indices=order,
  )
  sampler.ahead = 0
  assert shuffled == [whole[i] for i in order]
  alone = sampler.generate(params, [prompts[9]], settings[9], indices=[9])
  assert alone == [whole[9]]


def boundary(logits, setting, index, token) -> float:
  """How near a draw was to another token, as a share of the whole mass."""
  if setting.temperature == 0:
    likeliest = np.sort(logits)[-2:]
    return float(likeliest[1] - likeliest[0])
  policy = policies.Policy.of([setting])
  weights = np.asarray(policies.keep_likely(logits[None], policy))[0]
  key = jax.random.key(setting.seed)
  for part in (index, 0, token):
    key = jax.random.fold_in(key, part)
  draws = np.asarray(policies.uniforms(key[None]))[0]
  # VOCAB fits one block, so the second draw alone decides.
  assert len(weights) <= policies.BLOCK
  edges = np.cumsum(weights) / weights.sum()
  return float(np.abs(edges - draws[1]).min())


def same_but_for_near_ties(decoder, variables, prompts, settings, one, other):
  """Whether two runs agree; what differs must have hung by a thread."""
  forward, equal = no_cache_forward(decoder), 0
  pairs = zip(prompts, settings, one, other, strict=True)
  for index, (prompt, setting, a, b) in enumerate(pairs):
    a, b = a.samples[0], b.samples[0]
    tokens = zip(a.token_ids, b.token_ids, strict=False)
    apart = next((t for t, (x, y) in enumerate(tokens) if x != y), None)
    equal += apart is None
    upto = len(a.token_ids) if apart is None else apart
    np.testing.assert_allclose(a.logprobs[:upto], b.logprobs[:upto], atol=1e-4)
    if apart is None:
      assert a.token_ids == b.token_ids
    else:
      logits = forward(variables, [*prompt, *a.token_ids[:apart]])[-1]
      assert boundary(logits, setting, index, apart) < 1e-4
  assert equal >= len(one) - 2


def test_other_buckets_and_rows_change_only_near_ties(llama):
  sampler, params = llama
  prompts, settings = workload()
  one = sampler.generate(params, prompts, settings)
  other = sampler_of(
    sampler.decoder,
    prompt_buckets=(44,),
    tail_buckets=(16,),
    rows=5,
    prefill_tokens=100,
    unroll=False,
  ).generate(
    params,
    prompts,
    [dataclasses.replace(s, expected_new_tokens=0) for s in settings],
  )
  same_but_for_near_ties(
    sampler.decoder, {"params": params}, prompts, settings, one, other
  )


def test_merged_and_unmerged_adapters_agree(llama):
  sampler, params = llama
  adapter = adapter_of(sampler.decoder)
  prompts, settings = workload()
  unmerged = sampler.generate(params, prompts, settings, adapter=adapter)
  variables = {"params": params, "lora": adapter}
  check(sampler.decoder, variables, prompts, settings, unmerged, atol=1e-4)
  merged = lora.merge(params, adapter, sampler.decoder.lora)
  outputs = sampler.generate(merged, prompts, settings)
  same_but_for_near_ties(
    sampler.decoder, variables, prompts, settings, unmerged, outputs
  )
  base = sampler.generate(params, prompts, settings)
  assert [o.samples for o in base] != [o.samples for o in unmerged]


def test_many_samples_of_a_prompt_in_bfloat16():
  decoder = decoder_of("llama", dtype=jnp.bfloat16)
  params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), weights_of(decoder))
  sampler = sampler_of(decoder, max_lanes=3)
  prompts, settings = workload(n=3)
  settings = [dataclasses.replace(s, max_new_tokens=8) for s in settings]
  outputs = sampler.generate(params, prompts, settings)
  check(decoder, {"params": params}, prompts, settings, outputs, atol=0.15)
  drawn = [o for o, s in zip(outputs, settings, strict=True) if s.temperature]
  assert any(len({s.token_ids for s in o.samples}) == 3 for o in drawn)


def test_the_tail_is_updated_in_place(llama):
  sampler, params = llama
  prompts, settings = workload()
  sampler.generate(params, prompts, settings)
  (compiled, *_) = sampler.programs._compiled.values()
  nbytes = lambda tree: sum(
    x.size * x.dtype.itemsize for x in jax.tree.leaves(tree)
  )
  decode = compiled.decode.memory_analysis()
  assert decode.alias_size_in_bytes >= nbytes(compiled.running.tail)
  prefill = compiled.prefill.memory_analysis()
  assert prefill.alias_size_in_bytes >= nbytes(compiled.prompt)


def test_eight_devices_and_waves_change_only_near_ties(llama):
  sampler, params = llama
  prompts, settings = workload(n=3)
  here = sampler.generate(params, prompts, settings)
  ((line,),) = run_processes(
    "tests.sample.mesh_worker", {}, devices=8, processes=1
  )
  there = [type(here[0]).from_json(row) for row in json.loads(line)["outputs"]]
  same_but_for_near_ties(
    sampler.decoder, {"params": params}, prompts, settings, here, there
  )
