"""The words of the toy world: values and verbs."""

from collections.abc import Mapping

from tooldev_jax.toy import tables

# Name of a list -> its words.
WORDS: Mapping[str, tuple[str, ...]] = {
  name: tuple(words.split()) for name, words in tables.rows("words", 2)
}
# Verb of a tool -> ways people say it. Shared by all splits, as a language is.
VERBS: Mapping[str, tuple[str, ...]] = {
  verb: tables.parts(ways, ";") for verb, ways, _ in tables.rows("verbs", 3)
}


def _tagged(tag: str) -> frozenset[str]:
  return frozenset(
    verb for verb, _, tags in tables.rows("verbs", 3) if tag in tags.split()
  )


# Verbs that a question can stand for ("what is the forecast in Rome?"), and
# verbs that a wish can stand for ("I need a table").
ASKING = _tagged("ask")
WANTING = _tagged("want")
