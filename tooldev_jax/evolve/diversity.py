"""How varied the kept examples of a round are.

A model that learns from itself can narrow: it then makes the same few tools
and calls for whatever it is asked. Both figures fall when that happens. That
they are measured is chosen; the paper says nothing of it.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence

from tooldev_jax.toolcall.vocabulary import Example


def measure(kept: Sequence[Example]) -> dict[str, float]:
  """Figures by name.

  - "distinct tools": tool names that kept calls use.
  - "call bigram entropy": of pairs of neighbouring words in the kept calls as
    sampled, in bits; 0 if all are the same.
  """
  names = {call.name for example in kept for call in example.calls}
  pairs: Counter[tuple[str, str]] = Counter()
  for example in kept:
    words = re.findall(r"\w+", str(example.provenance["raw"]))
    pairs.update(itertools.pairwise(words))
  total = pairs.total()
  entropy = math.fsum(n / total * math.log2(total / n) for n in pairs.values())
  return {"distinct tools": float(len(names)), "call bigram entropy": entropy}
