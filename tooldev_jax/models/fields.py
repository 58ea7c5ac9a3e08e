"""Checks of fields of JSON files that others wrote."""

from typing import Any

from tooldev_jax.errors import UserError


def positive(where: str, field: str, value: Any, whole: bool = False) -> Any:
  """`value`, which must be a number above 0.

  Args:
    where: the file.
    field: what its field is called.
    value: what it holds.
    whole: whether the number must be whole.

  Raises:
    UserError: it is none.
  """
  kinds = int if whole else (int, float)
  # A bool is an int, and NaN is neither above 0 nor below.
  if isinstance(value, bool) or not isinstance(value, kinds) or not value > 0:
    raise UserError(
      f"{where}: {field}={value!r}; a positive "
      f"{'whole ' if whole else ''}number is needed."
    )
  return value
