#!/usr/bin/env bash
# Installs the programs that the tests drive and pip cannot bring: ffprobe, a browser, promtool.
# Run by `make test`. Needs root or a sudo without password; else it says what to run.
set -euo pipefail

declare -A package_of=([ffprobe]=ffmpeg [chromium]=chromium [promtool]=prometheus)
missing=()
for program in "${!package_of[@]}"; do
  PATH="$PATH:/usr/bin" command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  as_root=(sudo -n)
  sudo -n true 2>/dev/null || as_root=()
fi
if ! command -v apt-get >/dev/null || [[ $(id -u) -ne 0 && ${#as_root[@]} -eq 0 ]]; then
  echo "Some tests need programs that are not here, and will be skipped. To install them:" >&2
  echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 0
fi

# Only the programs are wanted: a package's service shall neither start now nor at the next boot.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
echo "Installing ${missing[*]} with apt-get ..."
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
if [[ " ${missing[*]} " == *" prometheus "* ]] && command -v systemctl >/dev/null; then
  "${as_root[@]}" systemctl disable --quiet prometheus.service 2>/dev/null || true
fi
