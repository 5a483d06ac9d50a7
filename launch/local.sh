#!/usr/bin/env bash
# Train ResNet20 with SAM on the bundled digits, on this machine, in minutes.
# Arguments are added: bash launch/local.sh --config.sam.rho=0 --workdir=runs/plain
# With --study first: SAM and its baseline there, with 40 % wrong labels and five seeds,
# ten runs in all; the folder is studies/digits_noise unless --output names another.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"
make_environment "$root"
# Paths in the arguments, and the new folders runs/ and data/, are the caller's.
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# The caller's folder is the last place to look for modules (Python 3.11 and newer).
export PYTHONSAFEPATH=1
if [ "${1:-}" = --study ]; then
  shift
  cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
  exec "$root/.venv/bin/python" -m sam_pod.study \
    --study="$root/configs/studies/digits_noise.py" --output=studies/digits_noise \
    --jobs=$((cores < 10 ? cores : 10)) "$@"
fi
exec "$root/.venv/bin/python" -m sam_pod.main \
  --config="$root/configs/resnet20.py:digits" "$@"
