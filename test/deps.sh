#!/usr/bin/env bash
# Installs the Debian packages of test/packages.txt that are missing, on Debian or Ubuntu.
set -euo pipefail
cd "$(dirname "$0")"
mapfile -t wanted < packages.txt
missing=()
for p in "${wanted[@]}"; do
	dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
done
[ ${#missing[@]} = 0 ] && exit
[ "$(id -u)" = 0 ] || { echo "missing packages: ${missing[*]}; run: sudo make deps" >&2; exit 4; }
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=600 -qq update
apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends "${missing[@]}"
