# Sourced by local.sh and tests/run.sh: make_environment leaves a .venv that holds
# exactly what requirements.lock says, and returns at once when it does already.

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3 python}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "Error: no Python 3.10, 3.11 or 3.12 found (one of these is needed);" \
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
  if is_installed "$1" || ! command -v flock >/dev/null; then
    install_environment "$1"
    return
  fi
  (
    if ! flock --nonblock 8; then
      echo "Another process installs into $1/.venv: waiting for it." >&2
      flock 8
    fi
    install_environment "$1"
  ) 8>"$1/.venv.lock"
}

is_installed() {
  [ "$(cat "$1/.venv/installed" 2>/dev/null)" = "$(cksum <"$1/requirements.lock")" ]
}

install_environment() {
  local root=$1 environment=$1/.venv python lock
  lock=$(cksum <"$root/requirements.lock")
  if is_installed "$root"; then
    return
  fi
  # An interrupted installation starts again: venv completes a folder that is there.
  if [ ! -e "$environment/installed" ]; then
    python=$(find_python) || return 1
    if ! "$python" -m venv "$environment" >/dev/null 2>&1; then
      echo "Error: $python cannot make a virtual environment;" \
        "install its venv module (on Debian: apt install python3-venv)" >&2
      return 1
    fi
  fi
  echo "Installing requirements.lock into $environment ..." >&2
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
    --require-hashes --requirement "$root/requirements.lock" ||
    "$python" -m pip install --quiet --disable-pip-version-check \
      --require-hashes --requirement "$root/requirements.lock" ||
    { pip_failed; return 1; }
  echo "$lock" >"$environment/installed"
}
