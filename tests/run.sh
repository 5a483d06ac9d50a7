#!/usr/bin/env bash
# Check everything: ruff, then pytest on all cores. --slow adds the tests that take
# minutes; other arguments go to pytest: bash tests/run.sh tests/sam_test.py -k quadratic
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"
make_environment "$root"
cd "$root"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
case "$*" in
"" | --slow) set -- --numprocesses=logical --maxprocesses=4 --dist=loadfile "$@" ;;
esac
exec .venv/bin/python -m pytest "$@"
