"""Does the query say what the arguments say?"""

from tooldev_jax.tools.findings import Finding
from tooldev_jax.tools.vocabulary import Call, Tool


def check_grounded(call: Call, tool: Tool, query: str) -> tuple[Finding, ...]:
  return ()
