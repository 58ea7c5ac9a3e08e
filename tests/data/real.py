"""Where the real data lies, for tests that try it out."""

import os
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(
  os.environ.get("TOOLDEV_DATA", _ROOT.parent / "shared" / "data")
)
needs_data = pytest.mark.skipif(
  not DATA.is_dir(), reason=f"no real data in {DATA}; set TOOLDEV_DATA"
)
