"""Examples to encoded streams: source, view and encode as Grain transforms.

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
    The streams in the order of (example, kind), and what was not encoded.
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


@dataclasses.dataclass(frozen=True)
class _Viewed:
  """The views of one example, and what could not be made of it."""

  views: tuple[views.View, ...]
  missing: tuple[str, ...]  # kinds that the example has nothing for
  unwritable: tuple[str, ...]  # example id, once for each failed kind


def _encode(
  examples: Sequence[vocabulary.Example],
  encoder: encoding.Encoder,
  config: PrepareConfig,
  pool: Sequence[vocabulary.Tool],
) -> encoding.EncodedSet:
  def view(example: vocabulary.Example) -> _Viewed:
    return _view(example, config, pool)

  if config.view.split_turns:
    examples = [x for whole in examples for x in sources.split_turns(whole)]

  def encode(chunk: Sequence[_Viewed]) -> encoding.EncodedSet:
    made = encoder.encode_all([v for item in chunk for v in item.views])
    return _with_view_faults(made, chunk)

  if not examples:
    return merge([])
  dataset = (
    grain.MapDataset.source(list(examples))
    .map(view)
    .batch(_CHUNK, batch_fn=list)
    .map(encode)
  )
  options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
  return merge(list(dataset.to_iter_dataset(options)))


def _view(
  example: vocabulary.Example,
  config: PrepareConfig,
  pool: Sequence[vocabulary.Tool],
) -> _Viewed:
  made, missing, unwritable = [], [], []
  for kind in config.kinds:
    try:
      found = views.make_view(example, kind, config.seed, config.view, pool)
    except views.ViewError:
      unwritable.append(example.id)
      continue
    if found is None:
      missing.append(kind)
    else:
      made.append(found)
  return _Viewed(tuple(made), tuple(missing), tuple(unwritable))


def _with_view_faults(
  made: encoding.EncodedSet, chunk: Sequence[_Viewed]
) -> encoding.EncodedSet:
  ids = dict(made.dropped_ids)
  unwritable = tuple(i for item in chunk for i in item.unwritable)
  if unwritable:
    ids[UNWRITABLE] = unwritable
  missing = collections.Counter(kind for v in chunk for kind in v.missing)
  return encoding.EncodedSet(
    encoded=made.encoded,
    tools_dropped=made.tools_dropped,
    dropped_ids=ids,
    missing=dict(missing),
  )


def merge(parts: Sequence[encoding.EncodedSet]) -> encoding.EncodedSet:
  """Several sets as one, in order."""
  ids: dict[str, tuple[str, ...]] = {}
  missing: collections.Counter[str] = collections.Counter()
  for part in parts:
    for reason, found in part.dropped_ids.items():
      ids[reason] = ids.get(reason, ()) + found
    missing.update(part.missing)
  return encoding.EncodedSet(
    encoded=tuple(stream for part in parts for stream in part.encoded),
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
  """Hash of all that decides the streams."""
  digest = hashlib.sha256()
  facts = {
    "tokenizer": encoder.tokenizer.fingerprint,
    "call_format": encoder.call_format,
    "encode": dataclasses.asdict(encoder.options),
    "prepare": dataclasses.asdict(config),
    "libraries": {name: metadata.version(name) for name in _LIBRARIES},
  }
  digest.update(io.dumps(facts).encode())
  for path in _code():
    digest.update(path.read_bytes())
  for example in examples:
    digest.update(b"\nexample ")
    digest.update(jsontext.dump(example.to_json()).encode())
  for tool in pool:
    digest.update(b"\ntool ")
    digest.update(tool.dumps().encode())
  return digest.hexdigest()[:32]


def _code() -> Iterator[pathlib.Path]:
  """Source files that decide tokens: another version, another key."""
  for module in (views, sources, vocabulary, formats):
    yield from sorted(pathlib.Path(str(module.__file__)).parent.glob("*.py"))


def _dump(found: encoding.EncodedSet) -> bytes:
  streams = found.encoded
  meta = {
    "kinds": [s.kind for s in streams],
    "ids": [s.example_id for s in streams],
    "tools_dropped": found.tools_dropped,
    "dropped_ids": found.dropped_ids,
    "missing": found.missing,
  }
  text = io.dumps(meta).encode("utf-8", "surrogatepass")
  empty = [np.zeros(0, np.int32)]
  buffer = BytesIO()
  np.savez(
    buffer,
    tokens=np.concatenate([s.tokens for s in streams] or empty),
    trained=np.concatenate([s.trained for s in streams] or empty),
    lengths=np.asarray([len(s.tokens) for s in streams], np.int64),
    weights=np.asarray([s.weight for s in streams], np.float64),
    dropped=np.asarray([s.dropped_tools for s in streams], np.int64),
    meta=np.frombuffer(text, np.uint8),
  )
  return buffer.getvalue()


def _load(path: epath.Path) -> encoding.EncodedSet | None:
  """Reads a cached set; None where the file is damaged."""
  try:
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
      return _unpack(arrays)
  except (ValueError, KeyError, OSError, zipfile.BadZipFile):
    return None


def _unpack(arrays: dict[str, np.ndarray]) -> encoding.EncodedSet:
  meta: dict[str, Any] = jsontext.load(
    arrays["meta"].tobytes().decode("utf-8", "surrogatepass")
  )
  ends = np.cumsum(arrays["lengths"])
  starts = ends - arrays["lengths"]
  streams = tuple(
    encoding.Encoded(
      tokens=arrays["tokens"][start:end],
      trained=arrays["trained"][start:end].astype(np.bool_),
      weight=float(weight),
      kind=kind,
      example_id=example_id,
      dropped_tools=int(dropped),
    )
    for start, end, weight, kind, example_id, dropped in zip(
      starts,
      ends,
      arrays["weights"],
      meta["kinds"],
      meta["ids"],
      arrays["dropped"],
      strict=True,
    )
  )
  return encoding.EncodedSet(
    encoded=streams,
    tools_dropped=meta["tools_dropped"],
    dropped_ids={k: tuple(v) for k, v in meta["dropped_ids"].items()},
    missing=meta["missing"],
  )
