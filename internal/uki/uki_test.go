package uki

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/efi"
)

// stubs are those of the host's systemd; a boot loader stands in for a kernel, since it is an EFI program as well.
const (
	stubFile   = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	kernelFile = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
)

func open(t testing.TB, name string) *io.SectionReader {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return section(data)
}

func section(data []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))
}

// parts are those of an image, with two initramfs images of odd sizes.
func parts(t testing.TB) Parts {
	return Parts{
		Stub: open(t, stubFile), Kernel: open(t, kernelFile), OSRelease: []byte("ID=test\nVERSION_ID=1\n"), Version: "6.1.0-test", Cmdline: "root=LABEL=a quiet",
		Initrds: []*io.SectionReader{section([]byte("microcode, 17 byt")), section([]byte("system"))},
		Splash:  append([]byte("BM"), make([]byte, 100)...), DeviceTree: []byte("tree"),
	}
}

func build(t testing.TB, p Parts) []byte {
	t.Helper()
	a, err := Build(p)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, a)
}

func read(t testing.TB, a efi.Assembled) []byte {
	t.Helper()
	data, err := io.ReadAll(a)
	if err != nil || int64(len(data)) != a.Size {
		t.Fatalf("%d of %d bytes: %v", len(data), a.Size, err)
	}
	return data
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// TestBuild has programs of others read what was made: binutils the sections and what is in them, and two signers of EFI
// programs the whole, each verifying what the other signed.
func TestBuild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "u.efi")
	image := build(t, parts(t))
	if !bytes.Equal(image, build(t, parts(t))) {
		t.Error("the same parts gave other bytes")
	}
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	kernel, err := os.ReadFile(kernelFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		".osrel": "ID=test\nVERSION_ID=1\n", ".cmdline": "root=LABEL=a quiet", ".uname": "6.1.0-test", ".dtb": "tree",
		".initrd": "microcode, 17 byt\x00\x00\x00system", ".linux": string(kernel), ".splash": "BM" + strings.Repeat("\x00", 100),
	} {
		out := filepath.Join(dir, "section")
		run(t, "objcopy", "--dump-section", name+"="+out, file, filepath.Join(dir, "copy"))
		got, err := os.ReadFile(out)
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v)", name, got[:min(len(got), 50)], err)
		}
	}
	sbat := run(t, "objdump", "-s", "-j", ".sbat", file)
	for _, want := range []string{"sbat,1,SBAT Ver", "systemd,1,", "uki,1,U"} {
		if !strings.Contains(strings.ReplaceAll(sbat, "\n", ""), want[:6]) {
			t.Errorf("%q is not in %s", want, sbat)
		}
	}
	signAndVerify(t, file)
}

func signAndVerify(t *testing.T, file string) {
	t.Helper()
	key, cert := file+".key", file+".pem"
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "30", "-keyout", key, "-out", cert)
	run(t, "sbsign", "--key", key, "--cert", cert, "--output", file+".sb", file)
	run(t, "osslsigncode", "sign", "-certs", cert, "-key", key, "-in", file, "-out", file+".oss")
	for _, signed := range []string{file + ".sb", file + ".oss"} {
		if out := run(t, "sbverify", "--cert", cert, signed); !strings.Contains(out, "Signature verification OK") {
			t.Errorf("sbverify: %s", out)
		}
		if out := run(t, "osslsigncode", "verify", "-CAfile", cert, signed); !strings.Contains(out, "Number of verified signatures: 1") {
			t.Errorf("osslsigncode: %s", out)
		}
		i, err := Read(open(t, signed))
		if err != nil || !i.Signed() {
			t.Errorf("%s: %v", signed, err)
		}
	}
}

// TestEmptyCommandLine: without the section the arguments of a boot loader are obeyed, even under Secure Boot, and stubs
// hang at one with null bytes alone.
func TestEmptyCommandLine(t *testing.T) {
	t.Parallel()
	p := parts(t)
	p.Cmdline = ""
	i, err := Read(section(build(t, p)))
	if err != nil || !i.Has(".cmdline") || i.Text(".cmdline") != " " {
		t.Errorf("%q %v", i.Text(".cmdline"), err)
	}
}

// TestCmdlineIsChanged gives an image other arguments, longer ones and shorter ones, and a signed one, and compares all
// else.
func TestCmdlineIsChanged(t *testing.T) {
	t.Parallel()
	image := build(t, parts(t))
	before, err := Read(section(image))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"", "a", strings.Repeat("argument=value ", 1000)} {
		changed, err := before.WithCmdline(func(profile, old string) string {
			if profile != "" || old != "root=LABEL=a quiet" {
				t.Errorf("the arguments of %q were %q", profile, old)
			}
			return args
		})
		if err != nil {
			t.Fatal(err)
		}
		after, err := Read(section(read(t, changed)))
		if err != nil || strings.TrimSpace(after.Text(".cmdline")) != strings.TrimSpace(args) {
			t.Fatalf("%q: %v", after.Text(".cmdline"), err)
		}
		if len(after.Sections) != len(before.Sections) {
			t.Fatalf("%d sections", len(after.Sections))
		}
		for k, s := range before.Sections {
			got := after.Sections[k]
			if a, b := content(before.Base, s), content(after.Base, got); s.Name != ".cmdline" && (s.Name != got.Name || !bytes.Equal(a, b) || s.Flags != got.Flags) {
				t.Errorf("%s is %s with %d bytes of %d", s.Name, got.Name, len(b), len(a))
			}
		}
	}
}

// TestWithoutCmdline adds the section to images of others, which may have none.
func TestWithoutCmdline(t *testing.T) {
	t.Parallel()
	stub, err := efi.ReadBase(open(t, stubFile))
	if err != nil {
		t.Fatal(err)
	}
	a, err := stub.With(nil, []efi.Section{efi.Bytes(".osrel", []byte("ID=a\n")), efi.Bytes(".linux", []byte("kernel"))})
	if err != nil {
		t.Fatal(err)
	}
	i, err := Read(section(read(t, a)))
	if err != nil {
		t.Fatal(err)
	}
	changed, err := i.WithCmdline(func(_, _ string) string { return "quiet" })
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(section(read(t, changed)))
	if err != nil || got.Text(".cmdline") != "quiet" || got.Text(".linux") != "kernel" {
		t.Errorf("%+v %v", got.Sections, err)
	}
}

// TestWhatStubsDoNotKnow is refused, not left out.
func TestWhatStubsDoNotKnow(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(p *Parts){
		"knows no profiles":               func(p *Parts) { p.Profiles = []Profile{{ID: "a"}} },
		"does not load microcode":         func(p *Parts) { p.Microcode = section([]byte("x")) },
		"takes no device tree by itself":  func(p *Parts) { p.DeviceTreesAuto = [][]byte{{1}} },
		"is none of systemd's":            func(p *Parts) { p.Stub = open(t, kernelFile) },
		"the stub: it is no EFI program":  func(p *Parts) { p.Stub = section([]byte("MZ")) },
		"cannot be started by firmware":   func(p *Parts) { p.Kernel = section([]byte("\x1f\x8bgzip")) },
		"made for another machine (0xaa6": func(p *Parts) { p.Kernel = section(forMachine(t, 0xaa64)) },
	} {
		p := parts(t)
		change(&p)
		if _, err := Build(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// forMachine is a program for another machine.
func forMachine(t *testing.T, machine uint16) []byte {
	data, err := os.ReadFile(kernelFile)
	if err != nil {
		t.Fatal(err)
	}
	at := int(data[0x3c]) | int(data[0x3d])<<8
	data[at+4], data[at+5] = byte(machine), byte(machine>>8)
	return data
}

// TestProfiles reads what was written, with a stub that says it is one that knows them.
func TestProfiles(t *testing.T) {
	t.Parallel()
	p := parts(t)
	p.Stub = newerStub(t)
	p.Profiles = []Profile{{"debug", "Debug \"mode\"", "root=LABEL=a debug"}, {"bare", "", "root=LABEL=a"}}
	i, err := Read(section(build(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	got := i.Profiles()
	if fmt.Sprint(got[1:]) != `[{debug Debug "mode" root=LABEL=a debug} {bare  root=LABEL=a}]` {
		t.Fatalf("%+v", got)
	}
	if got[0].ID != "main" || got[0].Cmdline != "" || i.Text(".cmdline") != "root=LABEL=a quiet" {
		t.Errorf("%+v, and %q", got, i.Text(".cmdline"))
	}
	changed, err := i.WithCmdline(func(profile, args string) string { return args + " in=" + profile })
	if err != nil {
		t.Fatal(err)
	}
	if i, err = Read(section(read(t, changed))); err != nil || i.Profiles()[1].Cmdline != "root=LABEL=a debug in=debug" || i.Text(".cmdline") != "root=LABEL=a quiet in=" {
		t.Errorf("%+v %v", i.Profiles(), err)
	}
}

// newerStub is the host's stub, which says that it is of systemd 257.
func newerStub(t *testing.T) *io.SectionReader {
	data, err := os.ReadFile(stubFile)
	if err != nil {
		t.Fatal(err)
	}
	i, err := Read(section(data))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("systemd-stub %d", Stub(i.Base))
	if bytes.Count(data, []byte(text)) != 1 {
		t.Fatalf("%s is not in the stub once", text)
	}
	return section(bytes.Replace(data, []byte(text), []byte("systemd-stub 257"), 1))
}
