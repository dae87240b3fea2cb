//go:build root

// Package broken runs the program on images and in situations that are not as expected, each one
// mutation of a good one that passes in the same test, and looks at exit status and message.
package broken

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"imagecustomizer/test/tinydisk"
)

// program builds the program once.
var program = sync.OnceValues(func() (string, error) {
	out := filepath.Join(scratch, "imagecustomizer")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "../../cmd/imagecustomizer")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return out, cmd.Run()
})

// scratch is a folder for what all tests share.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "broken-"); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(status)
}

// place is the folder of one case, with a good image, a config and the flags of a run that works.
type place struct {
	t      *testing.T
	dir    string
	image  string
	config string
	out    string
	args   []string // further flags; the last of a kind wins
	prefix []string // program that starts the program
}

func (p *place) do(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// patch overwrites bytes of the image; a negative offset counts from its end.
func (p *place) patch(at int64, data []byte) {
	p.t.Helper()
	f, err := os.OpenFile(p.image, os.O_RDWR, 0)
	p.do(err)
	defer f.Close()
	if at < 0 {
		fi, err := f.Stat()
		p.do(err)
		at += fi.Size()
	}
	_, err = f.WriteAt(data, at)
	p.do(err)
}

// read returns bytes of the image.
func (p *place) read(at, n int64) []byte {
	p.t.Helper()
	data, err := os.ReadFile(p.image)
	p.do(err)
	if at < 0 {
		at += int64(len(data))
	}
	return data[at : at+n]
}

// cut leaves the first part of the image; a negative size says how much of its end goes.
func (p *place) cut(size int64) {
	p.t.Helper()
	if size < 0 {
		fi, err := os.Stat(p.image)
		p.do(err)
		size += fi.Size()
	}
	p.do(os.Truncate(p.image, size))
}

// files makes the image anew with other files in its root.
func (p *place) files(more tinydisk.Files) {
	p.t.Helper()
	tinydisk.Make(p.t, p.image, tinydisk.System().With(more))
}

// debugfs changes the root filesystem by a command of debugfs(8).
func (p *place) debugfs(command string) {
	p.t.Helper()
	root := filepath.Join(p.dir, "root")
	p.do(os.WriteFile(root, p.read(tinydisk.RootStart, tinydisk.RootSize), 0o600))
	tinydisk.Run(p.t, "", "debugfs", "-w", "-R", command, root)
	data, err := os.ReadFile(root)
	p.do(err)
	p.patch(tinydisk.RootStart, data)
}

// run runs the program and returns its exit status and output.
func (p *place) run() (int, string) {
	p.t.Helper()
	bin, err := program()
	p.do(err)
	args := append(append([]string{}, p.prefix...), "timeout", "-s", "KILL", "60", bin, "customize", "--build-dir", p.dir+"/build",
		"--image-file", p.image, "--config-file", p.config, "--package-cache-dir", p.dir+"/cache")
	if p.out != "" {
		args = append(args, "--output-image-file", p.out, "--output-image-format", "raw")
	}
	cmd := exec.Command(args[0], append(args[1:], p.args...)...)
	text, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(text)
}

const goodConfig = "os:\n  hostname: changed\n  additionalFiles:\n  - {content: \"x\", destination: /boot/efi/added}\n"

var good sync.Map // format -> func() (string, error)

// goodImage returns the path of the good image in a format.
func goodImage(t *testing.T, format string) string {
	t.Helper()
	build, _ := good.LoadOrStore(format, sync.OnceValue(func() string {
		path := filepath.Join(scratch, "good."+format)
		if format == "raw" {
			tinydisk.Make(t, path, tinydisk.System())
			return path
		}
		args := map[string][]string{
			"qcow2": {"-O", "qcow2"}, "vhdx": {"-O", "vhdx", "-o", "block_size=1M"}, "vdi": {"-O", "vdi"},
			"vhd": {"-O", "vpc", "-o", "force_size=on"}, "vhd-fixed": {"-O", "vpc", "-o", "subformat=fixed,force_size=on"},
		}[format]
		tinydisk.Run(t, "", "qemu-img", append(append([]string{"convert", "-f", "raw"}, args...), goodImage(t, "raw"), path)...)
		return path
	}))
	return build.(func() string)()
}

// newPlace prepares a run that works.
func newPlace(t *testing.T, format string) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t: t, dir: dir, image: dir + "/image." + format, config: dir + "/config.yaml", out: dir + "/out.raw"}
	tinydisk.Run(t, "", "cp", "--sparse=always", goodImage(t, format), p.image)
	p.do(os.WriteFile(p.config, []byte(goodConfig), 0o644))
	return p
}

// broken is one case.
type broken struct {
	name   string
	format string // of the good image; empty means raw
	change func(p *place)
	status int
	want   []string // all in the output
	check  func(p *place)
}

// TestGoodImages shows that the images and the run are good which all cases change in one place.
func TestGoodImages(t *testing.T) {
	for _, format := range []string{"raw", "qcow2", "vhdx", "vhd", "vhd-fixed", "vdi"} {
		p := newPlace(t, format)
		status, out := p.run()
		if status != 0 {
			t.Fatalf("%s: status %d\n%s", format, status, out)
		}
		changed(p)
	}
}

// changed checks that the output is what the config asked for.
func changed(p *place) {
	p.t.Helper()
	if got := tinydisk.Read(p.t, p.out, "/etc/hostname"); got != "changed" && got != "changed\n" {
		p.t.Errorf("the output has the host name %q", got)
	}
	tinydisk.Run(p.t, "", "e2fsck", "-fn", p.out+"?offset="+offset)
	if text, err := exec.Command("sgdisk", "-v", p.out).CombinedOutput(); err != nil || !strings.Contains(string(text), "No problems found") {
		p.t.Errorf("sgdisk: %v\n%s", err, text)
	}
}

const offset = "5242880"

func TestBroken(t *testing.T) {
	if len(cases) < 60 {
		t.Errorf("only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			format := c.format
			if format == "" {
				format = "raw"
			}
			p := newPlace(t, format)
			c.change(p)
			before, _ := os.ReadFile(p.image)
			status, out := p.run()
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q is not in the output", w)
				}
			}
			if strings.Contains(out, "panic:") || strings.Contains(out, "goroutine ") {
				t.Error("it panicked")
			}
			if after, _ := os.ReadFile(p.image); !bytes.Equal(before, after) {
				t.Error("the base image was changed")
			}
			if fi, err := os.Stat(p.dir + "/out.raw"); status != 0 && err == nil && fi.Mode().IsRegular() && c.name != "output is the base image, by a link" && c.name != "output is the base image, by a second name" {
				t.Error("an output was left behind")
			}
			if c.check != nil {
				c.check(p)
			}
			if t.Failed() || testing.Verbose() {
				t.Logf("status %d\n%s", status, out)
			}
		})
	}
}
