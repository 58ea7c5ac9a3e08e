"""How well a base calls tools: exact shares by category, on toy worlds."""

import collections
import dataclasses
from collections.abc import Sequence

from etils import epath

from tooldev_jax.config import (
  EncodeConfig,
  MeshConfig,
  SamplerConfig,
  ViewConfig,
)
from tooldev_jax.data.encoding import Encoder
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.data.views import make_view
from tooldev_jax.models import checkpoint
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.sample.sampler import Sampler
from tooldev_jax.toolcall import canonical, formats
from tooldev_jax.toolcall.vocabulary import Call, Example
from tooldev_jax.toy import domains, records, requests, world

_MAX_CALL_TOKENS = 96
_SAMPLER = SamplerConfig(
  prompt_buckets=(64, 128, 256, 384),
  tail_buckets=(_MAX_CALL_TOKENS,),
  rows=64,
  prefill_tokens=2048,
)


@dataclasses.dataclass(frozen=True)
class Answer:
  """One example and what the base said.

  Attributes:
    example: with its gold calls.
    text: the base's answer.
    calls: as parsed; None where it is not readable.
  """

  example: Example
  text: str
  calls: tuple[Call, ...] | None

  @property
  def exact(self) -> bool:
    """Whether the calls are the gold ones, or none where none fits."""
    tools = self.example.tools
    gold = canonical.canonical_key(self.example.calls, tools)
    return self.calls is not None and gold == canonical.canonical_key(
      self.calls, tools
    )


def worlds(seed: int, count: int) -> dict[str, list[Example]]:
  """Fresh tools of the base's world, and the quickstart's development ones.

  Args:
    seed: of both; training of a base draws from other seeds.
    count: examples of each.
  """
  fresh = world.EndlessWorld(invented=0.0)
  fixed = world.split_tools(0, records.SPLIT_SHARES, domains.QUICKSTART)["dev"]
  mix = requests.Mix(weights=(0.25, 0.25, 0.15, 0.15, 0.2))
  return {
    "base": list(requests.examples(fresh, "base", count, seed, mix)),
    "quickstart": list(requests.examples(fixed, "dev", count, seed, mix)),
  }


def ask(folder: epath.Path, examples: Sequence[Example]) -> list[Answer]:
  """The likeliest answer of the base in `folder` to every example."""
  tokenizer = ChatTokenizer.load(folder)
  encoder = Encoder(tokenizer, "pythonic", EncodeConfig(max_length=384))
  mesh = make_mesh(MeshConfig())
  base = checkpoint.load_model(folder, mesh, TRAIN_RULES, "float32")
  views = [
    make_view(example, "invocation", 0, ViewConfig(max_distractors=0))
    for example in examples
  ]
  prompts = [encoder.prompt_ids(view) for view in views if view is not None]
  sampler = Sampler(
    Decoder(base.config, dtype="float32"), tokenizer, mesh, _SAMPLER
  )
  sampling = SamplingParams(temperature=0.0, max_new_tokens=_MAX_CALL_TOKENS)
  outputs = sampler.generate(base.params, prompts, sampling)
  pythonic = formats.get_format("pythonic")
  answers = []
  for example, output in zip(examples, outputs, strict=True):
    text = output.samples[0].text
    try:
      calls = pythonic.parse(text).calls
    except formats.ParseError:
      calls = None
    answers.append(Answer(example, text, calls))
  return answers


def rates(answers: Sequence[Answer]) -> dict[str, tuple[int, int]]:
  """Exact answers and all answers, by category and over all."""
  found: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
  for answer in answers:
    for key in (answer.example.provenance["category"], "all"):
      found[key][0] += answer.exact
      found[key][1] += 1
  order = [*requests.CATEGORIES, "all"]
  return {key: (found[key][0], found[key][1]) for key in order if key in found}


def report(name: str, answers: Sequence[Answer], wrong: int) -> str:
  """A line a category, and up to `wrong` answers that are not exact."""
  lines = [f"{name}: exact answers"]
  for category, (right, count) in rates(answers).items():
    lines.append(
      f"  {category:17} {right:4} of {count:4}  {right / count:6.1%}"
    )
  pythonic = formats.get_format("pythonic")
  failed = [answer for answer in answers if not answer.exact]
  for answer in failed[:wrong]:
    gold = pythonic.render(answer.example.calls, "")

    lines += [
      f"  {answer.example.query}",
      f"    gold   {gold or 'none'}",
      f"    answer {answer.text}",
    ]
  return "\n".join(lines)
