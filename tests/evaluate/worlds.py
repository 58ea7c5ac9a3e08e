"""Small examples that the tests of this room share."""

from tooldev_jax.toolcall.vocabulary import Call, Example, Message, Tool


def make_tool(name, required=(), **properties):
  """A sound tool; `properties` are JSON types or whole schemas."""
  schemas = {
    key: {"description": key, **({"type": s} if isinstance(s, str) else s)}
    for key, s in properties.items()
  }
  return Tool(
    name,
    f"Does {name}.",
    {"type": "object", "properties": schemas, "required": list(required)},
  )


WEATHER = make_tool(
  "get_weather",
  ["city"],
  city="string",
  days={"type": "integer", "default": 1},
  units={"type": "string", "enum": ["metric", "imperial"], "default": "metric"},
)
BOOK = make_tool(
  "book_table", ["place", "guests"], place="string", guests="integer"
)


def make_example(id, calls, tools=(WEATHER, BOOK), query="", category=None):
  """An example whose last turn asks `query`."""
  return Example(
    id=id,
    messages=(Message("user", query or f"query {id}"),),
    tools=tuple(tools),
    calls=tuple(calls),
    provenance={"category": category} if category else {},
  )


def one_of_each():
  """One example of each category, in the order of the categories."""
  oslo = Call("get_weather", {"city": "Oslo"})
  rome = Call("get_weather", {"city": "Rome", "days": 3})
  table = Call("book_table", {"place": "Noma", "guests": 4})
  return [
    make_example("s", [oslo], [WEATHER]),
    make_example("m", [table]),
    make_example("p", [oslo, rome], [WEATHER]),
    make_example("pm", [oslo, table]),
    make_example("i", []),
  ]
