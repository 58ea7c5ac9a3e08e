"""What a caller asks of the sampler, and what comes back."""

import dataclasses
from typing import Any

import numpy as np

from tooldev_jax import records
from tooldev_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class SamplingParams:
  """How to sample one prompt. The names are vLLM's.

  Attributes:
    n: samples of the prompt.
    temperature: logits are divided by it; 0 takes the likeliest token.
    top_p: keep the smallest set of likeliest tokens with this much mass.
    top_k: keep the k likeliest tokens; 0 keeps all.
    min_p: keep tokens at least this likely, relative to the likeliest.
    max_new_tokens: length at which a sample ends if nothing else ends it.
    expected_new_tokens: a length that few samples exceed, which sizes the
      cache; 0 plans for `max_new_tokens`. Samples that grow beyond it cost
      one more prefill each, so it is a matter of speed alone.
    stop: texts that end a sample; the text of the sample ends before them.
    stop_token_ids: tokens that end a sample, beside the model's own.
    seed: the root of every random draw.
    logprobs: return the model's log-probability of each sampled token, before
      temperature and filters.
    ignore_eos: do not end at the model's own stop tokens.
  """

  n: int = 1
  temperature: float = 1.0
  top_p: float = 1.0
  top_k: int = 0
  min_p: float = 0.0
  max_new_tokens: int = 256
  expected_new_tokens: int = 0
  stop: tuple[str, ...] = ()
  stop_token_ids: tuple[int, ...] = ()
  seed: int = 0
  logprobs: bool = False
  ignore_eos: bool = False

  def __post_init__(self):
    texts = not isinstance(self.stop, str) and all(
      isinstance(text, str) and text for text in self.stop
    )
    _require(
      self,
      n=(self.n >= 1, "1 or more"),
      temperature=(0 <= self.temperature < np.inf, "0 or more"),
      top_p=(0 < self.top_p <= 1, "above 0, at most 1"),
      top_k=(self.top_k >= 0, "0 (all) or more"),
      min_p=(0 <= self.min_p <= 1, "from 0 to 1"),
      max_new_tokens=(self.max_new_tokens >= 1, "1 or more"),
      expected_new_tokens=(self.expected_new_tokens >= 0, "0 or more"),
      stop=(texts, "a sequence of non-empty strings"),
      seed=(0 <= self.seed < 2**32, "from 0 to 2**32 - 1"),
    )


def _require(settings: Any, **rules: tuple[Any, str]) -> None:
  """Refuses a field that breaks its rule: (is it good, what is allowed)."""
  for name, (good, allowed) in rules.items():
    if not good:
      raise UserError(
        f"{type(settings).__name__}.{name} is {getattr(settings, name)!r}; it"
        f" is {allowed}."
      )


@dataclasses.dataclass(frozen=True)
class Sample:
  """One answer.

  Attributes:
    token_ids: what was sampled, up to and with the token that ended it.
    text: the tokens' text without the stop token or stop string; "" if the
      sampler has no tokenizer.
    finish_reason: "stop" or "length".
    logprobs: one per token, if asked for.
  """

  token_ids: tuple[int, ...]
  text: str
  finish_reason: str
  logprobs: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class RequestOutput:
  """All samples of one prompt.

  Attributes:
    index: the number i of the prompt, which its random draws depend on.
    prompt_len: in tokens.
    samples: n of them, in the order of j.
  """

  index: int
  prompt_len: int
  samples: tuple[Sample, ...]

  def to_json(self) -> dict[str, Any]:
    """A JSON object that `from_json` reads back without loss."""
    return records.to_json(self)

  @classmethod
  def from_json(cls, row: dict[str, Any]) -> "RequestOutput":
    """The output that `to_json` wrote."""
    return records.from_json(cls, row)
