#!/usr/bin/env bash
# fetch.sh DIR downloads Debian 12 packages from the host's own sources: into DIR/base what base.list
# names and depends on, into DIR/extra what extra.list adds to that.
set -euo pipefail
here=$(dirname "$(realpath "$0")") dir=$1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# sources prints Debian 12's lines for sources.list as the host's apt knows them.
sources() {
  if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "deb [signed-by=$keyring] $DEBIAN_MIRROR bookworm main"; return; fi
  apt-get indextargets --format "deb [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) main" \
    'Created-By: Packages' 'Origin: Debian' | grep -E ' bookworm(-updates|-security)? ' | sort -u
}

# apt COMMAND... is apt-get with a state of its own, in which no package is installed.
apt() {
  apt-get -q -o Dir::State="$dir/state" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
    -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferencesparts=/dev/null -o APT::Architecture=amd64 -o APT::Architectures::=amd64 \
    -o APT::Sandbox::User=root "$@" >&2
}

download() { apt install --download-only --yes --no-install-recommends "$@"; }

mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,base,extra}
: >"$dir/status"
sources >"$dir/sources.list" || { echo "fetch.sh: apt knows no Debian 12 here; set DEBIAN_MIRROR" >&2; exit 1; }
apt update
download $(<"$here/base.list")
ln "$dir"/cache/archives/*.deb "$dir/base"
download $(<"$here/base.list") $(<"$here/extra.list")
for deb in "$dir"/cache/archives/*.deb; do
  [ -e "$dir/base/${deb##*/}" ] || mv "$deb" "$dir/extra"
done
rm -r "$dir"/{state,cache,status,sources.list}
