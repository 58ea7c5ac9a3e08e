"""A decoder whose next token is a hash of everything before it.

It has no weights to speak of but does go through `attend`: queries are zero,
so attention averages the values it sees, and the mean times their number is
the sum over the prefix of a hash of (token, position). One token missing,
repeated or out of place in the cache changes the sum and so all that follows.
The sums are small whole numbers, exact in float32.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tooldev_jax.models.config import AttentionSpec, DecoderConfig
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.sample.policy import Policy, choose

VOCAB = 37
STATES = 101


def _value(token, position):
  return (token * 7 + position * 5 + token * position * 3) % 31


def config(**changes) -> DecoderConfig:
  """A tiny Llama's config.json, with changes."""
  return DecoderConfig.from_hf(
    {
      "model_type": "llama",
      "architectures": ["LlamaForCausalLM"],
      "vocab_size": 61,
      "hidden_size": 32,
      "intermediate_size": 48,
      "num_hidden_layers": 2,
      "num_attention_heads": 4,
      "num_key_value_heads": 2,
      "max_position_embeddings": 512,
    }
    | changes
  )


@dataclasses.dataclass(frozen=True)
class HashDecoder:
  """Stands in for `models.transformer.Decoder`.

  Attributes:
    window: of its one layer; the hash then covers the last `window` tokens.
  """

  window: int | None = None
  config: Any = dataclasses.field(default_factory=config)
  lora: Any = None
  partition: Any = None

  def clone(self, **_: Any) -> "HashDecoder":
    """Itself: there is nothing to unroll or split."""
    return self

  def apply(self, variables, tokens, positions, attend, cache=None):
    """Hidden states whose first feature is the prefix's sum."""
    del variables
    value = _value(tokens, positions).astype(jnp.float32)
    k = jnp.broadcast_to(value[..., None, None], (*tokens.shape, 2, 4))
    q = jnp.zeros((*tokens.shape, 4, 4))
    spec = AttentionSpec(scale=1.0, window=self.window)
    if cache is not None:
      cache = jax.tree.map(lambda x: x[0], cache)
    out, new = attend(q, k, k, cache, spec)
    seen = positions + 1
    if self.window is not None:
      seen = jnp.minimum(seen, self.window)
    hidden = jnp.round(out[..., 0, :] * seen[..., None])
    return hidden, jax.tree.map(lambda x: x[None], new)

  def unembed(self, params, hidden):
    """A row of the table for each sum."""
    return params["table"][hidden[..., 0].astype(jnp.int32) % STATES]


def table(seed: int = 0, sharpness: float = 2.0) -> np.ndarray:
  """Logits for each state: the decoder's one parameter, "table"."""
  rng = np.random.default_rng(seed)
  return (sharpness * rng.normal(size=(STATES, VOCAB))).astype(np.float32)


@jax.jit
def _next(logits, seed, index, number, token, policy):
  key = jax.random.key(seed)
  for part in (index, number, token):
    key = jax.random.fold_in(key, part)
  return choose(logits[None], key[None], policy)


def expected(
  params: np.ndarray,
  prompt: list[int],
  sampling: SamplingParams,
  index: int,
  number: int,
  stop_ids: tuple[int, ...],
  window: int | None = None,
) -> tuple[list[int], list[float]]:
  """Tokens and log-probabilities, straight from the definition."""
  ids, logprobs = list(prompt), []
  policy = Policy.of([sampling])
  while len(ids) - len(prompt) < sampling.max_new_tokens:
    first = 0 if window is None else max(len(ids) - window, 0)
    total = sum(_value(t, p) for p, t in list(enumerate(ids))[first:])
    token, logprob = _next(
      params[total % STATES],
      sampling.seed,
      index,
      number,
      len(ids) - len(prompt),
      policy,
    )
    ids.append(int(token[0]))
    logprobs.append(float(logprob[0]))
    if ids[-1] in stop_ids:
      break
  return ids[len(prompt) :], logprobs
