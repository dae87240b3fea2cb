package boottest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"imagecustomizer/internal/vm"
)

// Image is what is tested.
type Image struct {
	Path     string // of the disk image or medium
	Format   string // its name: one of diskformat.Bootable
	Backing  bool   // it refers to further files, as it may
	Firmware vm.Firmware

	// Injected says that the unit with the checks is in the image already, with this mark: its systemd takes none
	// from the machine.
	Injected string
}

// Report is what came of a test.
type Report struct {
	Image     string  `json:"image"`
	Injection string  `json:"injection"` // credential or overlay
	Checks    []Check `json:"checks"`
	Seconds   float64 `json:"seconds"`
	Console   []byte  `json:"-"`
	Picture   []byte  `json:"-"` // PNG of the display when a boot failed; nil where there is none
}

// OK tells whether every check passed.
func (r *Report) OK() bool {
	for _, c := range r.Checks {
		if c.Result != Passed {
			return false
		}
	}
	return len(r.Checks) > 0
}

// errNoUnit is why a boot ends whose system does not run the unit.
var errNoUnit = errors.New("the system asks for a user name, but did not start the boot test: its systemd is older than 256, or it has none")

// IsTooOld tells whether a test failed because the system takes no unit from the machine.
func IsTooOld(err error) bool { return errors.Is(err, errNoUnit) }

// Run boots the image as often as the test says and makes its checks. What the guest prints goes to console, which may
// be nil. An error means that the test could not be made; what is wrong with the image is in the report.
func Run(ctx context.Context, i Image, s *Spec, console io.Writer) (*Report, error) {
	began := time.Now()
	state := &vm.State{}
	defer state.Close()
	r := &Report{Image: i.Path, Injection: "credential"}
	mark := i.Injected
	if mark != "" {
		r.Injection = "overlay"
	} else {
		mark = rand.Text()
	}
	boots := max(s.Boots, 1)
	if s.PowerCut {
		boots++
	}
	for n := 1; n <= boots && (n == 1 || r.OK()); n++ {
		b := boot{image: i, spec: s, state: state, mark: mark, number: n, cut: s.PowerCut && n == 1, report: r, log: console}
		if err := b.run(ctx); err != nil {
			return nil, err
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// TakesUnits is the first version of systemd that takes units from the machine.
const TakesUnits = 256

// Injected is a file that an older system needs.
type Injected struct{ Path, Content string }

// Script is what an image is given for its system to run the test. See Image.Injected.
func Script(mark string, s *Spec) []Injected {
	const dir = "/etc/systemd/system/"
	return []Injected{
		{dir + unitName, unit(script(mark, s, s.checks()))},
		{dir + "basic.target.d/90-boot-test.conf", dropIn},
	}
}

// boot is one boot of a test.
type boot struct {
	image  Image
	spec   *Spec
	state  *vm.State
	mark   string
	number int
	cut    bool // it ends as soon as the system runs
	report *Report
	log    io.Writer

	from *reports
}

func (b *boot) run(ctx context.Context) (err error) {
	limited, cancel := context.WithTimeoutCause(ctx, b.spec.limit(), fmt.Errorf("the boot and its checks did not end within %s", b.spec.limit()))
	defer cancel()
	b.from = newReports(b.mark)
	o := vm.Options{
		Image: b.image.Path, Format: b.image.Format, Backing: b.image.Backing, Firmware: b.image.Firmware, Secure: b.spec.SecureBoot,
		MemoryMiB: b.spec.Memory, CPUs: processors(limited, b.spec.CPUs), State: b.state, Report: b.from, Offline: true, Picture: true, Log: b.log,
	}
	if b.image.Injected == "" {
		o.Credentials = credentials(script(b.mark, b.spec, b.spec.checks()))
	}
	m, err := vm.Start(limited, o)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, m.Close())
		b.report.Console = append(b.report.Console, m.Console()...)
	}()
	why := b.follow(limited, m)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := m.Broken(); err != nil || errors.Is(why, errNoUnit) {
		return errors.Join(err, why)
	}
	if why != nil {
		b.report.Picture, _ = m.Screenshot(ctx) // the console says most of it
	}
	b.note(why)
	return nil
}

// processors is how many the machine has. One that is emulated gets a single one: QEMU 7.2 lets one processor run code
// that another is patching, as kernels do at boot, and now and then the guest panics.
func processors(ctx context.Context, wanted int) int {
	if wanted == 0 && !vm.HasKVM(ctx) {
		return 1
	}
	return wanted
}

// patience is how long a system that asks for a user name has to start the unit.
const patience = 90 * time.Second

// follow waits until everything was reported, or nothing more will come, and says why.
func (b *boot) follow(ctx context.Context, m *vm.Machine) error {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	login := make(chan error, 1)
	go func() { login <- m.WaitLogin(watch) }()
	var late <-chan time.Time
	for {
		select {
		case <-b.from.changed:
			if b.done() {
				return b.end(ctx, m)
			}
		case err := <-login:
			if err != nil {
				return err
			}
			login = nil
			late = time.After(patience)
		case <-late:
			if !b.from.has(reportStarted) {
				return errNoUnit
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// done tells whether a boot has said what is waited for.
func (b *boot) done() bool {
	if b.cut {
		return b.from.has(reportStarted)
	}
	return b.from.has(reportEnd)
}

// poweringOff bounds how long a system takes to power itself off, with all that was checked: it may be writing still.
const poweringOff = 90 * time.Second

// end pulls the plug, or waits until the guest has powered itself off.
func (b *boot) end(ctx context.Context, m *vm.Machine) error {
	if b.cut {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, poweringOff, fmt.Errorf("it did not power off within %s", poweringOff))
	defer cancel()
	return m.Wait(ctx)
}

// note adds what the boot said to the report.
func (b *boot) note(why error) {
	first := Check{Boot: b.number, Name: "boot", Result: Passed}
	if why != nil {
		first.Result, first.Text = Failed, why.Error()
	}
	list := []Check{first}
	if b.cut {
		list[0].Name = "boot until the power is cut"
	} else {
		list = append(list, b.spec.judge(b.from.answers())...)
	}
	for _, c := range list {
		c.Boot = b.number
		b.report.Checks = append(b.report.Checks, c)
	}
}
