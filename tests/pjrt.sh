#!/usr/bin/env bash
# Make the environment of `runtime.strategy` 'pjrt', and run its tests there; arguments
# go to pytest. tests/run.sh --slow does the same at its end.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"
make_environment "$root" .venv-pjrt requirements-pjrt.lock
cd "$root"
exec .venv-pjrt/bin/python -m pytest "${@:-tests/pjrt}"
