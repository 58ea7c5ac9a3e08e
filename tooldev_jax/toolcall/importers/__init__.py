"""Bring your own tools: documents in, definitions out, and what was refused.

Nothing is dropped in silence. Every place in a document that should have become
a tool is either in `tools` or in `refused`, and what a tool lacks of what its
document says is in `left_out`.
"""

import re
from collections.abc import Iterator

from etils import epath

from tooldev_jax.errors import UserError
from tooldev_jax.toolcall import jsontext, textfile, yamltext
from tooldev_jax.toolcall.checks import check_tool
from tooldev_jax.toolcall.importers import functions, openapi
from tooldev_jax.toolcall.importers.base import (
  Entry,
  Imported,
  Refusal,
  RefusalReason,
  Refused,
  refused_entry,
)
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import MalformedError, Tool

__all__ = ["Imported", "Refusal", "RefusalReason", "import_tools"]

MAX_DETAILS = 20  # that are told of one tool

_KNOWN = re.compile(r"\.(?:jsonl?|ya?ml)(?:\.gz)?\Z")


def import_tools(path: epath.PathLike) -> Imported:
  """Reads all tools of a file.

  What kind a document is follows from what it holds: OpenAPI and Swagger
  (`openapi`), else a list of tools in one of many dialects (`functions`).

  Args:
    path: a JSON document, JSON lines with a document each (`.jsonl`), or YAML
      (`.yaml`, `.yml`); `.gz` is unpacked. A folder stands for all of these
      that are in it.

  Returns:
    The tools, what was refused, and what was left out of tools, each with its
    place and reason. Two tools of one name are refused within a document, not
    across documents.

  Raises:
    UserError: there is no such file, or it is no text; one in a folder is
      refused instead.
  """
  tools: list[Tool] = []
  refused: list[Refusal] = []
  left_out: list[Refusal] = []
  for where, document in _documents(epath.Path(path)):
    if isinstance(document, Refused):
      refused.append(Refusal(where, document.reason, document.detail))
      continue
    names: set[str] = set()
    for entry in _entries(document):
      place = f"{where}#{entry.where}"
      details: list[str] = []
      made = _build(entry, place, names, details)
      if isinstance(made, Tool):
        tools.append(made)
        names.add(made.name)
        left_out += _left_out(place, made.name, details)
      else:
        refused.append(made)
  return Imported(tuple(tools), tuple(refused), tuple(left_out))


def _left_out(place: str, name: str, details: list[str]) -> list[Refusal]:
  """What a tool lacks, each detail once, and no more than can be read."""
  told = list(dict.fromkeys(details))
  if len(told) > MAX_DETAILS:
    more = f"and {len(told) - MAX_DETAILS} details more"
    told = [*told[:MAX_DETAILS], more]
  return [
    Refusal(place, RefusalReason.LEFT_OUT, f"{name!r}: {detail}")
    for detail in told
  ]


def _documents(path: epath.Path) -> Iterator[tuple[str, Json | Refused]]:
  """Yields (place, document or what is wrong with its text)."""
  if path.is_dir():
    for inner in sorted(path.iterdir()):
      if _KNOWN.search(inner.name):
        try:
          yield from _documents(inner)
        except UserError as error:  # The others can be read still.
          yield inner.name, Refused(RefusalReason.NOT_TEXT, str(error))
    return
  text = textfile.read_text(path)
  if {".yaml", ".yml"} & set(path.suffixes):
    yield from _load_yaml(path.name, text)
  elif ".jsonl" not in path.suffixes:
    yield path.name, _load(text)
  else:
    for number, line in enumerate(text.split("\n"), start=1):
      if line.strip():
        yield f"{path.name}:{number}", _load(line)


def _load(text: str) -> Json | Refused:
  try:
    return jsontext.load(text)
  except jsontext.JsonTextError as error:
    return Refused(RefusalReason.NOT_JSON, str(error))


def _load_yaml(name: str, text: str) -> Iterator[tuple[str, Json | Refused]]:
  try:
    documents = yamltext.load_all(text)
  except yamltext.YamlTextError as error:
    yield name, Refused(RefusalReason.NOT_YAML, str(error))
    return
  if not documents:
    yield name, Refused(RefusalReason.NOT_YAML, "the text has no document")
  for line, document in documents:
    yield (f"{name}:{line}" if len(documents) > 1 else name), document


def _entries(document: Json) -> Iterator[Entry]:
  """The entries of a document; one that is refused if it has none at all."""
  kind = openapi if openapi.matches(document) else functions
  try:
    yield from kind.entries(document)
  except Refused as error:
    yield refused_entry("", error)


def _build(
  entry: Entry, place: str, names: set[str], details: list[str]
) -> Tool | Refusal:
  """The tool of an entry, if it is sound and its name is new.

  `details` gets what is left out of it.
  """
  try:
    tool = entry.build(details.append)
  except Refused as error:
    return Refusal(place, error.reason, error.detail)
  except MalformedError as error:
    return Refusal(place, RefusalReason.BAD_RECORD, str(error))
  if tool.name in names:
    detail = f"{tool.name!r} came before in this document"
    return Refusal(place, RefusalReason.DUPLICATE_NAME, detail)
  for finding in check_tool(tool):
    if finding.unsound:
      detail = f"{tool.name!r}, {finding.where}: {finding.detail}"
      return Refusal(place, finding.reason, detail)
  return tool
