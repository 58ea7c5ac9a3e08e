"""The official BFCL checker of the package `bfcl-eval`, in our process.

The package's own entry points import dozens of model handlers and their
clients, and its decoder hands arithmetic in an answer to Python's `eval`. This
module loads only the decoder and the checker, and closes that door: the
decoder's `eval` becomes `formats.read_number`, which computes the sums and
products of plain numbers that it was there for and refuses the rest.

How an answer becomes calls: pythonic text goes through the official decoder
of prompted models, for Java and JavaScript too. Formats of models with native
function calls go through our parser, as each handler of the package parses
its own format.
"""

import contextlib
import importlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tooldev_jax.toolcall import formats

PACKAGE = "bfcl-eval"
LANGUAGES = ("python", "java", "javascript")

_MAX_CHARS = 16 * 1024  # its regular expressions are slow on longer text
_MODEL = "tooldev_jax"  # the checker asks for a model only to escape names


class CheckerMissingError(Exception):
  """The official checker cannot be used here; the message says why."""


class DecodeError(Exception):
  """An answer that the official decoder does not read."""


class Checker:
  """The official decoder and checker.

  Attributes:
    version: of the package.
  """

  def __init__(self) -> None:
    """Loads the package.

    Raises:
      CheckerMissingError: it, or something it needs, is not installed.
    """
    try:
      self.version = importlib.metadata.version(PACKAGE)
      with _without_model_handlers():
        checker = importlib.import_module(
          "bfcl_eval.eval_checker.ast_eval.ast_checker"
        )
        decoder = importlib.import_module("bfcl_eval.model_handler.utils")
        enums = importlib.import_module("bfcl_eval.constants.enums")
        tests = importlib.import_module("bfcl_eval.utils")
    except ImportError as e:
      raise CheckerMissingError(
        f"the package {PACKAGE} cannot be imported ({e}); requirements-"
        "parity.txt says how to install it"
      ) from e
    decoder.eval = formats.read_number  # type: ignore[attr-defined]
    # Already imported by someone else, it knows the package's models only.
    checker.MODEL_CONFIG_MAPPING = _AnyModel()  # type: ignore[attr-defined]
    self._check: Callable[..., Mapping[str, Any]] = checker.ast_checker
    self._decode: Callable[..., Any] = decoder.default_decode_ast_prompting
    self._language: Callable[[str], Any] = enums.Language
    self._return_format: Callable[[str], Any] = enums.ReturnFormat
    self._well_formed: Callable[[Any], bool] = (
      tests.is_function_calling_format_output
    )
    self._is_empty: Callable[[Any], bool] = tests.is_empty_output

  def decode(
    self,
    text: str,
    call_format: str,
    language: str,
    functions: Sequence[Mapping[str, Any]],
  ) -> Any:
    """The calls of an answer as the checker wants them: `[{name: {…}}, …]`.

    Args:
      text: the answer.
      call_format: name of the format it should be in.
      language: one of `LANGUAGES`.
      functions: documents of those offered, which our parser goes by; the
        official decoder does not.

    Raises:
      DecodeError: it cannot be read.
    """
    if call_format != "pythonic":
      try:
        names = [str(function["name"]) for function in functions]
        calls = formats.get_format(call_format).parse(text, names).calls
      except formats.ParseError as e:
        raise DecodeError(str(e)) from e
      return [{call.name: dict(call.arguments)} for call in calls]
    if len(text) > _MAX_CHARS:
      raise DecodeError(f"{len(text)} characters, at most {_MAX_CHARS}")
    try:
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in the answer's strings
        return self._decode(text, self._return_format(language))
    except Exception as e:  # The decoder raises whatever it stumbles upon.
      raise DecodeError(f"{type(e).__name__}: {e}") from e

  def makes_call(
    self, text: str, call_format: str, functions: Sequence[Mapping[str, Any]]
  ) -> bool:
    """Whether an answer holds a call, as (ir)relevance is scored."""
    try:
      decoded = self.decode(text, call_format, "python", functions)
      return not self._is_empty(decoded)
    except DecodeError:
      return False

  def error(
    self,
    text: str,
    call_format: str,
    language: str,
    category: str,
    functions: Sequence[Mapping[str, Any]],
    answers: Sequence[Mapping[str, Any]],
  ) -> str:
    """The official verdict on an answer that should hold calls.

    Args:
      text: the answer.
      call_format: name of the format it should be in.
      language: of the category, one of `LANGUAGES`.
      category: BFCL's name for it.
      functions: function documents, as BFCL's file has them.
      answers: BFCL's possible answers.

    Returns:
      "" if it is right, else the official error type.
    """
    try:
      decoded = self.decode(text, call_format, language, functions)
    except DecodeError:
      return "ast_decoder:decoder_failed"
    if not self._well_formed(decoded):
      return "ast_decoder:decoder_wrong_output_format"
    try:
      verdict = self._check(
        list(functions),  # It tells lists from single documents by type.
        decoded,
        list(answers),
        self._language(language),
        category,
        _MODEL,
      )
    except Exception as e:  # Odd values trip it; the package would stop here.
      return f"ast_checker:raised_{type(e).__name__}"
    return "" if verdict["valid"] else str(verdict["error_type"])


class _PlainModel:
  """The one thing the checker asks of a model: dots in names are kept."""

  underscore_to_dot = False


class _AnyModel(dict):
  def __missing__(self, name: str) -> type[_PlainModel]:
    return _PlainModel


@contextlib.contextmanager
def _without_model_handlers() -> Iterator[None]:
  """Imports inside see a table of models that needs no model handler.

  The package also makes folders for its results where it is installed when it
  is imported; they go to a temporary place that is removed.
  """
  name, variable = "bfcl_eval.constants.model_config", "BFCL_PROJECT_ROOT"
  stand_in = types.ModuleType(name)
  stand_in.MODEL_CONFIG_MAPPING = _AnyModel()  # type: ignore[attr-defined]
  imported, root = sys.modules.get(name), os.environ.get(variable)
  scratch = tempfile.mkdtemp()
  sys.modules[name] = stand_in
  os.environ[variable] = scratch
  try:
    yield
  finally:
    shutil.rmtree(scratch, ignore_errors=True)
    del sys.modules[name], os.environ[variable]
    if imported is not None:
      sys.modules[name] = imported
    if root is not None:
      os.environ[variable] = root
