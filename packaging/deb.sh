#!/usr/bin/env bash
# deb.sh BINARY VERSION DIR writes a Debian package of the built program to DIR and prints its path. A version that is
# no number with a dot, such as that of a commit without a tag, counts as older than any release.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
binary=$1 version=${2#v} out=$3
case $version in [0-9]*.*) ;; *) version=0~$version ;; esac
version=${version//-/+}
arch=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
doc=$stage/usr/share/doc/imagecustomizer
install -D -m 755 "$binary" "$stage/usr/bin/imagecustomizer"
install -D -m 644 "$here/../LICENSE" "$doc/copyright"
install -D -m 644 -t "$doc" "$here/../README.md" "$here/../docs/cli.md" "$here/../docs/configuration.md"
install -D -m 644 "$here/../schema.json" "$stage/usr/share/imagecustomizer/schema.json"
gzip -9n <"$here/../CHANGELOG.md" >"$doc/changelog.gz"
install -d "$stage/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" "$here/control" >"$stage/DEBIAN/control"
mkdir -p "$out"
package=$out/imagecustomizer_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz -b "$stage" "$package" >/dev/null
echo "$package"
