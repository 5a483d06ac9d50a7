# Sourced by local.sh and tests/run.sh: make_environment leaves a .venv that holds
# exactly what requirements.lock says, and returns at once when it does already. Another
# folder and other locks are given by the names behind the project's:
#   make_environment ROOT [FOLDER LOCK...]

find_python() {
  local lowest=${1:-10} candidate
  for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3 python}; do
    if "$candidate" -c \
      "import sys; sys.exit(not (3, $lowest) <= sys.version_info < (3, 13))" \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  local names="3.10, 3.11 or 3.12"
  [ "$lowest" = 10 ] || names="3.11 or 3.12"
  echo "Error: no Python $names found (one of these is needed);" \
    "install one, or name it: PYTHON=/path/to/python3.11" >&2
  return 1
}

# The lines of requirements.lock that pin uv, for pip to check.
uv_requirement() {
  awk '/^uv==/ { found = 1 } found { print } found && !/\\$/ { exit }' \
    "$1/requirements.lock"
}

# `uv pip ...` with the indexes, certificates and proxies that pip uses. A failure is
# one line, because pip itself is tried next, and prints more if it fails as well.
#   uv_from_where_pip_does ROOT PYTHON WORDS...
uv_from_where_pip_does() (
  root=$1 python=$2
  shift 2
  UV_OPTIONS=
  # A subshell, and never set -x: what is evaluated holds passwords.
  eval "$("$python" "$root/launch/mirror.py" | grep -E '^export [A-Z_]+=')"
  code=0
  said=$(uv pip "$@" $UV_OPTIONS 2>&1) || code=$?
  said=$(printf '%s' "$said" | sed 's#://[^/@ ]*@#://***@#g')
  if [ "$code" = 0 ]; then
    [ -z "$said" ] || printf '%s\n' "$said" >&2
    return
  fi
  said=$(printf '%s' "$said" | tr '\n' ' ')
  echo "uv could not install (${said:0:300}); trying pip ..." >&2
  return 1
)

# One line behind pip's own, which name no index.
pip_failed() {
  echo "Error: pip could not install what the line above names; it looks where" \
    "\`pip config list\` and PIP_... in the environment say" >&2
}

# One of several processes installs; the others wait for it, and find everything there.
make_environment() {
  local root=$1 folder=${2:-.venv}
  shift $(($# < 2 ? $# : 2))
  [ $# -gt 0 ] || set -- requirements.lock
  if is_installed "$root" "$folder" "$@" || ! command -v flock >/dev/null; then
    install_environment "$root" "$folder" "$@"
    return
  fi
  (
    if ! flock --nonblock 8; then
      echo "Another process installs into $root/$folder: waiting for it." >&2
      flock 8
    fi
    install_environment "$root" "$folder" "$@"
  ) 8>"$root/$folder.lock"
}

# What the marker of a complete environment holds: ROOT LOCK...
checksum() (
  cd "$1" >/dev/null
  shift
  cat "$@" | cksum
)

is_installed() {
  local root=$1 folder=$2
  shift 2
  [ "$(cat "$root/$folder/installed" 2>/dev/null)" = "$(checksum "$root" "$@")" ]
}

install_environment() {
  local root=$1 folder=$2 environment=$1/$2 python lowest=10 lock locks=()
  shift 2
  if is_installed "$root" "$folder" "$@"; then
    return
  fi
  [ "$1" = requirements.lock ] || lowest=11
  # An interrupted installation starts again: venv completes a folder that is there.
  if [ ! -e "$environment/installed" ]; then
    python=$(find_python "$lowest") || return 1
    if ! "$python" -m venv "$environment" >/dev/null 2>&1; then
      echo "Error: $python cannot make a virtual environment;" \
        "install its venv module (on Debian: apt install python3-venv)" >&2
      return 1
    fi
  fi
  for lock; do
    locks+=(--requirement "$root/$lock")
  done
  echo "Installing $* into $environment ..." >&2
  python=$environment/bin/python
  if ! command -v uv >/dev/null && [ ! -x "$environment/bin/uv" ]; then
    uv_requirement "$root" >"$environment/uv.txt"
    "$python" -m pip install --quiet --disable-pip-version-check \
      --require-hashes --requirement "$environment/uv.txt" || { pip_failed; return 1; }
  fi
  # Compiled now: where Python may write no bytecode (PYTHONDONTWRITEBYTECODE, a folder
  # of another user) each start would compile TensorFlow again, for 12 s instead of 4.
  PATH=$PATH:$environment/bin uv_from_where_pip_does "$root" "$python" \
    install --quiet --compile-bytecode --python "$python" \
    --require-hashes "${locks[@]}" ||
    "$python" -m pip install --quiet --disable-pip-version-check \
      --require-hashes "${locks[@]}" ||
    { pip_failed; return 1; }
  checksum "$root" "$@" >"$environment/installed"
}
