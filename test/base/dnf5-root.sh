#!/usr/bin/env bash
# dnf5-root.sh TAR makes a userland with dnf5 and rpm 6 from Debian sid. An index that has expired is read: a
# mirror that stands still has no other.
set -euo pipefail

# mirror prints the address of Debian's packages as the host's apt knows it.
mirror() {
  if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; return; fi
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | sort -u | head -n 1
}

mmdebstrap --quiet --mode=root --format=tar --variant=minbase --include=dnf5,rpm,ca-certificates \
  --aptopt='Acquire::Check-Valid-Until "false"' sid "$1" \
  "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) sid main"
