"""How the rounds and the evaluation put their questions to the model.

Both know a model only as something that answers: a `TextGenerator` gives one
greedy answer to each example, a `Generate` several samples to each prompt.
"""

from collections.abc import Sequence

from etils import epath

from tooldev_jax.config import RunConfig
from tooldev_jax.data.views import View
from tooldev_jax.evaluate.outputs import OutputRecord
from tooldev_jax.evolve.prompts import for_calls, for_tools
from tooldev_jax.evolve.round import Answers, Generate
from tooldev_jax.model import Adapter, Model
from tooldev_jax.sample.params import RequestOutput, SamplingParams
from tooldev_jax.seeds import fold
from tooldev_jax.toolcall.vocabulary import Example

# Few calls are longer (mean about 25 tokens, 99 % under 60 on ToolACE, xLAM
# and Hammer samples); those that are go on in a longer cache.
EXPECTED_CALL_TOKENS = 64


class GreedyAnswers:
  """A `TextGenerator`: a model with one adapter, answers kept in files.

  Args:
    model: the base.
    adapter: what it has learned.
    config: of the run.
    folder: gets one file of answers for each set of questions.
    label: of the set of questions, part of the file's name.
  """

  def __init__(
    self,
    model: Model,
    adapter: Adapter,
    config: RunConfig,
    folder: epath.Path,
    label: str,
  ):
    self._model, self._adapter, self._config = model, adapter, config
    self._folder, self._label = folder, label

  def generate(
    self, examples: Sequence[Example], kind: str
  ) -> list[OutputRecord]:
    """Greedy answers to the view `kind` of the examples, in their order."""
    evaluate = self._config.evaluate
    if kind == "generation":
      prompts = [for_tools(x, self._config.seed) for x in examples]
      longest = evaluate.max_tool_tokens
    else:
      prompts = [for_calls(x, x.tools) for x in examples]
      longest = evaluate.max_call_tokens
    outputs = self._model.generate(
      self._adapter,
      prompts,
      SamplingParams(
        n=1,
        temperature=0.0,
        max_new_tokens=longest,
        expected_new_tokens=_expected(kind, longest),
      ),
      self._folder / f"{self._label}_{kind}.jsonl",
    )
    return [
      _record(example, output)
      for example, output in zip(examples, outputs, strict=True)
    ]


def sampled_answers(
  model: Model, adapter: Adapter, top_k: int, seed: int
) -> Generate:
  """The `Generate` of a round: samples of the current model."""

  def sample(
    prompts: Sequence[View],
    samples: int,
    temperature: float,
    longest: int,
    file: epath.Path,
  ) -> list[Answers]:
    kind = prompts[0].kind if prompts else ""
    sampling = SamplingParams(
      n=samples,
      temperature=temperature,
      top_k=top_k,
      max_new_tokens=longest,
      expected_new_tokens=_expected(kind, longest),
      seed=fold(seed, file.name),
    )
    outputs = model.generate(adapter, prompts, sampling, file)
    return [_answers(output) for output in outputs]

  return sample


def _expected(kind: str, longest: int) -> int:
  """Tokens that few answers exceed: what the sampler's cache is sized by."""
  return min(EXPECTED_CALL_TOKENS, longest) if kind == "invocation" else longest


def _record(example: Example, output: RequestOutput | None) -> OutputRecord:
  if output is None:
    return OutputRecord(example.id, "", "skipped")
  sample = output.samples[0]
  return OutputRecord(example.id, sample.text, sample.finish_reason)


def _answers(output: RequestOutput | None) -> Answers:
  if output is None:
    return Answers((), (), fits=False)
  return Answers(
    texts=tuple(sample.text for sample in output.samples),
    finished=tuple(s.finish_reason == "stop" for s in output.samples),
  )
