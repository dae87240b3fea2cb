#!/usr/bin/env bash
# Installs the packages of test/packages.txt that are missing, on Debian or Ubuntu.
set -euo pipefail
cd "$(dirname "$0")"
mapfile -t missing < <(comm -13 \
	<(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' | sed -n 's/^ii *//p' | sort -u) <(sort -u packages.txt))
[ ${#missing[@]} = 0 ] && exit
[ "$(id -u)" = 0 ] || { echo "missing packages: ${missing[*]}; run: sudo make deps" >&2; exit 4; }
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=600 -qq update
apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends "${missing[@]}"
