"""Errors that are the user's to mend."""


class UserError(Exception):
  """A mistake in a config, a file or a flag.

  The message names the file, line or field, what was found and what is
  allowed. Launchers print it without a traceback and exit with status 2, so
  it should be readable on its own.
  """
