#!/usr/bin/env bash
# Make the environment of `runtime.strategy` 'pjrt', and run its tests there, on all cores,
# or those that are named; arguments go to pytest. `tests/run.sh --slow` runs it without
# its own --slow, which adds several processes and the TPU compiler.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"
locks=(requirements-pjrt.lock)
case " $* " in
*" --slow "*) locks+=(sam_pod/pjrt/libtpu.lock) ;; # Preflight's tests compile for TPUs.
esac
make_environment "$root" .venv-pjrt "${locks[@]}"
cd "$root"
named=
for argument; do
  [ ! -e "${argument%%::*}" ] || named=yes
done
if [ ! "$named" ]; then
  # The private names of lowering as well, which are elsewhere in this JAX.
  set -- tests/pjrt tests/lowering/private_test.py "$@" \
    --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
fi
exec .venv-pjrt/bin/python -m pytest "$@"
