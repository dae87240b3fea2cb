package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imagecustomizer/internal/hostcmd"
)

// archiveSize is how many packages the archive has: as many as a release of Debian.
const archiveSize = 60000

const archiveName = "apt: three small packages of 60000"

// archive compares installing three small packages from an archive of real size, whose indexes dominate.
// The program has seen the archive once before, as a build machine has; the script, as scripts do, has not.
func (b *bench) archive(ctx context.Context) error {
	if !b.match.MatchString(archiveName) {
		return nil
	}
	raw, err := b.distributionDefaults(ctx, "debian12-efi")
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "archive")
	if err := makeArchive(ctx, dir); err != nil {
		return err
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	source, config, out := filepath.Join(b.dir, "archive.list"), filepath.Join(b.dir, "archive.yaml"), filepath.Join(b.dir, "archive.raw")
	line := fmt.Sprintf("deb [signed-by=%s/key.gpg] %s stable main\n", dir, server.URL)
	names := []string{"small-0", "small-1", "small-2"}
	for file, text := range map[string]string{source: line, config: "os: {packages: {install: [" + strings.Join(names, ", ") + "]}}\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	key, err := os.ReadFile(dir + "/key.gpg")
	if err != nil {
		return err
	}
	more := []string{"--deb-source", source, "--disable-base-image-rpm-repos", "--package-cache-dir", filepath.Join(b.dir, "cache")}
	ours := &side{out: out, command: b.ours(raw, "raw", config, out, more...)}
	script := &side{out: out, command: hostcmd.New("test/bench/reference.sh", raw, "raw", out, archiveScript(server.URL, key, names))}
	start := time.Now()
	if err := ours.command.Run(ctx); err != nil {
		return err
	}
	cold := time.Since(start)
	if err := b.compare(ctx, ours, script); err != nil {
		return err
	}
	x, y := ours.median(), script.median()
	ratio := x.wall.Seconds() / y.wall.Seconds()
	fmt.Printf("%s: first run %.2f s, later runs %.2f s, script %.2f s, ratio %.2f; cpu %.2f and %.2f s; %d MiB of memory\n",
		archiveName, cold.Seconds(), x.wall.Seconds(), y.wall.Seconds(), ratio, x.cpu.Seconds(), y.cpu.Seconds(), x.memory>>20)
	b.want("wall time of the script's", ratio, archiveBudget, "")
	b.want("peak memory of the program", float64(x.memory)/(1<<20), 60, " MiB")
	return nil
}

// archiveBudget is the share of the script's time that a run may take: what apt itself needs to parse the
// index, once, is what remains of it.
const archiveBudget = 0.8

// archiveScript is what a person writes to install packages of an archive, and to leave no trace of it.
func archiveScript(url string, key []byte, names []string) string {
	return fmt.Sprintf(`set -e
cd /etc/apt; mv sources.list /root/sources.list; printf '%s' | base64 -d >/etc/apt/bench.gpg
echo 'deb [signed-by=/etc/apt/bench.gpg] %s stable main' >sources.list
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
apt-get -q update; apt-get -q -y --no-install-recommends install %s; apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /etc/apt/bench.gpg; mv /root/sources.list .`, base64.StdEncoding.EncodeToString(key), url, strings.Join(names, " "))
}

// makeArchive writes a signed archive: three packages that are there, and many that are only described.
func makeArchive(ctx context.Context, dir string) error {
	index := filepath.Join(dir, "dists/stable/main/binary-amd64")
	for _, d := range []string{index, dir + "/pool", dir + "/gnupg"} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	for i := range 3 {
		if err := small(ctx, dir, i, &text); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range archiveSize {
		describe(&text, i, random)
	}
	if err := os.WriteFile(index+"/Packages", text.Bytes(), 0o644); err != nil {
		return err
	}
	script := `cd "$1/dists/stable"; gzip -k main/binary-amd64/Packages; xz -T0 -2 -k main/binary-amd64/Packages
{ printf 'Origin: bench\nSuite: stable\nCodename: stable\nArchitectures: amd64\nComponents: main\nDate: %s\nSHA256:\n' "$(LC_ALL=C date -Ru)"
for f in main/binary-amd64/*; do printf ' %s %s %s\n' $(sha256sum <$f | cut -d' ' -f1) $(stat -c %s $f) $f; done; } >Release
rm main/binary-amd64/Packages # as on real servers
export GNUPGHOME="$1/gnupg"; gpg --batch --quiet --passphrase '' --quick-gen-key bench ed25519 sign never
gpg --export bench >"$1/key.gpg"; gpg --batch --quiet --clearsign -o InRelease Release; gpgconf --kill all`
	return hostcmd.New("bash", "-euc", script, "bash", dir).Run(ctx)
}

// small makes a package that can be installed.
func small(ctx context.Context, dir string, i int, index *bytes.Buffer) error {
	name := fmt.Sprintf("small-%d", i)
	tree, file := filepath.Join(dir, "tree"), fmt.Sprintf("pool/%s_1.0_all.deb", name)
	control := fmt.Sprintf("Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: bench <bench@example.invalid>\nDescription: small\n", name)
	for path, text := range map[string]string{"DEBIAN/control": control, "usr/share/bench/" + name: name} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := hostcmd.New("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, filepath.Join(dir, file)).Run(ctx); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, file))
	fmt.Fprintf(index, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", control, file, len(data), sha256.Sum256(data))
	if err != nil {
		return err
	}
	return os.RemoveAll(tree)
}

// describe writes what an index says of a package, of the size and with the relations that are usual.
func describe(index *bytes.Buffer, i int, random *rand.Rand) {
	var needs []string
	for range random.IntN(12) {
		needs = append(needs, fmt.Sprintf("lib-bench-%d (>= %d.%d)", random.IntN(archiveSize), random.IntN(3), random.IntN(20)))
	}
	name := fmt.Sprintf("lib-bench-%d", i)
	fmt.Fprintf(index, "Package: %s\nSource: bench-%d\nVersion: %d.%d.%d-%d\nInstalled-Size: %d\n", name, i/3, 3+i%5, i%17, i%23, 1+i%4, random.IntN(90000))
	fmt.Fprintf(index, "Maintainer: Team of Benchmark Maintainers <team+bench-%d@tracker.example.invalid>\nArchitecture: amd64\n", i/3)
	if len(needs) > 0 {
		fmt.Fprintf(index, "Depends: %s\n", strings.Join(needs, ", "))
	}
	if i%4 == 0 {
		fmt.Fprintf(index, "Provides: bench-virtual-%d\nSuggests: lib-bench-%d, lib-bench-%d\n", i%900, random.IntN(archiveSize), random.IntN(archiveSize))
	}
	fmt.Fprintf(index, "Description: part %d of a large archive, described in a line of the usual length\nMulti-Arch: same\n", i)
	fmt.Fprintf(index, "Homepage: https://bench.example.invalid/projects/%d\nDescription-md5: %032x\n", i/3, random.Uint64())
	fmt.Fprintf(index, "Tag: devel::library, implemented-in::c, role::shared-lib, works-with::text\nSection: libs\nPriority: optional\n")
	fmt.Fprintf(index, "Filename: pool/main/b/bench-%d/%s_amd64.deb\nSize: %d\nMD5sum: %032x\nSHA256: %064x\n\n", i/3, name, random.IntN(9000000), random.Uint64(), random.Uint64())
}
