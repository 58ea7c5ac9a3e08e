"""How good the tools are that a model makes for a query.

A made tool has names of its own, so it is not compared with gold as text.
What the figures mean:

- *parsed*: the answer can be read as tool definitions. *Valid*: it parses,
  holds at least one, and nothing that `check_tools` finds makes them unsound.
  Importers and rounds keep and drop tools by the same rule, so a missing
  description or a pattern that is not checked costs nothing.
- *coverage*: gold's called tools are looked for among the made ones, by name
  (letters and digits, case ignored: `getWeather` is `get_weather`), else the
  made tool that shares most parameter names stands for it. *Named*: share of
  gold tools with a made tool of that name. *Parameters*: share of gold's
  parameters that have a parameter of the same name there; *typed*: and of the
  same type.
- *usable*: the answer is valid and could have answered the query: each gold
  call is *carried* by a made tool. A made tool carries a call when each stated
  argument value finds a parameter of its own whose schema admits the value,
  and no required parameter without a default is left without a value. Values
  keep gold's JSON types and are placed wherever they fit, so a tool may be
  usable that no reader would understand. *Usable by name* is stricter: each
  value sits under its gold parameter name.
- *solved* asks a solver: a generator answers the query with the made tools at
  hand, and is right if its calls state exactly gold's values (see `labels`;
  there "4" is 4, so a tool that types a number as text can be solved with
  though it is not usable). A query whose tools are not valid is not solved.

Nothing is executed or fetched; a value is checked by `check_call`.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tooldev_jax.data import toolparse
from tooldev_jax.evaluate import intervals, labels, metrics, outputs
from tooldev_jax.evaluate.intervals import Figure
from tooldev_jax.evaluate.matching import covers, plain_name
from tooldev_jax.evaluate.outputs import OutputRecord, TextGenerator
from tooldev_jax.toolcall import canonical, checks, schemas
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import Call, Example, Tool


@dataclasses.dataclass(frozen=True)
class ToolJudgement:
  """One answer to "make tools for this query" against the gold tools.

  Attributes:
    example_id: the example.
    category: its category.
    parsed: whether the answer could be read as tools.
    parse_reason: the reader's typed reason when not, else "".
    made_tools: number of tools made.
    valid: whether there are tools and none is unsound.
    findings: all that `check_tools` found in them, matters of taste included,
      repeated if found repeatedly.
    gold_tools: number of tools that the gold calls use.
    named: gold tools with a made tool of the same name.
    parameters: parameters of the gold tools.
    parameters_named: those that a made tool has by name.
    parameters_typed: those that it has by name and type.
    usable: whether the made tools could have answered the query.
    usable_by_name: the same with values under gold's parameter names.
    finish_reason: see `OutputRecord`.
  """

  example_id: str
  category: str
  parsed: bool
  parse_reason: str
  made_tools: int
  valid: bool
  findings: tuple[str, ...]
  gold_tools: int
  named: int
  parameters: int
  parameters_named: int
  parameters_typed: int
  usable: bool
  usable_by_name: bool
  finish_reason: str = "stop"


@dataclasses.dataclass(frozen=True)
class ToolScores:
  """Tool making over a set of examples, all of which have gold calls.

  Attributes:
    n: examples.
    parsed: share that parsed.
    valid: share with sound tools only.
    named: mean share of gold tools made under their name.
    parameters: mean share of gold parameters made under their name.
    typed: mean share of them that also have gold's type.
    usable: share that could have answered the query.
    usable_by_name: share that could with gold's parameter names.
    made_tools: mean number of tools made.
    cut: answers that ran into the token limit.
    skipped: examples that were never answered.
    parse_reasons: unparsed answers by reason.
    findings: answers by what `check_tools` found in them.
    solved: share that a solver answers with the made tools; None if not asked.
  """

  n: int
  parsed: Figure
  valid: Figure
  named: Figure
  parameters: Figure
  typed: Figure
  usable: Figure
  usable_by_name: Figure
  made_tools: float
  cut: int
  skipped: int
  parse_reasons: Mapping[str, int]
  findings: Mapping[str, int]
  solved: Figure | None = None


def judge(example: Example, output: OutputRecord) -> ToolJudgement:
  """Judges the tools in one answer against the example's called tools."""
  made: tuple[Tool, ...] | None = None
  reason = ""
  if output.finish_reason != "skipped":
    try:
      made = tuple(toolparse.parse_tools(output.text))
    except toolparse.ToolParseError as e:
      reason = e.reason.value
  tools = made or ()
  findings = checks.check_tools(tools)
  valid = bool(tools) and not any(one.unsound for one in findings)
  gold = example.called_tools
  stand_ins = [(tool, _stand_in(tool, tools)) for tool in gold]
  return ToolJudgement(
    example_id=example.id,
    category=metrics.category_of(example),
    parsed=made is not None,
    parse_reason=reason,
    made_tools=len(tools),
    valid=valid,
    findings=tuple(f.reason.value for f in findings),
    gold_tools=len(gold),
    named=sum(
      made is not None and plain_name(made.name) == plain_name(tool.name)
      for tool, made in stand_ins
    ),
    parameters=sum(len(_properties(tool)) for tool in gold),
    parameters_named=sum(len(_shared(*pair)) for pair in stand_ins),
    parameters_typed=sum(len(_shared(*pair, typed=True)) for pair in stand_ins),
    usable=valid and _all_carried(example, tools, by_name=False),
    usable_by_name=valid and _all_carried(example, tools, by_name=True),
    finish_reason=output.finish_reason,
  )


def judge_all(
  examples: Sequence[Example], answers: Iterable[OutputRecord]
) -> list[ToolJudgement]:
  """Judges answers to the examples that have gold calls; others have none to
  compare with and are left out."""
  with_gold = [example for example in examples if example.calls]
  paired = outputs.pair(with_gold, answers)
  return [judge(e, o) for e, o in zip(with_gold, paired, strict=True)]


def score(
  judgements: Sequence[ToolJudgement], seed: int = 0
) -> ToolScores | None:
  """Aggregates judgements; None when there are none."""
  n = len(judgements)
  if not n:
    return None
  shares = [
    (
      j.named / max(1, j.gold_tools),
      # A gold tool without parameters is covered by a tool of its name.
      j.parameters_named / j.parameters if j.parameters else float(j.named > 0),
      j.parameters_typed / j.parameters if j.parameters else float(j.named > 0),
    )
    for j in judgements
  ]
  coverage = intervals.means(np.array(shares), seed)
  return ToolScores(
    n=n,
    parsed=intervals.share(j.parsed for j in judgements),
    valid=intervals.share(j.valid for j in judgements),
    named=coverage[0],
    parameters=coverage[1],
    typed=coverage[2],
    usable=intervals.share(j.usable for j in judgements),
    usable_by_name=intervals.share(j.usable_by_name for j in judgements),
    made_tools=sum(j.made_tools for j in judgements) / n,
    cut=sum(j.finish_reason == "length" for j in judgements),
    skipped=sum(j.finish_reason == "skipped" for j in judgements),
    parse_reasons=metrics.sorted_counts(
      j.parse_reason for j in judgements if j.parse_reason
    ),
    findings=metrics.sorted_counts(
      finding for j in judgements for finding in set(j.findings)
    ),
  )


def evaluate_tools(
  generator: TextGenerator,
  solver: TextGenerator,
  examples: Sequence[Example],
  call_format: str,
  seed: int = 0,
) -> tuple[list[ToolJudgement], ToolScores | None]:
  """Has tools made for the examples' queries, judges them and has them used.

  Args:
    generator: makes the tools.
    solver: is asked for calls, with the made tools in place of gold's.
    examples: those without gold calls are left out.
    call_format: name of the format that the solver writes calls in.
    seed: of the bootstrap intervals.

  Returns:
    A judgement an example that has gold calls, and the scores; None without
    any.
  """
  with_gold = [example for example in examples if example.calls]
  if not with_gold:
    return [], None
  answers = generator.generate(with_gold, "generation")
  judgements = judge_all(with_gold, answers)
  scores = score(judgements, seed)
  assert scores is not None
  solved = _solved(solver, with_gold, answers, call_format)
  return judgements, dataclasses.replace(scores, solved=solved)


def _solved(
  solver: TextGenerator,
  examples: Sequence[Example],
  answers: Iterable[OutputRecord],
  call_format: str,
) -> Figure:
  """Share of queries that a solver answers with the tools made for them."""
  asked, gold = [], []
  paired = outputs.pair(examples, answers)
  for example, output in zip(examples, paired, strict=True):
    if judge(example, output).valid:
      tools = toolparse.parse_tools(output.text)
      asked.append(dataclasses.replace(example, tools=tools, calls=()))
      gold.append(example)
  solutions = solver.generate(asked, "invocation") if asked else []
  solved = 0
  for question, right, output in zip(
    asked, gold, outputs.pair(asked, solutions), strict=True
  ):
    calls, _ = metrics.parse_answer(output.text, call_format, question.tools)
    if calls is not None and output.finish_reason != "skipped":
      made = dataclasses.replace(question, calls=calls)
      solved += labels.judge(made, right).values_exact
  return intervals.proportion(solved, len(examples))


def _properties(tool: Tool) -> Mapping[str, Json]:
  return schemas.properties(schemas.resolve(tool.parameters, tool.parameters))


def _shared(gold: Tool, made: Tool | None, typed: bool = False) -> list[str]:
  """Gold's parameters that the made tool has by name (and type)."""
  if made is None:
    return []
  theirs = {
    plain_name(name): schema for name, schema in _properties(made).items()
  }
  return [
    name
    for name, schema in _properties(gold).items()
    if plain_name(name) in theirs
    and (
      not typed
      or _types(schema, gold) == _types(theirs[plain_name(name)], made)
    )
  ]


def _types(schema: Json, tool: Tool) -> frozenset[str]:
  return schemas.types_of(schemas.resolve(schema, tool.parameters))


def _stand_in(gold: Tool, made: Sequence[Tool]) -> Tool | None:
  """The made tool of gold's name, else the one that shares most parameters."""
  for tool in made:
    if plain_name(tool.name) == plain_name(gold.name):
      return tool
  return max(made, key=lambda tool: len(_shared(gold, tool)), default=None)


def _all_carried(example: Example, made: Sequence[Tool], by_name: bool) -> bool:
  """Whether each gold call is carried by a made tool."""
  return all(
    any(carries(tool, call, by_name) for tool in made) for call in example.calls
  )


def carries(tool: Tool, call: Call, by_name: bool = False) -> bool:
  """Whether a made tool could express a gold call.

  Args:
    tool: a sound tool.
    call: a gold call, written for another tool.
    by_name: values must sit under the parameter of the same name.

  Returns:
    True when each stated value has a parameter of its own that admits it, and
    each required parameter without a default has a value.
  """
  arguments = canonical.canonical_call(call).arguments
  required = tool.parameters.get("required") or ()
  # What is required may be given, whether it is described or not.
  undescribed: dict[str, Json] = {str(name): {} for name in required}
  properties = {**undescribed, **_properties(tool)}
  admits_AxP = np.array(
    [
      [
        (not by_name or plain_name(name) == plain_name(parameter))
        and _admits(tool, parameter, schema, value)
        for parameter, schema in properties.items()
      ]
      for name, value in arguments.items()
    ],
    bool,
  ).reshape(len(arguments), len(properties))
  needed = [
    index
    for index, (parameter, schema) in enumerate(properties.items())
    if parameter in required
    and "default" not in schemas.resolve(schema, tool.parameters)
  ]
  # If one matching covers all values and another all needed parameters, then
  # some matching covers both (Mendelsohn and Dulmage 1958).
  return covers(admits_AxP) and covers(admits_AxP[:, needed].T)


def _admits(tool: Tool, parameter: str, schema: Json, value: Json) -> bool:
  """Whether a parameter's schema admits a value, by `check_call`."""
  lone = {
    **tool.parameters,
    "properties": {parameter: schema},
    "required": [parameter],
  }
  probe = Tool("probe", "", lone)
  return not checks.check_call(Call("probe", {parameter: value}), [probe])
