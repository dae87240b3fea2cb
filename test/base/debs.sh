#!/usr/bin/env bash
# debs.sh PACKAGE[/SUITE]... prints a folder with the .deb files that these packages need beyond what the
# image debian12-efi has, downloaded once from the host's own sources, or from another suite of its mirror.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"

# sources SUITE... prints Debian 12's package sources as the host's apt knows them, and these suites beside it.
sources() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg list suite
  if [ -n "${DEBIAN_MIRROR:-}" ]; then list="deb [signed-by=$keyring] $DEBIAN_MIRROR bookworm main"
  else
    list=$(apt-get indextargets --format "deb [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) main" \
      'Created-By: Packages' 'Origin: Debian' | grep -E ' bookworm(-updates|-security)? ' | sort -u) || return
  fi
  echo "$list"
  for suite; do sed -n "s/ bookworm / $suite /p" <<<"$list"; done
}

# download TAR PACKAGE... DIR uses an apt state of its own, in which what the image has is installed.
download() {
  local tar=$1 dir=${*: -1} state suites
  state=$(mktemp -d "$cache/.debs-XXXXXX")
  trap "rm -rf '$state'" EXIT
  mkdir -p "$state"/{lists/partial,archives/partial}
  tar -xOf "$tar" ./var/lib/dpkg/status >"$state/status"
  suites=$(printf '%s\n' "${@:2:$#-2}" | sed -n 's|.*/||p' | sort -u)
  sources $suites >"$state/sources.list" || die "apt knows no Debian 12 here; set DEBIAN_MIRROR"
  local apt=(apt-get -q -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status"
    -o Dir::Cache="$state" -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Sandbox::User=root)
  "${apt[@]}" update
  "${apt[@]}" install --download-only --yes --no-install-recommends "${@:2:$#-2}"
  rm -r "$state"/archives/{lock,partial}
  mv "$state/archives" "$dir"
}

if [ "${1:-}" = download ]; then shift; download "$@"; exit; fi
base=$("$here/debian.sh" debian12-efi)
tar=$(ls -t "$cache"/debian12-efi-*.tar | head -n 1)
cached "debs-$(IFS=-; echo "${*//\//_}")-$(basename "$base" .raw | tail -c 13)" folder "$0" -- "$0" download "$tar" "$@"
