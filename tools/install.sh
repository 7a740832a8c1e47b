#!/usr/bin/env bash
# Makes .venv from requirements/$LOCK.lock (cpu by default) and installs Heliostat into it, editable.
# Run by `make install`. Does nothing when neither the lock nor pyproject.toml has changed; keeps to
# the lock that was chosen last.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv/heliostat.stamp # the lock's name, and what it was made from
name=${LOCK:-$(cut -d' ' -f1 "$stamp" 2>/dev/null || echo cpu)}
lock=requirements/$name.lock

fail() {
  printf 'make install: %s\n' "$@" >&2
  exit 1
}

find_python() { # prints the first interpreter that will do
  local candidate
  for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.11 or newer found; install one (Debian: apt-get install python3 python3-venv)" \
    "or name it: make install PYTHON=/path/to/python3.11"
}

[[ -f $lock ]] || fail "there is no $lock; LOCK is one of: $(cd requirements && echo *.lock)"
fingerprint="$name $({ pwd && cat "$lock" pyproject.toml tools/install.sh; } | sha256sum)"
if [[ -f $stamp && $(<"$stamp") == "$fingerprint" && -x .venv/bin/python ]]; then
  exit 0
fi

python=$(find_python)
"$python" -c 'import ensurepip, venv' 2>/dev/null \
  || fail "$python has no venv module; install it (Debian: apt-get install python3-venv)"
if [[ $name == cpu ]]; then
  "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
    || fail "the CPU lock holds PyTorch's wheel for Python 3.11, and $python is another version" \
      "install Python 3.11, or take PyPI's build with its CUDA libraries: make install LOCK=cuda"
fi

.venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv
echo "$name unfinished" > "$stamp"
echo "Installing $(grep -c '^[a-z]' "$lock") locked packages into .venv (two minutes or so) ..."
.venv/bin/python -m pip install -qq --no-deps --require-hashes --only-binary :all: -r "$lock" || {
  if [[ $name == cpu ]]; then
    fail "if torch's +cpu wheel was not found: it is in PyTorch's index, not on PyPI;" \
      "CONTRIBUTING.md (The locks) says how to name that index"
  fi
  fail "pip could not install $lock; its message stands above"
}
.venv/bin/python -m pip install -qq --no-deps --no-build-isolation --editable .
.venv/bin/python -m pip check >/dev/null || .venv/bin/python -m pip check
echo "$fingerprint" > "$stamp"
