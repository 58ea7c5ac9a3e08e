"""Scores of an adapter on development."""

import functools
from typing import TYPE_CHECKING

from tooldev_jax.evaluate import state
from tooldev_jax.student import Adapter, Answering

if TYPE_CHECKING:
  from tooldev_jax.pipeline import Run


def development(run: "Run", adapter: Adapter) -> state.Development:
  """Scores an adapter on development, and tells its slice of BFCL."""
  answers, call_format = answering(run, adapter), run.config.view.call_format
  official = state.score_official(
    answers("bfcl_slice"), run.official.slice, call_format
  )
  if official and official.ast:
    run.say(f"{adapter.name}: BFCL, a slice: {official.ast.value:.1%} of calls")
  return state.score_development(
    answers("development"), run.inputs.development, call_format
  )


def answering(run: "Run", adapter: Adapter):
  """Gives the generator of an adapter's answers to a set of questions."""
  folder = run.workdir / adapter.name
  return functools.partial(Answering, run.student, adapter, folder)
