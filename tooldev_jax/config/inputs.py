"""What a run reads, and how it becomes tokens."""

import dataclasses

from tooldev_jax.config.settings import Settings, group, setting

DTYPES = ("bfloat16", "float32")
LARGEST_SEED = 2**31 - 1
CALL_FORMATS = ("pythonic", "hermes", "llama", "mistral")
SOURCE_KINDS = (
  "records", "toolace", "xlam", "hermes", "glaive", "openai", "seal_tools",
  "toolrl", "sgd", "sgd_documents", "bfcl", "documents", "queries",
  "taskbench", "metatool",
)  # fmt: skip
TOOL_NAME, EXACT_QUERY, NEAR_QUERY = "tool name", "exact query", "near query"
REASONS = (TOOL_NAME, EXACT_QUERY, NEAR_QUERY)
PROMPT_STYLES = ("template", "toolace")
TURNS = ("last", "all", "with_calls")


@dataclasses.dataclass(frozen=True)
class BaseConfig(Settings):
  """The checkpoint to adapt."""

  path: str = setting("", "Hugging Face folder or hub id")
  dtype: str = setting("bfloat16", "of the frozen weights", one_of=DTYPES)


@dataclasses.dataclass(frozen=True)
class SourceConfig(Settings):
  """One input file."""

  path: str = setting(
    "", "of the file; {workdir} stands for the run's folder; empty: none"
  )
  kind: str = setting("records", "how to read it", one_of=SOURCE_KINDS)
  limit: int = setting(
    0, "seeded choice of this many rows; 0 takes all", at_least=0
  )


@dataclasses.dataclass(frozen=True)
class DecontaminateConfig(Settings):
  """What training data may not share with development, test and BFCL.

  Not a tool's name by default (chosen): an evaluation set of one's own is about
  the tools that one trains on. A claim about unseen tools takes those examples
  out as well.
  """

  reasons: tuple[str, ...] = setting(
    (EXACT_QUERY, NEAR_QUERY),
    "for which an example is left out; the others are only reported",
    one_of=REASONS,
  )
  near: float = setting(
    0.6,
    "share of common word trigrams (Jaccard) from which queries are near",
    above=0,
    at_most=1,
  )
  min_words: int = setting(
    4, "queries with fewer words are not compared", at_least=0
  )
  offered_tools: bool = setting(
    False, "also compare names of tools that an example never calls"
  )


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
  """The run's inputs."""

  documents: SourceConfig = group(
    SourceConfig, "tools to learn definitions from; none skips adapt", "adapt"
  )
  examples: SourceConfig = group(
    SourceConfig, "labelled queries, for decompose", "decompose"
  )
  queries: SourceConfig = group(
    SourceConfig, "queries without labels, for the rounds", "rounds"
  )
  queries_gold: SourceConfig = group(
    SourceConfig, "their answers, if known; only evaluate opens it", "evaluate"
  )
  development: SourceConfig = group(
    SourceConfig,
    "scored after every stage and round; rounds are accepted on it",
    "evaluate",
  )
  test: SourceConfig = group(SourceConfig, "scored at the end", "evaluate")
  max_bad_share: float = setting(
    0.05,
    "share of unreadable rows of a file that is still accepted",
    at_least=0,
    at_most=1,
    decides="nothing",
  )
  decontaminate: DecontaminateConfig = group(
    DecontaminateConfig, "what training data may not share with evaluation"
  )
  row_length: int = setting(4096, "tokens of a packed row", at_least=2)


@dataclasses.dataclass(frozen=True)
class ToyConfig(Settings):
  """How much of the embedded world to write into {workdir}/data."""

  seed: int = setting(
    0, "of the whole world", at_least=0, at_most=LARGEST_SEED, decides="adapt"
  )
  examples: int = setting(
    0, "labelled training examples; 0: no toy world", at_least=0
  )
  queries: int = setting(
    0, "queries for the rounds", at_least=0, decides="rounds"
  )
  development: int = setting(
    0, "development examples", at_least=0, decides="evaluate"
  )
  test: int = setting(0, "test examples", at_least=0, decides="evaluate")
  max_tools: int = setting(3, "most tools offered in one example", at_least=1)
  max_calls: int = setting(2, "most calls in one example", at_least=1)


@dataclasses.dataclass(frozen=True)
class ViewConfig(Settings):
  """How examples become training tasks."""

  call_format: str = setting(
    "pythonic", "how calls are written", one_of=CALL_FORMATS
  )
  max_distractors: int = setting(
    5, "most tools that no call names; drawn from 0 to this", at_least=0
  )
  keep_given: bool = setting(
    True,
    "keep all uncalled tools that the example offers, and only fill up from"
    " the pool; else they are drawn like the pool's",
  )
  shuffle_tools: bool = setting(
    True, "put tools in seeded order; else called ones come first"
  )
  keep_text: bool = setting(True, "also train the text beside gold calls")
  mask_names: float = setting(
    0.0,
    "share of the examples that get meaningless names, for invocation",
    at_least=0,
    at_most=1,
  )
  shuffle_definitions: float = setting(
    0.0,
    "share of the examples with parameters in another order",
    at_least=0,
    at_most=1,
    decides="adapt",
  )
  split_turns: bool = setting(
    False, "make every assistant turn of a dialogue an example of its own"
  )


@dataclasses.dataclass(frozen=True)
class EncodeConfig(Settings):
  """How training tasks become tokens."""

  prompt_style: str = setting(
    "template",
    "template: tools go through the chat template; toolace: into the system"
    " text, as JSON",
    one_of=PROMPT_STYLES,
  )
  max_length: int = setting(
    4096, "tokens; distractors are dropped to fit", at_least=2, decides="adapt"
  )
  turns: str = setting(
    "last",
    "trained assistant turns of a dialogue; with_calls trains the answer too",
    one_of=TURNS,
    decides="decompose",
  )
  strip_thoughts: bool = setting(
    True,
    "remove the <think> passage that opens an assistant turn",
    decides="decompose",
  )
