#!/usr/bin/env bash
# Installs the programs that the tests drive and pip cannot bring: ffprobe, a browser, promtool,
# Alertmanager, PostgreSQL, Redis, what networks are made of, systemd, logrotate, and npm, which
# brings buf.
# Run by `make test`. Needs root or a sudo without password; else it says what to run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

declare -A package_of=(
  [ffprobe]=ffmpeg [chromium]=chromium [promtool]=prometheus
  [prometheus-alertmanager]=prometheus-alertmanager
  [postgres]=postgresql [redis-server]=redis-server [ip]=iproute2 [nft]=nftables
  [npm]=npm [systemd-analyze]=systemd [logrotate]=logrotate
)
# Each of these has a service of its own name.
service_packages=" prometheus prometheus-alertmanager postgresql redis-server "
# Not all are on everyone's PATH; Debian keeps postgres by version.
PATH="$PATH:/usr/bin:/usr/sbin:$(printf '%s:' /usr/lib/postgresql/*/bin)"
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
install_buf() { # the version that tools/buf/package-lock.json pins, into tools/buf/node_modules
  local buf="$here/buf"
  [[ $buf/node_modules/.package-lock.json -nt $buf/package-lock.json ]] && return
  npm ci --prefix "$buf" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null \
    || echo "npm could not install buf; the .proto files will not be linted" >&2
}
if [[ ${#missing[@]} -eq 0 ]]; then
  install_buf
  exit 0
fi

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

# Only the programs are wanted: a package's service shall neither start now nor at the next boot,
# and PostgreSQL shall make no cluster. What says so holds for this run alone.
written=()
trap '[[ ${#written[@]} -eq 0 ]] || "${as_root[@]}" rm -f "${written[@]}"' EXIT
write_as_root() { # PATH MODE TEXT
  [[ ! -e $1 ]] || return 0
  "${as_root[@]}" mkdir -p "$(dirname "$1")"
  written+=("$1")
  printf '%b' "$3" | "${as_root[@]}" tee "$1" >/dev/null
  "${as_root[@]}" chmod "$2" "$1"
}
write_as_root /usr/sbin/policy-rc.d 755 '#!/bin/sh\nexit 101\n'
write_as_root /etc/postgresql-common/createcluster.d/heliostat.conf 644 \
  'create_main_cluster = false\n'

apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
echo "Installing ${missing[*]} with apt-get ..."
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
for package in "${missing[@]}"; do
  if [[ $service_packages == *" $package "* ]] && command -v systemctl >/dev/null; then
    "${as_root[@]}" systemctl disable --quiet "$package.service" 2>/dev/null || true
  fi
done
install_buf
