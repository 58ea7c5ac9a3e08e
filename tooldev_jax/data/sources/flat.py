"""Flat parameter tables, as xLAM and ToolRL write them."""

from collections.abc import Mapping

from tooldev_jax.data.sources import padding, rows
from tooldev_jax.toolcall import jsontext
from tooldev_jax.toolcall.importers import base, tables


def schema_of(table: jsontext.Json) -> dict[str, jsontext.Json]:
  """JSON Schema of a table: name to facts; see `toolcall.importers.tables`.

  What a schema cannot say is left behind.

  Raises:
    RowError: the table or one of its entries describes no parameter.
  """
  if table is None:
    table = {}
  if not isinstance(table, Mapping):
    raise rows.RowError("parameters are no object", type(table).__name__)
  table = {
    name: padding.without_nulls(facts) if isinstance(facts, Mapping) else facts
    for name, facts in table.items()
    if not padding.is_padding(facts)
  }
  try:
    return tables.schema_of(table, "parameters", None, lambda detail: None)
  except base.Refused as error:
    raise rows.RowError("a parameter is no object", error.detail) from None
