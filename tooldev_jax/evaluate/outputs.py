"""What a text generator gave, and the one interface it is judged behind.

`evaluate` never runs a model. It judges `OutputRecord`s, one an example.
Whoever generates text implements `TextGenerator`; `RecordedOutputs` plays back
what was generated before.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol

from tooldev_jax import errors
from tooldev_jax.toolcall.vocabulary import Example

FINISH_REASONS = ("stop", "length", "skipped")


class OutputError(errors.UserError):
  """Outputs that do not belong to the examples they are judged on."""


@dataclasses.dataclass(frozen=True)
class OutputRecord:
  """One generated answer.

  Attributes:
    example_id: the example that was answered.
    text: the decoded answer without the stop token; "" when skipped.
    finish_reason: "stop" (the model ended its turn), "length" (cut at the
      token limit) or "skipped" (never generated: the prompt did not fit). A
      skipped example stays in every denominator, as an answer with no calls.
  """

  example_id: str
  text: str
  finish_reason: str = "stop"

  def __post_init__(self) -> None:
    if self.finish_reason not in FINISH_REASONS:
      raise OutputError(
        f"output for {self.example_id!r}: finish_reason is"
        f" {self.finish_reason!r}, allowed: {', '.join(FINISH_REASONS)}"
      )


class TextGenerator(Protocol):
  """Anything that answers examples with text."""

  def generate(
    self, examples: Sequence[Example], kind: str
  ) -> Sequence[OutputRecord]:
    """Answers each example once.

    Args:
      examples: the examples, whose gold calls must not be looked at.
      kind: which view of them to answer: "invocation" or "generation".

    Returns:
      One record an example, in any order.
    """


class RecordedOutputs:
  """A `TextGenerator` that plays back recorded outputs."""

  def __init__(self, outputs: Iterable[OutputRecord]):
    self._by_id = _by_id(outputs)

  def generate(
    self, examples: Sequence[Example], kind: str
  ) -> Sequence[OutputRecord]:
    """The recorded answers to these examples, whatever their view."""
    del kind  # One file holds the answers to one view.
    return pair(examples, self._by_id.values())


def _by_id(outputs: Iterable[OutputRecord]) -> dict[str, OutputRecord]:
  by_id: dict[str, OutputRecord] = {}
  for output in outputs:
    if output.example_id in by_id:
      raise OutputError(f"two outputs for example {output.example_id!r}")
    by_id[output.example_id] = output
  return by_id


def pair(
  examples: Sequence[Example], outputs: Iterable[OutputRecord]
) -> list[OutputRecord]:
  """Outputs in the order of the examples they answer.

  Raises:
    OutputError: an example has no output or two, or appears twice. Outputs
      for other examples are ignored, so that a slice of a file can be judged.
  """
  by_id = _by_id(outputs)
  if len({example.id for example in examples}) < len(examples):
    raise OutputError("two examples share an id")
  missing = [example.id for example in examples if example.id not in by_id]
  if missing:
    raise OutputError(
      f"{len(missing)} of {len(examples)} examples have no output, the first"
      f" is {missing[0]!r}"
    )
  return [by_id[example.id] for example in examples]
