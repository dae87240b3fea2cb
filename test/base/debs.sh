#!/usr/bin/env bash
# debs.sh [--base IMAGE] PACKAGE[/SUITE]... prints a folder with the .deb files that these packages need beyond
# what a base image has, debian12-efi if none is named, downloaded once from the image's suite on the mirrors of
# the host's own sources, or from another suite there.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"

# sources SUITE... prints the package sources of the base image's suite, which comes first, as the host's apt
# knows them of Debian 12, and these suites beside it.
sources() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg list suite
  if [ -n "${DEBIAN_MIRROR:-}" ]; then list="deb [signed-by=$keyring] $DEBIAN_MIRROR $1 main"
  else
    list=$(apt-get indextargets --format "deb [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) main" \
      'Created-By: Packages' 'Origin: Debian' | grep -E ' bookworm(-updates|-security)? ' | sort -u) || return
    case $1 in sid | bullseye) list=$(grep ' bookworm ' <<<"$list") ;; esac
    list=${list// bookworm/ $1}
  fi
  echo "$list"
  for suite in "${@:2}"; do sed -n "s/ $1 / $suite /p" <<<"$list"; done
}

# download TAR SUITE PACKAGE... DIR uses an apt state of its own, in which what the image has is installed.
download() {
  local tar=$1 suite=$2 dir=${*: -1} state suites
  state=$(mktemp -d "$cache/.debs-XXXXXX")
  trap "rm -rf '$state'" EXIT
  mkdir -p "$state"/{lists/partial,archives/partial}
  tar -xOf "$tar" ./var/lib/dpkg/status >"$state/status"
  suites=$(printf '%s\n' "${@:3:$#-3}" | sed -n 's|.*/||p' | sort -u)
  sources "$suite" $suites >"$state/sources.list" || die "apt knows no Debian 12 here; set DEBIAN_MIRROR"
  local apt=(apt-get -q -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status"
    -o Dir::Cache="$state" -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Sandbox::User=root)
  "${apt[@]}" update
  "${apt[@]}" install --download-only --yes --no-install-recommends "${@:3:$#-3}"
  rm -r "$state"/archives/{lock,partial}
  mv "$state/archives" "$dir"
}

if [ "${1:-}" = download ]; then shift; download "$@"; exit; fi
image=debian12-efi
if [ "${1:-}" = --base ]; then image=$2; shift 2; fi
case $image in
  debian11-*) suite=bullseye ;; debian12-*) suite=bookworm ;; debian13-*) suite=trixie ;; debiansid-*) suite=sid ;;
  *) die "unknown base image $image" ;;
esac
tar=$("$here/debian.sh" --tar "$image")
hash=$(basename "$tar" .tar | tail -c 13)
cached "debs-$image-$(IFS=-; echo "${*//\//_}")-$hash" folder "$0" -- "$0" download "$tar" "$suite" "$@"
