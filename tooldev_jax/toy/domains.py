"""Which things can be done to which objects, and what can be said of them.

Two worlds that share no domain and no tool: `BASE` makes the shipped tiny
base, `QUICKSTART` is what the quickstart adapts it to. Some parameters, such
as `nights`, `cabin` or `genre`, belong to the quickstart's world alone.
"""

import dataclasses
from collections.abc import Mapping

from tooldev_jax.toy import tables
from tooldev_jax.toy.parameters import PARAMETERS, Parameter


@dataclasses.dataclass(frozen=True)
class Domain:
  """Actions of one field of life, which may have several of these.

  Attributes:
    name: one word, used as a prefix by some tools.
    verbs: keys of lexicon.VERBS.
    things: nouns; the snake_case form is part of tool names.
    parameters: names from `own` or `PARAMETERS`; each fits each verb.
    own: parameters that only this domain knows.
  """

  name: str
  verbs: tuple[str, ...]
  things: tuple[str, ...]
  parameters: tuple[str, ...]
  own: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)

  def parameter(self, name: str) -> Parameter:
    """The parameter of this name."""
    return self.own[name] if name in self.own else PARAMETERS[name]


def _domains(world: str) -> tuple[Domain, ...]:
  found = []
  for of, name, *cells in tables.rows("domains", 5):
    verbs, things, parameters = (tables.parts(cell, ",") for cell in cells)
    if of == world:
      found.append(Domain(name, verbs, things, parameters))
  return tuple(found)


BASE = _domains("base")
QUICKSTART = _domains("quickstart")
ALL = (*BASE, *QUICKSTART)
