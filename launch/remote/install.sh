#!/usr/bin/env bash
# Runs on every TPU host, in the project's folder: makes a .venv of requirements.lock,
# with tensorflow-tpu in place of TensorFlow, or of what JAX needs to execute the steps.
#   install.sh TENSORFLOW_VERSION [LIBTPU_REQUIREMENT PAGE]
#   install.sh pjrt
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/launch/environment.sh"

# The lock without TensorFlow, and without tensorflow-io: pods do not load its plugins.
other_requirements() {
  awk '/^[^ #]/ { drop = $1 ~ /^tensorflow(-io(-gcs-filesystem)?)?==/ } !drop' \
    "$root/requirements.lock"
}

# The lines of tensorflow-tpu.lock for one version.
tensorflow_requirement() {
  awk -v name="tensorflow-tpu==$1" \
    '/^[^ #]/ { keep = $1 == name } keep' "$root/launch/remote/tensorflow-tpu.lock"
}

# Where a Python has its packages. A new environment has no pip of its own, and the
# images' pip knows no --python.
packages() {
  "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

# Removes what is there, and puts uv on the PATH, by the pip of a Python.
bring_uv() {
  rm -rf "$environment" "$uv"
  uv_requirement "$root" >"$root/uv.txt"
  # Needs no venv module, which the images may lack.
  "$1" -m pip install --quiet --disable-pip-version-check --target "$uv" \
    --require-hashes --requirement "$root/uv.txt" || return 1
  PATH=$uv/bin:$PATH
}

# The environment in which JAX executes the steps.
main_pjrt() {
  local wanted python newer locks=(requirements-pjrt.lock sam_pod/pjrt/libtpu.lock)
  wanted="$(checksum "$root" "${locks[@]}") pjrt"
  if [ "$(cat "$environment/installed" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  python=$(PYTHON="${PYTHON:-python3.10}" find_python) || return 1
  # The images' own is too old for this JAX: uv brings one.
  newer=$(find_python 11 2>/dev/null) || newer=3.12
  bring_uv "$python" || return 1
  uv venv --quiet --python "$newer" "$environment" || return 1
  # The pip that is there would install for the older Python.
  uv_from_where_pip_does "$root" "$python" \
    install --quiet --compile-bytecode --python "$environment/bin/python" \
    --require-hashes --requirement "$root/${locks[0]}" --requirement "$root/${locks[1]}" ||
    { echo "Error: uv could not install ${locks[*]}; the line above says why" >&2 &&
      return 1; }
  echo "$wanted" >"$environment/installed"
}

main() {
  local wanted environment=$root/.venv python uv=$root/.uv
  if [ "$1" = pjrt ]; then
    main_pjrt
    return
  fi
  wanted="$(cat "$root/requirements.lock" "$root"/launch/remote/*.lock | cksum) $*"
  if [ "$(cat "$environment/installed" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  if [ -z "$(tensorflow_requirement "$1")" ]; then
    echo "Error: launch/remote/tensorflow-tpu.lock has no tensorflow-tpu==$1" >&2
    return 1
  fi
  # The images' own; libtpu is looked for under its name.
  python=$(PYTHON="${PYTHON:-python3.10}" find_python) || return 1
  bring_uv "$python" || return 1
  uv venv --quiet --python "$python" "$environment" || return 1
  install() {
    local where
    uv_from_where_pip_does "$root" "$python" \
      install --quiet --compile-bytecode --python "$environment/bin/python" "$@" || {
      where=$(packages "$environment/bin/python") &&
        "$python" -m pip install --quiet --disable-pip-version-check \
          --target "$where" "$@"
    }
  }
  { other_requirements && tensorflow_requirement "$1"; } >"$root/requirements.txt"
  install --no-deps --require-hashes --requirement "$root/requirements.txt" || return 1
  if [ $# -gt 1 ]; then
    install --no-deps --find-links "$3" "$2" || return 1
  fi
  echo "$wanted" >"$environment/installed"
}

main "$@"
