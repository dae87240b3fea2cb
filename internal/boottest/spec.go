// Package boottest boots an image in a virtual machine and checks, from inside and without a password, network or
// agent in the image, that it does what was asked of it.
package boottest

import (
	"cmp"
	"reflect"
	"strings"
	"time"

	"imagecustomizer/internal/config"
)

// Spec is the section test of a config: what an image must do when it is booted.
type Spec struct {
	Target           Unit      `yaml:"target" doc:"Unit that must become active. Default: what the image boots to, as a rule multi-user.target or graphical.target." example:"multi-user.target"`
	AllowFailedUnits []Unit    `yaml:"allowFailedUnits" doc:"Units that may fail. Any other failed unit fails the test." example:"[systemd-modules-load.service]"`
	Commands         []Command `yaml:"commands" doc:"Commands to run in the booted system, as root."`
	Files            []File    `yaml:"files" doc:"Files that must be there."`
	Ports            []Port    `yaml:"ports" doc:"TCP ports that a program must listen on." example:"[22, 443]"`
	Boots            int       `yaml:"boots" default:"1" min:"1" max:"9" doc:"How often the image is booted, each time with what the boots before left. All checks are made in each."`
	PowerCut         bool      `yaml:"powerCut" default:"false" doc:"The first boot loses its power when its root filesystem is writable; the next ones must still do everything."`
	SecureBoot       bool      `yaml:"secureBoot" default:"false" doc:"Boot with Secure Boot enforced, with the keys of Microsoft."`
	Timeout          int       `yaml:"timeout" default:"600" min:"1" max:"86400" doc:"Seconds that one boot may take, with all checks."`
	Memory           int       `yaml:"memory" default:"1024" min:"1" max:"1048576" doc:"Memory of the machine in MiB."`
	CPUs             int       `yaml:"cpus" default:"2" min:"1" max:"255" doc:"Processors of the machine. Where the host has no KVM, the default is 1."`
	Publish          Publish   `yaml:"publish" default:"onSuccess" doc:"Whether outputs that fail their test are written all the same. The run fails in any case."`
}

// Used tells whether outputs are to be booted: something is said of how.
func (s *Spec) Used() bool { return !reflect.ValueOf(*s).IsZero() }

// Add adds what another one says: lists are joined, and what it sets wins.
func (s *Spec) Add(o Spec) {
	into, from := reflect.ValueOf(s).Elem(), reflect.ValueOf(o)
	for i := range from.NumField() {
		switch f := from.Field(i); {
		case f.Kind() == reflect.Slice:
			into.Field(i).Set(reflect.AppendSlice(into.Field(i), f))
		case !f.IsZero():
			into.Field(i).Set(f)
		}
	}
}

// limit is how long one boot may take.
func (s *Spec) limit() time.Duration {
	return time.Duration(cmp.Or(s.Timeout, int(defaultTimeout/time.Second))) * time.Second
}

const defaultTimeout = 10 * time.Minute

// Publish says what becomes of outputs that fail.
type Publish string

// Values lists the choices.
func (Publish) Values() []string { return []string{"onSuccess", "always"} }

// Unit is the name of a systemd unit, with its suffix.
type Unit string

// Describe tells how the name is written.
func (Unit) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[A-Za-z0-9:_.@\\-]{1,200}\.(service|target|mount|swap|socket|timer|path|device|slice|scope|automount)$`}
}

// Validate checks the form of the name.
func (u *Unit) Validate(at *config.At) {
	if !u.Describe().Fits(string(*u)) {
		at.Errorf("%q is not the name of a unit", string(*u)).Hint("write it with its suffix, such as nginx.service or multi-user.target")
	}
}

// Port is a TCP port.
type Port int

// Validate checks the range.
func (p *Port) Validate(at *config.At) {
	if *p < 1 || *p > 65535 {
		at.Errorf("%d is not a port", int(*p)).Hint("ports are 1 to 65535")
	}
}

// Command is a shell command and what it must do.
type Command struct {
	Command  string `yaml:"command" required:"true" doc:"Line for /bin/sh of the image." example:"nginx -t"`
	ExitCode int    `yaml:"exitCode" default:"0" min:"0" max:"255" doc:"Exit status that it must have."`
	Output   string `yaml:"output" doc:"Text that its standard output must be, without blanks and line breaks at its ends. Default: any."`
	Contains string `yaml:"contains" doc:"Text that its standard output must contain. Default: any."`
}

// Validate checks that there is a command.
func (c *Command) Validate(at *config.At) {
	if strings.TrimSpace(c.Command) == "" || strings.ContainsRune(c.Command, 0) {
		at.Field("command").Errorf("there is no command").Hint("write a shell command, such as \"systemctl is-active nginx\"")
	}
}

// File is a file and what it must be.
type File struct {
	Path     string `yaml:"path" required:"true" doc:"Absolute path in the booted system." example:"/etc/motd"`
	Contains string `yaml:"contains" doc:"Text that the file must contain. Default: any."`
}

// Validate checks the path's form.
func (f *File) Validate(at *config.At) {
	if !strings.HasPrefix(f.Path, "/") || strings.ContainsAny(f.Path, "\x00\n") {
		at.Field("path").Errorf("%q is not an absolute path", f.Path).Hint("begin it with a /")
	}
}
