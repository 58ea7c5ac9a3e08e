#!/usr/bin/env bash
# Runs tests in .venv, which it makes. usage: launch/test.sh [PART] [pytest flags]
#   (none)   everything but parity: no torch needed
#   parity   against torch, transformers' models, peft, bfcl-eval and libtpu
#   lint     formatter, linter, type check
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh
# Runs are for accelerators; tests are for any machine.
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}" HF_HUB_OFFLINE=1
part=${1:-}
case "$part" in
  parity)
    shift
    # Its own environment: with libtpu installed, JAX looks for TPUs.
    VENV=.venv-parity
    environment requirements.txt requirements-parity.txt requirements-bfcl.txt \
      requirements-tpu.txt
    exec .venv-parity/bin/python -m pytest tests/parity "$@"
    ;;
  lint)
    environment requirements.txt requirements-dev.txt
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    exec .venv/bin/mypy tooldev_jax launch configs
    ;;
  *)
    environment requirements.txt
    exec .venv/bin/python -m pytest tests --ignore=tests/parity \
      --ignore=tests/benchmarks "$@"
    ;;
esac
