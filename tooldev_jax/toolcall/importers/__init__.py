"""Bring your own tools: documents in, definitions out, and what was refused.

A new kind of document is one file with an `Importer` and one line in the table
below. Nothing is dropped in silence: every place in a document that should have
become a tool is either in `tools` or in `refused`.
"""

import re
from collections.abc import Iterator, Mapping

from etils import epath

from tooldev_jax.errors import UserError
from tooldev_jax.toolcall import jsontext, textfile, yamltext
from tooldev_jax.toolcall.checks import check_tool
from tooldev_jax.toolcall.importers.base import (
  Entry,
  Imported,
  Importer,
  Refusal,
  RefusalReason,
  Refused,
)
from tooldev_jax.toolcall.importers.mcp import MCP
from tooldev_jax.toolcall.importers.openai import OPENAI
from tooldev_jax.toolcall.importers.openapi import OPENAPI
from tooldev_jax.toolcall.importers.seal_tools import SEAL_TOOLS
from tooldev_jax.toolcall.jsontext import Json
from tooldev_jax.toolcall.vocabulary import RecordError, Tool

__all__ = [
  "IMPORTERS",
  "Imported",
  "Importer",
  "Refusal",
  "RefusalReason",
  "import_tools",
]

# In the order in which "auto" asks them: the loosest comes last.
IMPORTERS: Mapping[str, Importer] = {
  importer.kind: importer for importer in (OPENAPI, SEAL_TOOLS, MCP, OPENAI)
}

_KNOWN = re.compile(r"\.(?:jsonl?|ya?ml)(?:\.gz)?\Z")


def import_tools(path: epath.PathLike, kind: str = "auto") -> Imported:
  """Reads all tools of a file.

  Args:
    path: a JSON document, JSON lines with a document each (`.jsonl`), or YAML
      (`.yaml`, `.yml`); `.gz` is unpacked. A folder stands for all of these
      that are in it.
    kind: a key of `IMPORTERS`, or "auto" to go by what each document holds.

  Returns:
    The tools, and all that was refused, with its place and reason. Two tools
    of one name are refused within a document, not across documents.

  Raises:
    UserError: there is no such file or kind, or the file is no text; one in a
      folder is refused instead.
  """
  if kind != "auto" and kind not in IMPORTERS:
    allowed = ", ".join(("auto", *IMPORTERS))
    raise UserError(f"kind of tools {kind!r} is not known; allowed: {allowed}")
  tools: list[Tool] = []
  refused: list[Refusal] = []
  for where, document in _documents(epath.Path(path)):
    if isinstance(document, Refused):
      refused.append(Refusal(where, document.reason, document.detail))
      continue
    names: set[str] = set()
    for entry in _entries(document, kind):
      place = f"{where}#{entry.where}"
      made = _build(entry, place, names)
      if isinstance(made, Tool):
        tools.append(made)
        names.add(made.name)
      else:
        refused.append(made)
  return Imported(tuple(tools), tuple(refused))


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


def _entries(document: Json, kind: str) -> Iterator[Entry]:
  """The entries of a document; one that is refused if it has none at all."""
  importer = IMPORTERS.get(kind) or next(
    (known for known in IMPORTERS.values() if known.matches(document)), None
  )
  try:
    if importer is None:
      detail = f"none of: {', '.join(IMPORTERS)}"
      raise Refused(RefusalReason.UNKNOWN_KIND, detail)
    yield from importer.entries(document)
  except Refused as error:
    refusal = error

    def refuse() -> Tool:
      raise refusal

    yield Entry("", refuse)


def _build(entry: Entry, place: str, names: set[str]) -> Tool | Refusal:
  """The tool of an entry, if it is sound and its name is new."""
  try:
    tool = entry.build()
  except Refused as error:
    return Refusal(place, error.reason, error.detail)
  except RecordError as error:
    return Refusal(place, RefusalReason.BAD_RECORD, str(error))
  if tool.name in names:
    detail = f"{tool.name!r} came before in this document"
    return Refusal(place, RefusalReason.DUPLICATE_NAME, detail)
  for finding in check_tool(tool):
    if finding.unsound:
      detail = f"{tool.name!r}, {finding.where}: {finding.detail}"
      return Refusal(place, finding.reason, detail)
  return tool
