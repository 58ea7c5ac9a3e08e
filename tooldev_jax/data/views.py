"""Views: the training tasks that are made of an example.

  adaption    a tool in plain words   -> its full definition
  generation  a query                 -> the tools it needs
  invocation  a conversation + tools  -> calls, or a plain refusal

The three tasks are those of ToolDEV (arXiv 2505.07512). How a tool is put
into plain words, how many distractors are mixed in and in which order tools
stand are *chosen*.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence

from tooldev_jax import errors, seeds
from tooldev_jax.config import ViewConfig
from tooldev_jax.data import augment, instructions
from tooldev_jax.toolcall import formats, jsontext, vocabulary

KINDS = ("adaption", "generation", "invocation")


@dataclasses.dataclass(frozen=True)
class View:
  """One training task.

  Attributes:
    kind: one of `KINDS`.
    example_id: of the example it was made of.
    messages: the conversation up to the answer.
    tools: offered in the prompt (invocation only), in prompt order.
    target: text of the answer, without a stop token.
    weight: of its trained tokens in the loss.
    needed: names of the tools that must not be dropped for length.
  """

  kind: str
  example_id: str
  messages: tuple[vocabulary.Message, ...]
  tools: tuple[vocabulary.Tool, ...]
  target: str
  weight: float = 1.0
  needed: tuple[str, ...] = ()


class ViewError(ValueError):
  """An example whose calls or text the call format cannot write."""


def make_view(
  example: vocabulary.Example,
  kind: str,
  seed: int,
  options: ViewConfig | None = None,
  pool: Sequence[vocabulary.Tool] = (),
) -> View | None:
  """Makes one view of `example`; None where it has nothing to learn from.

  An example without tools has no adaption view, one whose calls name none of
  its tools has no generation view, one without a conversation no invocation
  view; one whose provenance says `"labelled": false` has neither of these. The
  choice depends on (seed, example id, kind) alone.

  Args:
    example: what to learn from. `provenance["weight"]` becomes the weight;
      `provenance["raw"]`, the text that a model wrote for these calls, is the
      invocation's target as it stands.
    kind: one of `KINDS`.
    seed: chooses wording, distractors and order.
    options: see `ViewConfig`.
    pool: where distractor tools come from.

  Raises:
    ViewError: the call format cannot write the example's turn.
  """
  options = options or ViewConfig()
  if kind not in KINDS:
    raise errors.UserError(f"view is {kind!r}; allowed: {', '.join(KINDS)}")
  if kind == "adaption":
    return _adaption(_shuffled(example, seed, options), seed)
  if example.provenance.get("labelled") is False:
    return None
  if kind == "generation":
    return _generation(_shuffled(example, seed, options), seed)
  return _invocation(example, seed, options, pool)


def describe_tool(tool: vocabulary.Tool) -> str:
  """A tool in plain words: name, purpose, and each parameter in a line.

  It says all that the definition holds except its notation, so that the
  definition follows from it. *Chosen*: the paper does not show its x_t.
  """
  lines = [f"{tool.name}: {tool.description or 'no description given.'}"]
  lines += _parameter_lines(tool.parameters, "- ")
  if len(lines) == 1:
    lines.append("It takes no parameters.")
  return "\n".join(lines)


def _shuffled(
  example: vocabulary.Example, seed: int, options: ViewConfig
) -> vocabulary.Example:
  share = options.shuffle_definitions
  if instructions.drawn(share, seed, example.id, "shuffle"):
    return augment.shuffle_definitions(example, seed)
  return example


def _adaption(example: vocabulary.Example, seed: int) -> View | None:
  if not example.tools:
    return None
  tool = instructions.choose(example.tools, seed, example.id, "tool")
  said = {"{description}": describe_tool(tool)}
  return _task("adaption", example, seed, said, tool.dumps())


def _generation(example: vocabulary.Example, seed: int) -> View | None:
  called = example.called_tools
  if not called or not example.query:
    return None
  target = jsontext.dump([tool.to_json() for tool in called])
  said = {"{query}": example.query}
  return _task("generation", example, seed, said, target)


def _task(
  kind: str,
  example: vocabulary.Example,
  seed: int,
  said: Mapping[str, str],
  target: str,
) -> View:
  """A task of one message, in one of the wordings of its kind."""
  wordings = instructions.TASKS[kind]
  text = instructions.choose(wordings, seed, example.id, kind)
  for mark, value in said.items():
    text = text.replace(mark, value)
  message = vocabulary.Message("user", text)
  return View(kind, example.id, (message,), (), target, _weight(example))


def _invocation(
  example: vocabulary.Example,
  seed: int,
  options: ViewConfig,
  pool: Sequence[vocabulary.Tool],
) -> View | None:
  if not example.messages:
    return None
  # Distractors are renamed with the rest, or their names would betray them.
  offered = _offered(example, seed, options, pool)
  example = dataclasses.replace(example, tools=offered)
  if instructions.drawn(options.mask_names, seed, example.id, "mask"):
    example = augment.mask_names(example, seed)
  example = _shuffled(example, seed, options)
  return View(
    kind="invocation",
    example_id=example.id,
    messages=example.messages,
    tools=example.tools,
    target=_answer(example, seed, options),
    weight=_weight(example),
    needed=tuple(tool.name for tool in _needed(example)),
  )


def _answer(example: vocabulary.Example, seed: int, options: ViewConfig) -> str:
  raw = example.provenance.get("raw")
  if isinstance(raw, str):
    return raw
  if not example.calls:
    refusals = instructions.REFUSALS
    return example.answer or instructions.choose(
      refusals, seed, example.id, "refusal"
    )
  text = example.answer if options.keep_text else ""
  call_format = formats.get_format(options.call_format)
  try:
    names = [tool.name for tool in example.tools]
    return call_format.render(example.calls, text, names)
  except formats.RenderError as e:
    raise ViewError(f"example {example.id}: {e}") from e


def _needed(example: vocabulary.Example) -> list[vocabulary.Tool]:
  """Tools named by the gold calls or by calls earlier in the dialogue."""
  names = {call.name for call in example.calls}
  names |= {call.name for m in example.messages for call in m.calls}
  return [tool for tool in example.tools if tool.name in names]


def _offered(
  example: vocabulary.Example,
  seed: int,
  options: ViewConfig,
  pool: Sequence[vocabulary.Tool],
) -> tuple[vocabulary.Tool, ...]:
  """The tools of the prompt: the needed ones and distractors, in order."""
  rng = random.Random(seeds.fold(seed, example.id, "distractors"))
  wanted = rng.randint(0, options.max_distractors)
  needed = _needed(example)
  called = {tool.name for tool in needed}
  chosen = [tool for tool in example.tools if tool.name not in called]
  if not options.keep_given:
    chosen = rng.sample(chosen, min(wanted, len(chosen)))
  names = {tool.name for tool in example.tools}
  # A pool is long: draw positions until enough new names turn up.
  for _ in range(4 * wanted):
    if len(chosen) >= wanted or not pool:
      break
    tool = pool[rng.randrange(len(pool))]
    if tool.name not in names:
      names.add(tool.name)
      chosen.append(tool)
  tools = [*needed, *chosen]
  if options.shuffle_tools:
    rng.shuffle(tools)
  return tuple(tools)


def _weight(example: vocabulary.Example) -> float:
  weight = example.provenance.get("weight", 1.0)
  assert isinstance(weight, int | float)  # The reader of rows looks at it.
  return float(weight)


def _parameter_lines(schema: object, indent: str) -> list[str]:
  """One line a property, nested properties further in."""
  if not isinstance(schema, Mapping):
    return []
  properties = schema.get("properties")
  if not isinstance(properties, Mapping):
    return []
  required = schema.get("required")
  required = required if isinstance(required, Sequence) else ()
  lines = []
  for name, value in properties.items():
    lines.append(f"{indent}{name} ({_facts(value, name in required)})")
    text = value.get("description") if isinstance(value, Mapping) else None
    if text:
      lines[-1] += f": {text}"
    if isinstance(value, Mapping):
      inner = value.get("items") if "items" in value else value
      lines += _parameter_lines(inner, "  " + indent)
  return lines


def _facts(schema: object, required: bool) -> str:
  """`string, required, one of "a", "b"` and the like."""
  facts = []
  if isinstance(schema, Mapping):
    kind = schema.get("type")
    if isinstance(kind, str):
      facts.append(kind)
    elif isinstance(kind, Sequence):
      facts.append(" or ".join(str(k) for k in kind))
  facts.append("required" if required else "optional")
  if isinstance(schema, Mapping):
    if isinstance(schema.get("items"), Mapping):
      facts.append(f"items: {schema['items'].get('type', 'any')}")
    if isinstance(schema.get("enum"), Sequence):
      values = ", ".join(jsontext.dump(v) for v in schema["enum"])
      facts.append(f"one of {values}")
    for key, value in schema.items():
      if key not in _SAID:
        facts.append(f"{key} {jsontext.dump(value)}")
  return ", ".join(facts)


_SAID = ("type", "description", "enum", "items", "properties", "required")
