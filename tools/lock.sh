#!/usr/bin/env bash
# Writes requirements/cpu.lock and requirements/cuda.lock from the ranges in pyproject.toml. Run by
# `make lock`. TORCH_FIND_LINKS names a folder or page that has PyTorch's CPU wheel (it is not on
# PyPI); without it, PyTorch's own index is asked. LOCK_ARGS=--upgrade takes the newest versions.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

lock() { # lock NAME [MORE OPTIONS]
  local name=$1
  shift
  "$uv" pip compile pyproject.toml --all-extras --constraint "requirements/$name.in" \
    --generate-hashes --only-binary :all: --python-version 3.11 \
    --python-platform x86_64-manylinux_2_28 --no-annotate --quiet \
    --custom-compile-command "make lock" ${LOCK_ARGS:-} \
    --output-file "requirements/$name.lock" "$@"
  echo "requirements/$name.lock: $(grep -c '^[a-z]' "requirements/$name.lock") distributions"
}

if [[ -n ${TORCH_FIND_LINKS:-} ]]; then
  lock cpu --find-links "$TORCH_FIND_LINKS"
else
  lock cpu --torch-backend cpu
fi
lock cuda
