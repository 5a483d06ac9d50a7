#!/usr/bin/env bash
# Check everything: ruff, then pytest on all cores. --slow adds the tests that take minutes,
# and those of tests/pjrt.sh; other arguments go to pytest:
#   bash tests/run.sh tests/sam/own_loop_test.py -k quadratic
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/environment.sh"

environment_of_jax() {
  make_environment "$root" .venv-pjrt requirements-pjrt.lock
}
if [ "$*" = --slow ]; then
  # While this one is downloaded; what goes wrong is said when it is needed.
  environment_of_jax >/dev/null 2>&1 &
  trap 'kill "$!" 2>/dev/null || true' EXIT
fi
make_environment "$root"
# Hundreds of processes import the project: each would compile it.
unset PYTHONDONTWRITEBYTECODE

# What requirements.lock leaves out: the TPU compiler, and what reads Parquet and TFDS.
# Without them some tests skip.
install_extra() {
  local module=$1 lock=$2 python=.venv/bin/python
  if ! "$python" -c "import $module" 2>/dev/null; then
    echo "Installing $lock into .venv ..." >&2
    PATH=$PATH:.venv/bin uv_from_where_pip_does "$root" "$python" \
      install --quiet --python "$python" --no-deps --require-hashes \
      --requirement "$lock" ||
      "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --require-hashes --requirement "$lock" ||
      echo "$module could not be installed; the tests that need it skip" >&2
  fi
}
cd "$root"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
case " $* " in
*" --slow "*)
  install_extra libtpu sam_pod/preflight/libtpu.lock
  install_extra pyarrow sam_pod/data/sources/parquet.lock
  install_extra tensorflow_datasets sam_pod/data/sources/tfds.lock
  ;;
esac
# One more than cores, and at most four: replicas in a process wait for each other, and a
# test for the processes that it starts. But more processes take more CPU time for the same
# tests (on two cores four took 1.3 times that of two), and slow ones keep cores busy.
more=1
[ "$*" != --slow ] || more=0
workers=$(.venv/bin/python -c "import os; print(min(4, (os.cpu_count() or 1) + $more))")
case "$*" in
"" | --slow)
  # In the order of tests/conftest.py, not by the number of tests.
  parallel=(--numprocesses="$workers" --dist=loadfile --no-loadscope-reorder)
  ;;
*) exec .venv/bin/python -m pytest "$@" ;;
esac

# In an environment of its own, and not at all where that cannot be made.
steps_by_jax() {
  local left_out="the tests of steps that JAX executes are left out"
  if ! find_python 11 >/dev/null 2>&1; then
    echo "There is no Python 3.11 or 3.12 here: $left_out" >&2
  elif ! environment_of_jax; then
    echo "Without that environment $left_out" >&2
  else
    bash tests/pjrt.sh
  fi
}
code=0
.venv/bin/python -m pytest "${parallel[@]}" "$@" || code=$?
if [ "$*" = --slow ]; then
  wait
  steps_by_jax || code=$?
fi
exit "$code"
