"""Steps that are traced and compiled once for many calls of `fit`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tooldev_jax.train import loop


@contextmanager
def steps_made_once() -> Iterator[None]:
  """While it lasts, `fit` reuses what it made for equal settings."""
  make, compile_ = loop.make_train_step, loop.TrainStep.compile
  steps: dict[Any, Any] = {}
  programs: dict[int, Any] = {}

  def make_once(
    model: Any, lora: Any, config: Any, shapes: Any, *rest: Any
  ) -> Any:
    key = (model, lora, config, tuple(sorted(shapes.items())), *rest)
    if key not in steps:
      steps[key] = make(model, lora, config, shapes, *rest)
    return steps[key]

  def compile_once(step: Any) -> Any:
    if id(step) not in programs:
      programs[id(step)] = compile_(step)
    return programs[id(step)]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, "make_train_step", make_once)
    patch.setattr(loop.TrainStep, "compile", compile_once)
    yield
