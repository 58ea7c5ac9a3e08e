"""The safetensors format: a JSON header, then the tensors' bytes.

Read here rather than by the `safetensors` package, because that can only map
whole local files. Reading a file of 513 MB slice by slice through it leaves
514 MB of the file in the process's resident memory; here it is 2 MB. And a
process reads only its own slices of a base on gs://, where a 70B model would
otherwise have to be copied to the disk of every host. Tests hold the two
against each other.
Source of the format: huggingface/safetensors, README, "Format".
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from etils import epath

from tooldev_jax import io
from tooldev_jax.errors import UserError

DTYPES: dict[str, np.dtype[Any]] = {
  "F32": np.dtype(np.float32),
  "F16": np.dtype(np.float16),
  "BF16": np.dtype(ml_dtypes.bfloat16),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}

# Headers of real checkpoints stay under 1 MB; a length beyond this is damage.
_MAX_HEADER = 100 << 20


@dataclasses.dataclass(frozen=True)
class TensorEntry:
  """One tensor in one file.

  Attributes:
    path: the file.
    dtype: the format's name of the dtype.
    shape: the tensor's shape.
    offset: first byte in the file.
  """

  path: epath.Path
  dtype: str
  shape: tuple[int, ...]
  offset: int

  @property
  def np_dtype(self) -> np.dtype[Any]:
    """The NumPy dtype; raises UserError for one that is not supported."""
    if self.dtype not in DTYPES:
      raise UserError(
        f"{self.path}: dtype {self.dtype} is not supported; "
        f"supported: {', '.join(DTYPES)}."
      )
    return DTYPES[self.dtype]

  @property
  def num_bytes(self) -> int:
    return math.prod(self.shape) * self.np_dtype.itemsize

  def chunks(
    self, max_bytes: int, first: int = 0, last: int | None = None
  ) -> Iterator[tuple[int, np.ndarray]]:
    """Rows `first` to `last` in runs: (number of its first row, rows [n, ...]).

    Nothing else of the file is read.
    """
    rows = self.shape[0] if self.shape else 1
    row_bytes = self.num_bytes // max(rows, 1)
    step = max(1, max_bytes // max(row_bytes, 1))
    last = rows if last is None else last
    with self.path.open("rb") as f:
      f.seek(self.offset + first * row_bytes)
      for start in range(first, last, step):
        count = min(step, last - start)
        data = f.read(count * row_bytes)
        if len(data) < count * row_bytes:
          raise UserError(f"{self.path}: the file ends inside a tensor.")
        block = np.frombuffer(data, self.np_dtype)
        yield start, block.reshape((count, *self.shape[1:]))

  def read(self) -> np.ndarray:
    """The whole tensor."""
    blocks = [block for _, block in self.chunks(1 << 62)]
    whole = blocks[0] if blocks else np.empty(0, self.np_dtype)
    return whole.reshape(self.shape)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """An object, without a name that stands twice."""
  fields = dict(pairs)
  if len(fields) < len(pairs):
    raise ValueError("a name stands twice")
  return fields


def _read_json_header(path: epath.Path) -> tuple[dict[str, Any], int, int]:
  """The file's header, where the tensors' bytes begin, and where they end."""
  try:
    with path.open("rb") as f:
      size = f.seek(0, os.SEEK_END)
      f.seek(0)
      length = int.from_bytes(f.read(8), "little")
      if not 2 <= length <= min(_MAX_HEADER, size - 8):
        raise ValueError(f"header of {length} bytes in a file of {size}")
      header = json.loads(f.read(length), object_pairs_hook=_unique)
  except FileNotFoundError as e:
    raise UserError(f"{path}: no such file.") from e
  except (OSError, ValueError, RecursionError) as e:
    raise UserError(f"{path}: not a safetensors file ({e}).") from e
  if not isinstance(header, dict):
    raise UserError(
      f"{path}: not a safetensors file (header is not an object)."
    )
  return header, 8 + length, size


def _entry(
  path: epath.Path, name: str, fields: Any, begin: int
) -> tuple[TensorEntry, int]:
  """One tensor of the header, and how many bytes it says it has."""
  try:
    shape, (start, end) = tuple(fields["shape"]), fields["data_offsets"]
    dtype = fields["dtype"]
    if not isinstance(dtype, str):
      raise ValueError(f"dtype {dtype!r:.40}")
    for number in (*shape, start, end):
      if type(number) is not int or number < 0:
        raise ValueError(f"{number!r:.40} is no size")
  except (KeyError, TypeError, ValueError) as e:
    raise UserError(f"{path}: damaged entry of {name} ({e}).") from e
  entry = TensorEntry(path, dtype, shape, begin + start)
  if dtype in DTYPES and entry.num_bytes != end - start:
    raise UserError(
      f"{path}: {name} has {end - start} bytes for {dtype} {list(shape)}."
    )
  return entry, end - start


def read_header(path: epath.Path) -> dict[str, TensorEntry]:
  """Every tensor of a file by its name.

  Raises:
    UserError: the file is damaged, or its tensors do not lie one after the
      other up to its end.
  """
  header, begin, size = _read_json_header(path)
  header.pop("__metadata__", None)
  found = {
    name: _entry(path, name, fields, begin) for name, fields in header.items()
  }
  end = begin
  for name, (entry, count) in sorted(
    found.items(), key=lambda item: (item[1][0].offset, item[1][1])
  ):
    if entry.offset != end:
      raise UserError(
        f"{path}: {name} begins at byte {entry.offset}, and what comes before "
        f"it ends at {end}."
      )
    end += count
  if end != size:
    where = "ends inside a tensor" if end > size else "goes on after the last"
    raise UserError(f"{path}: the file {where} ({size} bytes, {end} needed).")
  return {name: entry for name, (entry, _) in found.items()}


def read_metadata(path: epath.Path) -> dict[str, Any]:
  """What a file carries beside its tensors: strings, if all is well."""
  metadata = _read_json_header(path)[0].get("__metadata__") or {}
  return metadata if isinstance(metadata, dict) else {}


def write_tensors(
  path: epath.Path,
  tensors: Mapping[str, np.ndarray],
  metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes tensors as one file, atomically; the order given is kept.

  Args:
    path: the file.
    tensors: name -> array, of a dtype in DTYPES.
    metadata: strings to carry beside the tensors.
  """
  io.write_pieces(path, file_pieces(tensors, np.asarray, metadata))


def file_pieces(
  tensors: Mapping[str, Any],
  read: Callable[[Any], np.ndarray],
  metadata: Mapping[str, str] | None = None,
) -> Iterator[bytes | memoryview]:
  """The bytes of a file, one tensor at a time.

  Args:
    tensors: name -> what has the tensor's shape, dtype and nbytes.
    read: gives its values on the host; called when they are needed, in order.
    metadata: strings to carry beside the tensors.
  """
  metadata = {"format": "pt"} | dict(metadata or {})
  header: dict[str, Any] = {"__metadata__": metadata}
  offset = 0
  for name, tensor in tensors.items():
    header[name] = {
      "dtype": CODES[np.dtype(tensor.dtype)],
      "shape": list(tensor.shape),
      "data_offsets": [offset, offset + tensor.nbytes],
    }
    offset += tensor.nbytes
  text = json.dumps(header, separators=(",", ":")).encode()
  # Readers map the file: the data must start at a multiple of 8.
  text += b" " * (-len(text) % 8)
  yield len(text).to_bytes(8, "little") + text
  for tensor in tensors.values():
    yield bytes_of(read(tensor))


def bytes_of(tensor: np.ndarray) -> memoryview:
  """A tensor's bytes in C order, not copied if they lie so."""
  return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data


def digest(dtype: str, chunks: Iterable[memoryview]) -> str:
  """Names a tensor's content: its dtype and the SHA-256 of its bytes."""
  sha256 = hashlib.sha256()
  for chunk in chunks:
    sha256.update(chunk)
  return f"{dtype}:{sha256.hexdigest()}"


def group_by_size(
  sizes: Mapping[str, int], max_bytes: int
) -> Sequence[tuple[str, ...]]:
  """Cuts names, in order, into groups of at most `max_bytes` (or of one)."""
  groups: list[list[str]] = []
  room = -1
  for name, size in sizes.items():
    if size > room:
      groups.append([])
      room = max_bytes
    groups[-1].append(name)
    room -= size
  return [tuple(group) for group in groups]
