#!/usr/bin/env bash
# Train ResNet20 with SAM on the bundled digits, on this machine, in minutes.
# Arguments are added: bash launch/local.sh --config.sam.rho=0 --workdir=runs/plain
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"
make_environment "$root"
# Paths in the arguments, and the new folders runs/ and data/, are the caller's.
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# The caller's folder is the last place to look for modules (Python 3.11 and newer).
export PYTHONSAFEPATH=1
exec "$root/.venv/bin/python" -m sam_pod.main \
  --config="$root/configs/resnet20.py:digits" "$@"
