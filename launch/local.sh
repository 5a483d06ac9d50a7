#!/usr/bin/env bash
# Train ResNet20 with SAM on the bundled digits, on this machine, in minutes.
# Arguments are added: bash launch/local.sh --config.sam.rho=0 --workdir=runs/plain
# With --study first: SAM and its baseline there, with 40 % wrong labels and five seeds,
# ten runs in all; the folder is studies/digits_noise unless --output names another.
# With --runtime=pjrt first JAX executes the steps, in an environment of its own
# (docs/pjrt.md); pjrt-tpu and pjrt-cuda add what drives a TPU or NVIDIA GPUs. --study
# may follow it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"
environment=.venv
runtime=()
case "${1:-}" in
--runtime=pjrt | --runtime=pjrt-tpu | --runtime=pjrt-cuda)
  locks=(requirements-pjrt.lock)
  [ "$1" != --runtime=pjrt-tpu ] || locks+=(sam_pod/pjrt/libtpu.lock)
  [ "$1" != --runtime=pjrt-cuda ] || locks+=(sam_pod/pjrt/cuda.lock)
  environment=.venv-pjrt
  runtime=(--config.runtime.strategy=pjrt)
  shift
  make_environment "$root" "$environment" "${locks[@]}"
  ;;
--runtime*)
  echo "Error: $1 is no runtime: --runtime=pjrt, pjrt-tpu or pjrt-cuda" >&2
  exit 1
  ;;
*) make_environment "$root" ;;
esac
# Paths in the arguments, and the new folders runs/ and data/, are the caller's.
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# The caller's folder is the last place to look for modules (Python 3.11 and newer).
export PYTHONSAFEPATH=1
if [ "${1:-}" = --study ]; then
  shift
  cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
  exec "$root/$environment/bin/python" -m sam_pod.study \
    --study="$root/configs/studies/digits_noise.py" --output=studies/digits_noise \
    --jobs=$((cores < 10 ? cores : 10)) ${runtime[@]+"${runtime[@]}"} "$@"
fi
exec "$root/$environment/bin/python" -m sam_pod.main \
  --config="$root/configs/resnet20.py:digits" ${runtime[@]+"${runtime[@]}"} "$@"
