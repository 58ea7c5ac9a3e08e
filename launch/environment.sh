# Sourced by the other scripts: makes $VENV and installs requirements files.
# usage: environment FILE...

VENV=${VENV:-.venv}

python_311() {
  local name
  for name in python3.13 python3.12 python3.11 python3; do
    if command -v "$name" >/dev/null && "$name" -c \
      'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "error: Python 3.11 or newer is needed, and none was found" >&2
  return 2
}

environment() {
  local stamp
  if [ ! -x "$VENV/bin/python" ]; then
    local python
    python=$(python_311) || exit 2
    "$python" -m venv "$VENV" || {
      echo "error: $python cannot make $VENV (on Debian: python3-venv)" >&2
      exit 2
    }
  fi
  stamp="$VENV/installed-$(cat "$@" | sha256sum | cut -c1-16)"
  if [ ! -e "$stamp" ]; then
    echo "Installing $*"
    local file
    for file in "$@"; do
      case "$file" in
        requirements-bfcl.txt | requirements-launch.txt)
          "$VENV/bin/pip" install -q --no-deps -r "$file"
          ;;
        *) "$VENV/bin/pip" install -q -r "$file" ;;
      esac || {
        echo "error: pip could not install $file" >&2
        exit 2
      }
    done
    touch "$stamp"
  fi
}
