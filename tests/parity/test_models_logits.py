"""The decoder against transformers: same logits, in and out of its folders.

Every model is random, made by transformers itself and read back from the
folder it writes. Weights are drawn wide enough that logits spread over
several units; biases and norms are random too, since at their start values
(zeros and ones) a swapped or forgotten one would not show.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from tooldev_jax.models.attention import packed_attention
from tooldev_jax.models.checkpoint import load_model, save_model
from tooldev_jax.models.model_folder import read_config
from tooldev_jax.models.tensor_file import read_header
from tooldev_jax.models.transformer import Decoder

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
LLAMA3 = {
  "rope_type": "llama3",
  "rope_theta": 50000.0,
  "factor": 8.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 32,
}


@dataclasses.dataclass(frozen=True)
class Case:
  """A family, the fields that make it special, and heads (query, kv)."""

  name: str
  kind: str
  heads: tuple[int, int]
  fields: dict

  def config(self):
    shape = {
      "vocab_size": 131,
      "hidden_size": 64,
      "intermediate_size": 96,
      "num_hidden_layers": 3,
      "num_attention_heads": self.heads[0],
      "num_key_value_heads": self.heads[1],
      "initializer_range": 0.1,
      "bos_token_id": 1,
      "eos_token_id": 2,
      "pad_token_id": 0,
    }
    make = getattr(transformers, f"{self.kind}Config")
    return make(**(shape | self.fields))


CASES = (
  Case("llama-mha-tied", "Llama", (4, 4), {"tie_word_embeddings": True}),
  Case("llama3-rope", "Llama", (8, 2), {"rope_parameters": LLAMA3}),
  Case(
    "llama-linear-rope-biases",
    "Llama",
    (8, 1),
    {
      "rope_parameters": {
        "rope_type": "linear",
        "rope_theta": 10000.0,
        "factor": 4.0,
      },
      "attention_bias": True,
      "mlp_bias": True,
    },
  ),
  Case("llama-head-dim", "Llama", (4, 2), {"head_dim": 24}),
  Case("qwen2-tied", "Qwen2", (4, 2), {"tie_word_embeddings": True}),
  Case(
    "qwen2-late-windows",
    "Qwen2",
    (6, 2),
    {
      "hidden_size": 96,
      "use_sliding_window": True,
      "sliding_window": 9,
      "max_window_layers": 2,
      "num_hidden_layers": 5,
    },
  ),
  Case("qwen3", "Qwen3", (4, 1), {"head_dim": 32}),
  Case(
    "qwen3-biased-tied",
    "Qwen3",
    (6, 3),
    {"head_dim": 16, "attention_bias": True, "tie_word_embeddings": True},
  ),
  Case("mistral-window", "Mistral", (8, 1), {"sliding_window": 13}),
  Case("mistral-whole", "Mistral", (4, 2), {"sliding_window": None}),
  Case("gemma2", "Gemma2", (4, 2), {"head_dim": 32, "sliding_window": 11}),
  Case(
    "gemma3",
    "Gemma3Text",
    (4, 1),
    {
      "head_dim": 32,
      "sliding_window": 11,
      "num_hidden_layers": 8,
      "query_pre_attn_scalar": 40,
      "rope_parameters": {
        "full_attention": {
          "rope_type": "linear",
          "factor": 8.0,
          "rope_theta": 1000000.0,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
      },
    },
  ),
  Case(
    "gemma3-capped-head",
    "Gemma3Text",
    (4, 2),
    {
      "head_dim": 16,
      "sliding_window": 7,
      "num_hidden_layers": 6,
      "final_logit_softcapping": 5.0,
    },
  ),
)
ALL = [pytest.param(case, id=case.name) for case in CASES]
# The most demanding one of each family, where all would take too long.
CHOSEN = [
  param
  for param in ALL
  if param.id
  in (
    *("llama3-rope", "qwen2-late-windows", "qwen3"),
    *("mistral-window", "gemma2", "gemma3"),
  )
]


def make_torch(case, seed, dtype=torch.float32):
  """A random model of the case's family, nothing left at its start value."""
  torch.manual_seed(seed)
  config = case.config()
  model = transformers.AutoModelForCausalLM.from_config(
    config, attn_implementation="eager"
  )
  with torch.no_grad():
    for parameter in model.parameters():
      if parameter.ndim == 1:
        parameter.add_(0.3 * torch.randn_like(parameter))
  return model.to(dtype).eval()


def torch_logits(model, tokens, lengths):
  mask = np.arange(tokens.shape[1])[None] < np.asarray(lengths)[:, None]
  with torch.no_grad():
    out = model(
      input_ids=torch.tensor(tokens, dtype=torch.long),
      attention_mask=torch.tensor(mask, dtype=torch.long),
    )
  return out.logits.float().numpy()


def our_logits(loaded, tokens, segments, positions, **settings):
  decoder = Decoder(loaded.config, **settings)

  @jax.jit
  def run(params, tokens, segments, positions):
    attend = packed_attention(segments, backend="einsum")
    hidden, _ = decoder.apply({"params": params}, tokens, positions, attend)
    return decoder.unembed(params, hidden)

  return np.asarray(run(loaded.params, tokens, segments, positions))


def ragged(seed, rows=3, length=77, vocab=131):
  """Right-padded rows: tokens, lengths, segment ids, positions."""
  rng = np.random.default_rng(seed)
  lengths = [length, *rng.integers(1, length, rows - 1).tolist()]
  segments = (np.arange(length)[None] < np.asarray(lengths)[:, None]).astype(
    np.int32
  )
  tokens = rng.integers(3, vocab, (rows, length)).astype(np.int32) * segments
  positions = np.tile(np.arange(length, dtype=np.int32), (rows, 1))
  return tokens, lengths, segments, positions


@pytest.mark.parametrize(
  ("case", "seed"),
  [pytest.param(*p.values, 0, id=p.id) for p in ALL]
  + [pytest.param(*p.values, 1, id=f"{p.id}-again") for p in CHOSEN],
)
def test_logits_equal_transformers_both_ways(case, seed, tmp_path):
  model = make_torch(case, seed)
  model.save_pretrained(tmp_path / "theirs")
  loaded = load_model(tmp_path / "theirs")
  # 77 and 41 tokens; the scaled RoPE above was "trained" on 32.
  tokens, lengths, segments, positions = ragged(seed, length=(77, 41)[seed])
  theirs = torch_logits(model, tokens, lengths)
  ours = our_logits(loaded, tokens, segments, positions)
  real = segments.astype(bool)
  assert np.abs(theirs[real]).max() > 2.0  # the comparison has something to see
  np.testing.assert_allclose(ours[real], theirs[real], atol=TOLERANCE, rtol=0)

  saved = save_model(loaded.params, loaded.config, tmp_path / "ours")
  again = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path / "ours", attn_implementation="eager"
  ).eval()
  np.testing.assert_allclose(
    torch_logits(again, tokens, lengths)[real],
    theirs[real],
    atol=TOLERANCE,
    rtol=0,
  )
  layout = lambda folder: {
    name: (entry.shape, entry.dtype)
    for name, entry in read_header(folder / "model.safetensors").items()
  }
  assert layout(tmp_path / "ours") == layout(tmp_path / "theirs")
  assert (
    saved == loaded.fingerprint == load_model(tmp_path / "ours").fingerprint
  )


def as_transformers_4(fields):
  """config.json as transformers 4 wrote it: RoPE flat, no types of layers."""
  fields = dict(fields, torch_dtype=fields["dtype"], rope_scaling=None)
  del fields["dtype"]
  rope = fields.pop("rope_parameters")
  if "full_attention" in rope:
    del fields["layer_types"]
    fields["sliding_window_pattern"] = 6
    local = rope["sliding_attention"]
    fields["rope_local_base_freq"] = local["rope_theta"]
    rope = rope["full_attention"]
  fields["rope_theta"] = rope.pop("rope_theta")
  if rope["rope_type"] != "default":
    fields["rope_scaling"] = rope
  return fields


@pytest.mark.parametrize("case", CHOSEN)
def test_older_configs_and_shards_made_by_transformers(case, tmp_path):
  make_torch(case, 4).save_pretrained(tmp_path, max_shard_size="60KB")
  assert (tmp_path / "model.safetensors.index.json").exists()
  path = tmp_path / "config.json"
  written = as_transformers_4(json.loads(path.read_text()))
  assert "rope_parameters" not in written
  path.write_text(json.dumps(written))
  model = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path, attn_implementation="eager"
  ).eval()
  tokens, lengths, segments, positions = ragged(4)
  real = segments.astype(bool)
  np.testing.assert_allclose(
    our_logits(load_model(tmp_path), tokens, segments, positions)[real],
    torch_logits(model, tokens, lengths)[real],
    atol=TOLERANCE,
    rtol=0,
  )


@pytest.mark.parametrize("case", CHOSEN)
def test_packed_rows_equal_separate_sequences(case, tmp_path):
  """Three sequences in one row, positions starting anew, against each alone."""
  model = make_torch(case, 5)
  model.save_pretrained(tmp_path)
  loaded = load_model(tmp_path)
  rng = np.random.default_rng(5)
  lengths = (31, 7, 20)
  tokens = rng.integers(3, 131, (1, sum(lengths) + 6)).astype(np.int32)
  parts = [np.full(n, i + 1) for i, n in enumerate(lengths)]
  segments = np.concatenate([*parts, np.zeros(6)]).astype(np.int32)[None]
  positions = np.concatenate([np.arange(n) for n in (*lengths, 6)])
  ours = our_logits(loaded, tokens, segments, positions.astype(np.int32)[None])
  start = 0
  for length in lengths:
    alone = tokens[:, start : start + length]
    np.testing.assert_allclose(
      ours[:, start : start + length],
      torch_logits(model, alone, [length]),
      atol=TOLERANCE,
      rtol=0,
    )
    start += length


@pytest.mark.parametrize("case", CHOSEN)
def test_bfloat16_is_as_near_to_float32_as_transformers(case, tmp_path):
  """In bfloat16 both round differently; ours may not stray further.

  Stated tolerance: over all real positions, our root-mean-square distance
  from the float32 logits of the same (rounded) weights is at most 1.25 times
  that of transformers in bfloat16, and at most 5 % of the logits' own size.
  """
  rounded = make_torch(case, 3, torch.bfloat16)
  rounded.save_pretrained(tmp_path)
  tokens, lengths, segments, positions = ragged(3)
  real = segments.astype(bool)
  theirs = torch_logits(rounded, tokens, lengths)[real]
  exact = torch_logits(rounded.float(), tokens, lengths)[real]
  loaded = load_model(tmp_path)
  assert all(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(loaded.params))
  ours = our_logits(loaded, tokens, segments, positions, dtype=jnp.bfloat16)
  rms = lambda x: float(np.sqrt(np.mean(np.square(x))))
  assert rms(ours[real] - exact) <= 1.25 * rms(theirs - exact)
  assert rms(ours[real] - exact) <= 0.05 * rms(exact)


@pytest.mark.parametrize("case", ALL)
def test_config_survives_the_round_trip(case, tmp_path):
  """What we write means the same to transformers as what it wrote."""
  config = case.config()
  config.architectures = [f"{case.kind.removesuffix('Text')}ForCausalLM"]
  config.save_pretrained(tmp_path / "theirs")
  ours = read_config(tmp_path / "theirs")
  assert type(ours).from_hf(ours.to_hf()) == ours
  (tmp_path / "ours").mkdir()
  (tmp_path / "ours" / "config.json").write_text(json.dumps(ours.to_hf()))
  again = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
  known = config.to_dict()
  different = {
    key: (known[key], again.to_dict().get(key))
    for key in known
    # Where it was read from; and what transformers leaves to be derived.
    if key not in ("_name_or_path", "head_dim")
    and known[key] != again.to_dict().get(key)
  }
  assert not different


def test_long_positions_match_far_beyond_the_original_context(tmp_path):
  """Positions to 120,000 with llama3 scaling, where float32 angles drift."""
  case = next(c for c in CASES if c.name == "llama3-rope")
  model = make_torch(case, 7)
  model.save_pretrained(tmp_path)
  loaded = load_model(tmp_path)
  tokens = np.random.default_rng(7).integers(3, 131, (2, 24)).astype(np.int32)
  starts = np.array([[5000], [119976]])
  positions = (starts + np.arange(24)).astype(np.int32)
  with torch.no_grad():
    theirs = model(
      input_ids=torch.tensor(tokens, dtype=torch.long),
      position_ids=torch.tensor(positions, dtype=torch.long),
    ).logits.numpy()
  ours = our_logits(loaded, tokens, np.ones_like(tokens), positions)
  np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
