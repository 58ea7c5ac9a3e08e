"""What comes in of real tool documents, and what is refused and why.

The documents are not part of this project. Set TOOLDEV_DATA to the folder that
has them; by default it is looked for beside the checkout.
"""

import collections
import os

import pytest
from etils import epath

from tooldev_jax.toolcall.importers import import_tools

FOLDER = (
  epath.Path(
    os.environ.get(
      "TOOLDEV_DATA", epath.Path(__file__).parents[3] / "shared" / "data"
    )
  )
  / "tools"
)

pytestmark = pytest.mark.skipif(
  not FOLDER.exists(), reason=f"no tool documents in {FOLDER}"
)

# file: (tools, refused by reason)
EXPECTED = {
  "mcp_servers.jsonl.gz": (5232, {"bad_record": 6, "duplicate_name": 3}),
  "seal_tools.jsonl.gz": (4076, {}),
  "openapi/slack_web_openapi_v2.json.gz": (174, {}),
  "openapi/twilio_content_v2.json": (2, {}),
  "openapi/twilio_lookups_v2.json": (10, {}),
  "openapi/twilio_messaging_v3.json": (1, {}),
  "openapi/twilio_monitor_v1.json": (4, {}),
  "openapi/twilio_pricing_v2.json": (6, {}),
  "openapi/twilio_studio_v2.json": (19, {}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_comes_in(name):
  imported = import_tools(FOLDER / name)
  reasons = collections.Counter(str(one.reason) for one in imported.refused)
  assert (len(imported.tools), dict(reasons)) == EXPECTED[name]
  assert all(
    one.where.startswith(name.split("/")[-1]) for one in imported.refused
  )
