"""Settings of all tests."""

import os

import hypothesis

# In CI the same examples every time: a change must not fail by the draw of
# another. At a desk every run draws new ones and may find something.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
  hypothesis.settings.load_profile("ci")
