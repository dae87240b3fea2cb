//go:build root

package probe

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/test/rootns"
)

func TestMain(m *testing.M) {
	if status, ok := sandbox.Main(nil); ok { // a program that a test runs in an image
		os.Exit(status)
	}
	os.Exit(rootns.Main(m.Run))
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func debian(t *testing.T) string { return mounted(t, "debian12-efi") }

// over opens the system at lower as an image of its own, with these files in it besides.
func over(t *testing.T, lower, cache string, files map[string]string) *machine.Machine {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"space", "root"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	space := filepath.Join(dir, "space")
	must(t, unix.Mount("space", space, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { must(t, unix.Unmount(space, 0)) })
	for _, d := range []string{"upper", "work", "scratch"} {
		must(t, os.Mkdir(filepath.Join(space, d), 0o755))
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, space, space)
	must(t, unix.Mount("overlay", filepath.Join(dir, "root"), "overlay", 0, options))
	t.Cleanup(func() { must(t, unix.Unmount(filepath.Join(dir, "root"), 0)) })
	root, err := rootfs.New(filepath.Join(dir, "root"))
	must(t, err)
	t.Cleanup(func() { root.Close() })
	for name, text := range files {
		must(t, root.MkdirAll(filepath.Dir(name), 0o755), root.Remove(name), root.WriteFile(name, []byte(text), 0o755))
	}
	in, err := sandbox.EnterImage(root, nil, nil)
	must(t, err)
	t.Cleanup(func() { must(t, in.Leave()) })
	facts, err := machine.Probe(root, nil, Manager(root))
	must(t, err)
	return &machine.Machine{
		Root: root, Facts: facts, Cache: cache, Image: in, Log: slog.Default(),
		Scratch: func() (string, error) { return filepath.Join(space, "scratch"), nil },
	}
}

// pkg is a Debian package to be made.
type pkg struct {
	control string // besides what every package has; begins with its name
	files   map[string]string
	scripts map[string]string
}

// build returns the file of a package and its description.
func (p pkg) build() (deb []byte, control string) {
	control = "Package: " + p.control
	for _, line := range []string{"Version: 1.0", "Architecture: all", "Maintainer: t <t@example.invalid>", "Description: fixture", "Installed-Size: 1"} {
		if key, _, _ := strings.Cut(line, " "); !strings.Contains(control, "\n"+key) {
			control += "\n" + line
		}
	}
	control += "\n"
	members := map[string]string{"control": control}
	for name, text := range p.scripts {
		members[name] = "#!/bin/sh\n" + text + "\n"
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", tarball(members)}, {"data.tar.gz", tarball(p.all())}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.data))
		b.Write(m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes(), control
}

// all are the files of a package: one by its name, and those that it says.
func (p pkg) all() map[string]string {
	name, _, _ := strings.Cut(p.control, "\n")
	all := map[string]string{"usr/share/" + name: "of " + name}
	maps.Copy(all, p.files)
	return all
}

func tarball(files map[string]string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		_ = w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o755, Size: int64(len(text)), ModTime: time.Unix(1e9, 0)})
		_, _ = w.Write([]byte(text))
	}
	_ = errors.Join(w.Close(), z.Close())
	return b.Bytes()
}

// repository is a Debian archive with one suite, "stable", served over HTTP.
type repository struct {
	*httptest.Server
	lock  sync.Mutex
	files map[string][]byte
	gets  map[string]int // requests answered with content, by path
	at    time.Time
}

func serve(t *testing.T, packages ...pkg) *repository {
	t.Helper()
	r := &repository{at: time.Now().Add(-time.Hour).Truncate(time.Second)}
	r.set(packages...)
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// set makes these the packages of the archive.
func (r *repository) set(packages ...pkg) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.files, r.gets = map[string][]byte{}, map[string]int{}
	var index strings.Builder
	for _, p := range packages {
		deb, control := p.build()
		name, version := field(control, "Package"), field(control, "Version")
		file := fmt.Sprintf("pool/%s_%s_%s.deb", name, version, field(control, "Architecture"))
		r.files["/"+file] = deb
		fmt.Fprintf(&index, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", control, file, len(deb), sha256.Sum256(deb))
	}
	r.at = r.at.Add(time.Minute)
	r.release(index.String())
}

func (r *repository) release(index string) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(index))
	_ = z.Close()
	text := fmt.Sprintf("Origin: test\nSuite: stable\nCodename: stable\nArchitectures: amd64\nComponents: main\nDate: %s\nSHA256:\n", r.at.UTC().Format(time.RFC1123))
	for name, data := range map[string][]byte{"main/binary-amd64/Packages": []byte(index), "main/binary-amd64/Packages.gz": packed.Bytes()} {
		r.files["/dists/stable/"+name] = data
		text += fmt.Sprintf(" %x %d %s\n", sha256.Sum256(data), len(data), name)
	}
	delete(r.files, "/dists/stable/main/binary-amd64/Packages")
	r.files["/dists/stable/InRelease"] = sign(text)
}

func field(control, name string) string {
	_, rest, _ := strings.Cut("\n"+control, "\n"+name+": ")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

func (r *repository) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.lock.Lock()
	data, is := r.files[req.URL.Path]
	at := r.at
	r.lock.Unlock()
	if !is {
		http.NotFound(w, req)
		return
	}
	if req.Header.Get("If-Modified-Since") != at.UTC().Format(http.TimeFormat) {
		r.lock.Lock()
		r.gets[req.URL.Path]++
		r.lock.Unlock()
	}
	http.ServeContent(w, req, "", at, bytes.NewReader(data))
}

// got is how often a file with such a name was sent.
func (r *repository) got(part string) (n int) {
	r.lock.Lock()
	defer r.lock.Unlock()
	for name, times := range r.gets {
		if strings.Contains(name, part) {
			n += times
		}
	}
	return n
}

// source is the line of sources.list for the archive.
func (r *repository) source() string {
	return fmt.Sprintf("deb [signed-by=%s] %s stable main\n", signingKey, r.URL)
}

// signingKey is where test images have the key of test archives.
const signingKey = "/usr/share/keyrings/test.gpg"

var signer = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "gnupg-"); err != nil {
		return "", err
	}
	script := `gpg --batch --quiet --passphrase '' --quick-gen-key test ed25519 sign never && gpg --export test > "$GNUPGHOME/key.gpg"`
	out, err := gnupg(dir, "sh", "-c", script).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return dir, err
})

func gnupg(dir string, words ...string) *exec.Cmd {
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(os.Environ(), "GNUPGHOME="+dir)
	return c
}

func sign(text string) []byte {
	dir, err := signer()
	if err != nil {
		panic(err)
	}
	c := gnupg(dir, "gpg", "--batch", "--quiet", "--clearsign")
	c.Stdin = strings.NewReader(text)
	out, err := c.Output()
	if err != nil {
		panic(err)
	}
	return out
}

// key is the public key of test archives.
func key(t *testing.T) string {
	t.Helper()
	dir, err := signer()
	must(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "key.gpg"))
	must(t, err)
	return string(text)
}

// session runs f in a session with the image's package manager, and returns what that and closing say.
func session(ctx context.Context, m *machine.Machine, o pkgmgr.Options, f func(*pkgmgr.Session) error) error {
	s, err := pkgmgr.Open(ctx, m, Of(m.Facts), o)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close(ctx))
}

func install(ctx context.Context, names ...string) func(*pkgmgr.Session) error {
	return func(s *pkgmgr.Session) error {
		if err := s.Refresh(ctx); err != nil {
			return err
		}
		return s.Install(ctx, names)
	}
}
