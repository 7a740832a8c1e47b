#!/usr/bin/env bash
# Runs all tests that need no GPU, in four parts at once. Arguments pick, as they are pytest's.
# Run by `make test`.
#
#   season  a farm that renders for five minutes and is counted: it mostly waits
#   chaos   farms of which something is killed, one after the other
#   e2e     farms that are used as a user would, one after the other
#   rest    what needs no farm, in a process for each core: it hardly waits
#
# Farms are at work for a third of their time. They go first then, and the rest gets what they leave.
# (Ray gives its workers a lower priority than its own, which would be below that of the rest.)
# Each part has ports of its own. Where memory is short, one part runs after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
farm_folders=(tests/chaos tests/cluster tests/e2e tests/helm tests/services)
memory_wanted_gib=12
memory_gib=$(awk '/^MemAvailable/ {print int($2 / 2 ^ 20)}' /proc/meminfo)
cores=$(nproc)
processes=$((cores > 4 ? 4 : cores))
color=$([[ -t 1 ]] && echo yes || echo no)

# Hundreds of processes import the same modules: let the first one keep what it compiled.
unset PYTHONDONTWRITEBYTECODE
export RAY_worker_niceness=0

picked=() failed=()
ended() { # NAME CODE: pytest ends with 5 where the arguments pick nothing of a part
  case $2 in 0) picked+=("$1") ;; 5) ;; *) failed+=("$1") ;; esac
}

declare -A running=() # by name: the process that ends with pytest's code
trap 'trap "" INT; wait; exit 130' INT # pytest was told as well, and takes its farms down
part() { # NAME PRIORITY PORTS MARKS ARGUMENT...
  local name=$1 priority=$2 ports=$3 marks=$4
  TEST_PORTS=$ports nice -n "$priority" .venv/bin/pytest --color="$color" -m "$marks" \
    -o cache_dir=".pytest_cache/$name" "${@:5}" 2>&1 | sed -u "s/^/$(printf '%-6s' "$name") | /" &
  running[$name]=$!
  [[ $memory_gib -ge $memory_wanted_gib ]] || wait_for "$name"
}
wait_for() { # NAME
  local code=0
  wait "${running[$1]}" || code=$?
  unset "running[$1]"
  ended "$1" "$code"
}

where=("$@")
[[ $# -gt 0 ]] || where=("${farm_folders[@]}")
part season 0 31000-32000 season "${where[@]}"
part chaos 3 30000-31000 'chaos and not season' "${where[@]}"
part e2e 3 29000-30000 'e2e and not chaos and not season' "${where[@]}"
part rest 10 20000-29000 'not (e2e or chaos or season)' -o timeout=900 -n "$processes" --dist worksteal "$@"
for name in "${!running[@]}"; do
  wait_for "$name"
done

if [[ ${#failed[@]} -gt 0 ]]; then
  echo "make test: failed: ${failed[*]}. What failed in one of them, alone:" \
    ".venv/bin/pytest --last-failed -o cache_dir=.pytest_cache/${failed[0]}" >&2
  exit 1
elif [[ ${#picked[@]} -eq 0 ]]; then
  echo "make test: ARGS picks no test" >&2
  exit 5
fi
