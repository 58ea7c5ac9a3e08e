"""What an import refused, as tests compare it."""


def refused(imported):
  """(place, reason) of each refusal."""
  return [(one.where, str(one.reason)) for one in imported.refused]
