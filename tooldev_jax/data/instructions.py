"""All wordings that we put into training data, in one place.

The paper states one instruction, "Generate candidate tools related to the
query: {query}" (arXiv 2505.07512); the other wordings are *chosen*: several of
each kind, picked by seed, so that a model learns the task and not a sentence.
"""

from collections.abc import Sequence
from typing import TypeVar

from tooldev_jax import seeds

_T = TypeVar("_T")

ADAPTION = (
  "Write the full definition of the tool described here as one JSON object "
  'with "name", "description" and "parameters".\n\n{description}',
  "Here is what a tool does, in plain words. Give its definition as JSON, "
  "with a JSON Schema for the parameters.\n\n{description}",
  "Turn this description into a tool definition (JSON, parameters as JSON "
  "Schema).\n\n{description}",
  "{description}\n\nDefine this tool: answer with its JSON definition and "
  "nothing else.",
)

GENERATION = (
  "Generate candidate tools related to the query: {query}",
  "Which tools would help with this request? Define them as a JSON list.\n\n"
  "{query}",
  "Propose tool definitions, as a JSON list, with which this query can be "
  "answered: {query}",
  "A user says: {query}\n\nWrite a JSON list of the tools needed to do that.",
)

# Kind of view to the wordings of its task.
TASKS = {"adaption": ADAPTION, "generation": GENERATION}

REFUSALS = (
  "None of the given tools can do that.",
  "The tools at hand do not fit this request, so I will not call any.",
  "I have no suitable tool for this.",
  "No tool that I was given covers this request.",
)

# The prompt style "toolace": tools as JSON in a system text, calls as the
# format says. ToolACE and BFCL prompt models this way; the words are ours.
TOOLACE_SYSTEM = (
  "You answer requests by calling functions. Below are the functions you may "
  "call, as JSON. Work out which calls the request needs, with all arguments "
  "taken from the conversation. If no function fits, or a required argument "
  "is missing, say so in words and call nothing.\n"
  "{syntax}\n\n"
  "Functions:\n{tools}"
)

# In words only: small models copy an example, and then call its tools.
CALL_SYNTAX = {
  "pythonic": (
    "Write nothing but the calls: one list in square brackets, with commas "
    "between the calls. A call is the function's name and, in round brackets, "
    "parameter=value for each argument."
  ),
  "hermes": (
    "Write each call as a JSON object between an opening and a closing "
    '"tool_call" tag. Its keys are "name", the function, and "arguments", an '
    "object of the parameters and their values."
  ),
  "llama": (
    "Write each call as a JSON object, with a semicolon between two of them. "
    'Its keys are "name", the function, and "parameters", an object of the '
    "parameters and their values."
  ),
  "mistral": (
    "Write the calls as one JSON list of objects, right after TOOL_CALLS in "
    'square brackets. Their keys are "name", the function, and "arguments", '
    "an object of the parameters and their values."
  ),
}


def drawn(share: float, seed: int, *names: str) -> bool:
  """True for a seeded `share` of all names."""
  return seeds.fold(seed, *names) < share * 2**31


def choose(options: Sequence[_T], seed: int, *names: str) -> _T:
  """One of `options`, by seed."""
  return options[seeds.fold(seed, *names) % len(options)]
