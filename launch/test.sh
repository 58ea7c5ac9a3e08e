#!/usr/bin/env bash
# Runs tests in .venv, which it makes. usage: launch/test.sh [PART] [pytest flags]
#   (none)   all that needs no torch and no libtpu, but for:
#   faults   training: crashes at every write, real kills
#   parity   against torch, transformers' models, peft and bfcl-eval
#   tpu      compiles for TPU chips that are not attached
#   launch   what is submitted, against the platforms' own descriptions
#   lint     formatter, linter, type check
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh
# Runs are for accelerators; tests are for any machine.
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}" HF_HUB_OFFLINE=1
part=${1:-}
case "$part" in
  faults)
    shift
    environment requirements.txt
    exec .venv/bin/python -m pytest tests/faults "$@"
    ;;
  parity)
    shift
    VENV=.venv-parity
    environment requirements.txt requirements-parity.txt requirements-bfcl.txt
    exec .venv-parity/bin/python -m pytest tests/parity "$@"
    ;;
  tpu)
    shift
    # Its own environment: with libtpu installed, JAX looks for TPUs.
    VENV=.venv-tpu
    environment requirements.txt requirements-tpu.txt
    exec .venv-tpu/bin/python -m pytest tests/tpu "$@"
    ;;
  launch)
    shift
    environment requirements.txt requirements-launch.txt
    exec .venv/bin/python -m pytest -rs tests/launch "$@"
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
      --ignore=tests/tpu --ignore=tests/faults --ignore=tests/benchmarks "$@"
    ;;
esac
