#!/usr/bin/env bash
# Writes requirements/*.lock from the ranges in pyproject.toml: cpu and cuda have everything, client,
# coordinator and node what a release ships, build what builds it. Run by `make lock`.
# TORCH_FIND_LINKS names a folder or page that has PyTorch's CPU wheel (it is not on PyPI); without
# it, PyTorch's own index is asked. LOCK_ARGS=--upgrade takes the newest versions.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

lock() { # lock NAME OPTIONS: what of which file, under which constraints
  local name=$1
  shift
  "$uv" pip compile --generate-hashes --only-binary :all: --python-version 3.11 \
    --python-platform x86_64-manylinux_2_28 --no-annotate --quiet \
    --custom-compile-command "make lock" ${LOCK_ARGS:-} \
    --output-file "requirements/$name.lock" "$@"
  echo "requirements/$name.lock: $(grep -c '^[a-z]' "requirements/$name.lock") distributions"
}

everything=(pyproject.toml --all-extras)
if [[ -n ${TORCH_FIND_LINKS:-} ]]; then
  torch=(--find-links "$TORCH_FIND_LINKS")
else
  torch=(--torch-backend cpu)
fi
lock cpu "${everything[@]}" --constraint requirements/cpu.in "${torch[@]}"
lock cuda "${everything[@]}" --constraint requirements/cuda.in
# The images and the wheel have the very versions that were tested.
ship() { # ship NAME EXTRAS
  lock "$1" pyproject.toml --constraint requirements/cuda.lock "${@:2}"
}
ship client
ship coordinator --extra head --extra postgres
# PyAV is built from source there: its hashes are those of the sdist, too.
ship node --extra head --extra node --extra postgres --no-binary av
lock build requirements/build.in --constraint requirements/cuda.lock
