#!/usr/bin/env bash
# All tests, ring by ring, cheapest first: unit and real tools on plain files, root, boot.
# A program that is missing fails the tests; nothing is skipped. FULL=1 runs whole matrices.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
[ "$(id -u)" = 0 ] || { echo "make test needs root (loop devices, chroot): sudo make test" >&2; exit 4; }

say() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }

say "formatting and vet"
unformatted=$(gofmt -l cmd internal packaging test)
[ -z "$unformatted" ] || { echo "not gofmt'ed: $unformatted" >&2; exit 1; }
$GO vet ./...
$GO vet -tags root,boot ./...

say "base images"
test/base/rpm.sh azl3 >/dev/null & # downloads while the other compresses
test/base/debian.sh debian12-efi >/dev/null
test/base/debian.sh debian13-efi >/dev/null
wait $!
test/base/rpm.sh mariner2 >/dev/null
if [ -n "${FULL:-}" ]; then # root tests see no loop device of the host to build one with
  test/base/dnf5.sh >/dev/null
  for v in 12-bios 12-mbr 12-4k 12-xfs 12-btrfs 12-parts 13-cloud 13-live 13-sdboot 13-uki 11-efi sid-efi; do
    test/base/debian.sh "debian$v" >/dev/null
  done
fi

say "unit tests, and real tools on plain files"
$GO test ./...

say "root tests: loop devices, chroot, package managers"
$GO test -tags root -p 2 -timeout 40m ./...

say "boot tests in QEMU"
$GO test -tags boot -p 1 -timeout 40m ./internal/vm/... ./test/...

say "all tests passed"
