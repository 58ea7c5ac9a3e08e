"""Examples to token sequences: view and encode as Grain transforms.

The result depends on (examples, tokenizer, options, seed) alone, so it can be
cached: `prepare` hashes all of these, and the code that turns them into
tokens, into a file name in the folder that the caller gives.
"""

import collections
import dataclasses
import hashlib
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from io import BytesIO
from typing import Any

import grain
import numpy as np
from etils import epath

from tooldev_jax import io
from tooldev_jax.config import ViewConfig
from tooldev_jax.data import encoding, sources, views
from tooldev_jax.toolcall import formats, jsontext, vocabulary

UNWRITABLE = "the call format cannot write the answer"

# They decide tokens too: another version, another key.
_LIBRARIES = ("transformers", "tokenizers", "jinja2")

# Examples a tokenizer call: enough to keep its threads busy.
_CHUNK = 64


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
  """Which views are made of examples, and how.

  Attributes:
    kinds: of the views to make of every example that has them.
    seed: of wordings, distractors and tool order.
    view: see `ViewConfig`; its `call_format` must be the encoder's.
  """

  kinds: tuple[str, ...] = ("generation", "invocation")
  seed: int = 0
  view: ViewConfig = dataclasses.field(default_factory=ViewConfig)


def prepare(
  examples: Sequence[vocabulary.Example],
  encoder: encoding.Encoder,
  config: PrepareConfig | None = None,
  pool: Sequence[vocabulary.Tool] | None = None,
  cache: io.PathLike | None = None,
) -> encoding.EncodedSet:
  """Makes the views of all examples and encodes them.

  Args:
    examples: what to learn from, in order.
    encoder: for one checkpoint and call format.
    config: see `PrepareConfig`.
    pool: tools that distractors are drawn from; None takes the tools of the
      examples.
    cache: folder that keeps results; None keeps none.

  Returns:
    The sequences in the order of (example, kind), and what was not encoded.
  """
  config = config or PrepareConfig(
    view=ViewConfig(call_format=encoder.call_format)
  )
  if config.view.call_format != encoder.call_format:
    raise ValueError("views and encoder use different call formats")
  if config.view.split_turns and encoder.options.turns != "last":
    raise ValueError("split turns would be trained twice")
  if pool is None:
    pool = tool_pool(examples)
  if cache is None:
    return _encode(examples, encoder, config, pool)
  key = _key(examples, encoder, config, pool)
  path = epath.Path(cache) / f"encoded-{key}.npz"
  found = _load(path) if path.exists() else None
  if found is None:
    found = _encode(examples, encoder, config, pool)
    io.write_bytes(path, _dump(found))
  return found


def tool_pool(
  examples: Sequence[vocabulary.Example],
) -> tuple[vocabulary.Tool, ...]:
  """The distinct tools of `examples`, in order of first appearance."""
  pool: dict[int | str, vocabulary.Tool] = {}
  for example in examples:
    for tool in example.tools:
      pool.setdefault(tool.dumps(), tool)
  return tuple(pool.values())


def _encode(
  examples: Sequence[vocabulary.Example],
  encoder: encoding.Encoder,
  config: PrepareConfig,
  pool: Sequence[vocabulary.Tool],
) -> encoding.EncodedSet:
  if config.view.split_turns:
    examples = [x for whole in examples for x in sources.split_turns(whole)]
  if not examples:
    return merge([])

  def view(example: vocabulary.Example) -> list[tuple[str, _Made]]:
    return [(kind, _view(example, kind, config, pool)) for kind in config.kinds]

  def encode(chunk: Sequence[list[tuple[str, _Made]]]) -> encoding.EncodedSet:
    made = [item for items in chunk for item in items]
    found = encoder.encode_all(
      [x for _, x in made if isinstance(x, views.View)]
    )
    failed = tuple(x for _, x in made if isinstance(x, str))
    missing = collections.Counter(kind for kind, x in made if x is None)
    ids = {**found.dropped_ids, **({UNWRITABLE: failed} if failed else {})}
    return dataclasses.replace(found, dropped_ids=ids, missing=missing)

  dataset = (
    grain.MapDataset.source(list(examples))
    .map(view)
    .batch(_CHUNK, batch_fn=list)
    .map(encode)
  )
  options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
  return merge(list(dataset.to_iter_dataset(options)))


# A view; None if the example has nothing for it; or the id of an example that
# the call format cannot write.
_Made = views.View | str | None


def _view(
  example: vocabulary.Example,
  kind: str,
  config: PrepareConfig,
  pool: Sequence[vocabulary.Tool],
) -> _Made:
  try:
    return views.make_view(example, kind, config.seed, config.view, pool)
  except views.ViewError:
    return example.id


def merge(parts: Sequence[encoding.EncodedSet]) -> encoding.EncodedSet:
  """Several sets as one, in order."""
  ids: dict[str, tuple[str, ...]] = {}
  missing: collections.Counter[str] = collections.Counter()
  for part in parts:
    for reason, found in part.dropped_ids.items():
      ids[reason] = ids.get(reason, ()) + found
    missing.update(part.missing)
  return encoding.EncodedSet(
    encoded=tuple(sequence for part in parts for sequence in part.encoded),
    tools_dropped=sum(part.tools_dropped for part in parts),
    dropped_ids=dict(sorted(ids.items())),
    missing=dict(sorted(missing.items())),
  )


def _key(
  examples: Sequence[vocabulary.Example],
  encoder: encoding.Encoder,
  config: PrepareConfig,
  pool: Sequence[vocabulary.Tool],
) -> str:
  """Hash of all that decides the sequences."""
  facts = {
    "tokenizer": encoder.tokenizer.fingerprint,
    "call_format": encoder.call_format,
    "encode": dataclasses.asdict(encoder.options),
    "prepare": dataclasses.asdict(config),
    "libraries": {name: metadata.version(name) for name in _LIBRARIES},
  }
  digest = hashlib.sha256(io.dumps(facts).encode())
  for path in _code():
    digest.update(path.read_bytes())
  for example in examples:
    row = jsontext.dump(example.to_json())
    digest.update(f"\nexample {row}".encode())
  for tool in pool:
    digest.update(f"\ntool {tool.dumps()}".encode())
  return digest.hexdigest()[:32]


def _code() -> Iterator[pathlib.Path]:
  """Source files that decide tokens: another version, another key."""
  for module in (views, sources, vocabulary, formats):
    yield from sorted(pathlib.Path(str(module.__file__)).parent.glob("*.py"))


def _dump(found: encoding.EncodedSet) -> bytes:
  """The set as an .npz file: its sequences end to end, and the rest as JSON."""
  sequences = found.encoded
  meta = {
    "each": [
      [s.weight, s.kind, s.example_id, s.dropped_tools] for s in sequences
    ],
    "tools_dropped": found.tools_dropped,
    "dropped_ids": found.dropped_ids,
    "missing": found.missing,
  }
  text = io.dumps(meta).encode("utf-8", "surrogatepass")
  nothing = [np.zeros(0, np.int32)]
  buffer = BytesIO()
  np.savez(
    buffer,
    tokens=np.concatenate([s.tokens for s in sequences] or nothing),
    trained=np.concatenate([s.trained for s in sequences] or nothing),
    lengths=np.asarray([len(s.tokens) for s in sequences], np.int64),
    meta=np.frombuffer(text, np.uint8),
  )
  return buffer.getvalue()


def _load(path: epath.Path) -> encoding.EncodedSet | None:
  """Reads a cached set; None where the file is damaged."""
  try:
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
      tokens, trained = file["tokens"], file["trained"].astype(np.bool_)
      ends = np.cumsum(file["lengths"])
      text = file["meta"].tobytes().decode("utf-8", "surrogatepass")
    meta: dict[str, Any] = jsontext.load(text)
    parts = zip(
      np.split(tokens, ends)[:-1],
      np.split(trained, ends)[:-1],
      meta["each"],
      strict=True,
    )
    return encoding.EncodedSet(
      encoded=tuple(encoding.Encoded(x, y, *each) for x, y, each in parts),
      tools_dropped=meta["tools_dropped"],
      dropped_ids={k: tuple(v) for k, v in meta["dropped_ids"].items()},
      missing=meta["missing"],
    )
  except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile):
    return None
