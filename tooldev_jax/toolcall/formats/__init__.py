"""The ways to write calls, by name."""

from collections.abc import Mapping

from tooldev_jax.errors import UserError
from tooldev_jax.toolcall.formats.base import CallFormat
from tooldev_jax.toolcall.formats.hermes import HermesFormat
from tooldev_jax.toolcall.formats.llama import LlamaFormat
from tooldev_jax.toolcall.formats.mistral import MistralFormat
from tooldev_jax.toolcall.formats.pythonic import PythonicFormat
from tooldev_jax.toolcall.formats.reader import read_number
from tooldev_jax.toolcall.formats.turn import (
  ParseError,
  ParseReason,
  RenderError,
  Turn,
)

CALL_FORMATS: Mapping[str, CallFormat] = {
  call_format.name: call_format
  for call_format in (
    PythonicFormat(),
    HermesFormat(),
    LlamaFormat(),
    MistralFormat(),
  )
}


def get_format(name: str) -> CallFormat:
  """The format called `name`.

  Raises:
    UserError: there is none of that name; the message lists those there are.
  """
  if name not in CALL_FORMATS:
    known = ", ".join(CALL_FORMATS)
    raise UserError(f"call format {name!r} is not known; allowed: {known}")
  return CALL_FORMATS[name]


__all__ = [
  "CALL_FORMATS",
  "CallFormat",
  "ParseError",
  "ParseReason",
  "RenderError",
  "Turn",
  "get_format",
  "read_number",
]
