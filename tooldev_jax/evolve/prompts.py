"""The two prompts of a round and of its evaluation: views without a target."""

from collections.abc import Sequence

from tooldev_jax.data import instructions
from tooldev_jax.data.views import View
from tooldev_jax.toolcall.vocabulary import Example, Message, Tool


def for_tools(example: Example, seed: int) -> View:
  """Asks which tools the query needs; the wording is chosen by seed."""
  wording = instructions.choose(
    instructions.GENERATION, seed, example.id, "generation"
  )
  text = wording.replace("{query}", example.query)
  return View("generation", example.id, (Message("user", text),), (), "")


def for_calls(example: Example, tools: Sequence[Tool]) -> View:
  """Asks which calls of these tools answer the conversation."""
  return View("invocation", example.id, example.messages, tuple(tools), "")
