#!/usr/bin/env bash
# Check everything: ruff, then pytest on all cores. --slow adds the tests that take
# minutes; other arguments go to pytest: bash tests/run.sh tests/sam_test.py -k quadratic
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"
make_environment "$root"

# The TPU compiler, which requirements.lock leaves out. Without it some tests skip.
install_libtpu() {
  local lock=sam_pod/preflight/libtpu.lock python=.venv/bin/python
  if ! "$python" -c 'import libtpu' 2>/dev/null; then
    echo "Installing $lock into .venv ..." >&2
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
      --require-hashes --requirement "$lock" ||
      echo "libtpu could not be installed; the tests that need it skip" >&2
  fi
}
cd "$root"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
case " $* " in
*" --slow "*) install_libtpu ;;
esac
case "$*" in
"" | --slow) set -- --numprocesses=logical --maxprocesses=4 --dist=loadfile "$@" ;;
esac
exec .venv/bin/python -m pytest "$@"
