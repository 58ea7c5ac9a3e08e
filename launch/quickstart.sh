#!/usr/bin/env bash
# The whole loop on the embedded toy world and the shipped tiny base.
# Makes .venv, installs requirements.txt, runs configs/quickstart.py; the same
# command goes on where it was stopped. Further flags are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh
environment requirements.txt
exec .venv/bin/python -m launch.run --config=configs/quickstart.py \
  --workdir=runs/quickstart "$@"
