// Package cli is the command line: flags become options of package app, failures become text and an
// exit status.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"imagecustomizer/internal/app"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/printable"
	"imagecustomizer/internal/step"
	"imagecustomizer/internal/ui"
)

// commandLine is every command and flag of the program; docs/cli.md is made from it.
type commandLine struct {
	Logging logging `embed:""`

	Customize customizeCmd   `cmd:"" default:"withargs" help:"Change an image as a config file says. This is the command that runs when none is named."`
	Edit      editCmd        `cmd:"" help:"Change an image as flags say, without a config file: the same as customize with the config that --print-config prints. What flags say is done in their order, where that matters."`
	Convert   convertCmd     `cmd:"" help:"Write an image in another format, unchanged. Needs no config file, and root for cosi and baremetal-image only."`
	Inject    injectFilesCmd `cmd:"" name:"inject-files" help:"Put files, such as boot loaders that were signed, into an image."`
	Validate  validateCmd    `cmd:"" name:"validate-config" help:"Check a config file without touching any image. Needs no root."`
	Config    configCmd      `cmd:"" help:"Show and compare what config files come to. Needs no root."`
	Verify    verifyCmd      `cmd:"" help:"Look for reasons why an image would not boot: names that nothing in it has, missing files, damage. Customize does the same before it publishes an image."`
	Inspect   inspectCmd     `cmd:"" help:"Say what is in an image, which is copied and never modified."`
	Test      testCmd        `cmd:"" help:"Boot an image in QEMU and check from inside that it does what it must. The image is not changed. Needs no root where the image has systemd 256 or newer."`
	Boot      bootCmd        `cmd:"" help:"Boot an image in QEMU, with its serial console here. The image is not changed: what the guest writes is forgotten. Needs no root."`
	Doctor    doctorCmd      `cmd:"" help:"Say what this host can and cannot do, and what mends it."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// logging are the flags about what is printed; every command has them.
type logging struct {
	LogLevel         string `default:"info" enum:"panic,fatal,error,warn,info,debug,trace" help:"Least severity of log lines that are printed: ${enum}." placeholder:"LEVEL"`
	LogFormat        string `default:"text" enum:"text,json" help:"Form of log lines: ${enum}." placeholder:"FORMAT"`
	LogFile          string `help:"Also write the log to this file, always with debug detail. Without it, the logs of the last ten runs are kept in imagecustomizer/logs in the user's state directory (~/.local/state)." placeholder:"FILE"`
	LogColor         string `default:"auto" enum:"auto,always,never" help:"Colours: auto (on a terminal, unless NO_COLOR is set), always or never." placeholder:"WHEN"`
	Quiet            bool   `short:"q" help:"Print no more than warnings and errors."`
	TimestampFile    string `help:"Also write to this file how long each step took: a line of JSON where one begins, and where it ends." placeholder:"FILE"`
	DisableTelemetry bool   `help:"Accepted for compatibility: nothing is ever sent anywhere."`
	Progress         string `default:"auto" enum:"auto,plain,json" help:"How progress is shown: auto (a live line on a terminal, plain lines elsewhere), plain, or json (one event a line)." placeholder:"MODE"`
}

// session is what a command needs besides its own flags.
type session struct {
	ctx    context.Context
	ui     *ui.UI
	stdout io.Writer // for text, which is made printable
	tty    io.Writer // the same as it is, for a guest's console
}

// Run carries out the command line and returns the exit status.
func Run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	c := commandLine{Edit: newEditCmd()}
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return failure.Usage
	}
	exited := -1
	parser.Exit = func(code int) { exited = code; panic(exitNow{}) }
	parsed, err := parse(parser, args)
	switch {
	case exited >= 0:
		return exited
	case err != nil:
		fmt.Fprintf(stderr, "imagecustomizer: %s\n", misused(parser, args, err))
		return failure.Usage
	}
	if err := oneConfig(parsed); err != nil {
		fmt.Fprintln(stderr, "imagecustomizer:", err)
		return failure.Usage
	}
	if err := c.Logging.apart(args); err != nil {
		fmt.Fprintln(stderr, "imagecustomizer:", err)
		return failure.Usage
	}
	screen, err := ui.New(c.Logging.options(parsed.Command(), stderr))
	if err != nil {
		fmt.Fprintln(stderr, "imagecustomizer:", err)
		return failure.Usage
	}
	defer screen.Close()
	slog.SetDefault(screen.Logger())
	return finish(parsed.Run(&session{ctx: ctx, ui: screen, stdout: printable.Writer(stdout), tty: stdout}), screen)
}

// misused says what is wrong with the command line, and where the flags are listed. Without a command the flags are
// those of customize.
func misused(parser *kong.Kong, args []string, err error) string {
	var names []string
	for _, n := range parser.Model.Children {
		names = append(names, n.Name)
	}
	command := "customize"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		if !slices.Contains(names, args[0]) {
			if instead, known := notYet[args[0]]; known {
				return fmt.Sprintf("the command %s is not supported yet: %s", args[0], instead)
			}
			return fmt.Sprintf("there is no command %q: %s", args[0], config.DidYouMean(args[0], names, "the commands are "+strings.Join(names, ", ")))
		}
		command = args[0]
	}
	for name, instead := range notYet {
		if strings.HasPrefix(err.Error(), "unknown flag --"+name+",") || err.Error() == "unknown flag --"+name {
			return fmt.Sprintf("--%s is not supported yet: %s", name, instead)
		}
	}
	return fmt.Sprintf("%v\nRun \"imagecustomizer %s --help\" for the flags.", err, command)
}

// notYet are commands and flags of today's Image Customizer that are not supported yet, and what to do without them.
var notYet = map[string]string{
	"create":                     "begin with an image that a distribution publishes, and customize it",
	"image":                      step.Unsupported["input.image.oci"],
	"image-cache-dir":            step.Unsupported["input.image.oci"],
	"output-selinux-policy-path": step.Unsupported["output.selinuxPolicyPath"],
	"package-snapshot-time":      step.Unsupported["os.packages.snapshotTime"],
	"tools-dir":                  "the image's own package manager is used, so the image has to have one",
}

// options are how a command is shown. Commands that work on an image keep a log.
func (l logging) options(command string, out io.Writer) ui.Options {
	o := ui.Options{
		Progress: l.Progress, LogLevel: l.LogLevel, LogFormat: l.LogFormat, LogFile: l.LogFile, Color: l.LogColor,
		TimesFile: l.TimestampFile, Out: out,
	}
	if l.Quiet {
		o.Progress = "none"
		if l.LogLevel == "info" {
			o.LogLevel = "warn"
		}
	}
	switch name, _, _ := strings.Cut(command, " "); name {
	case "customize", "edit", "convert", "inject-files", "verify", "inspect", "test":
		o.LogDir = ui.LogDir(os.Getenv)
	}
	return o
}

// oneConfig refuses a second config file, of which one would be left out without a word.
func oneConfig(parsed *kong.Context) error {
	times := 0
	for _, p := range parsed.Path {
		if p.Flag != nil && p.Flag.Name == "config-file" {
			times++
		}
	}
	if times > 1 {
		return errors.New("--config-file is given twice: a run has one config; put everything into one file")
	}
	return nil
}

// apart refuses files to write to that the command line names for anything else: opening them empties them.
func (l logging) apart(args []string) error {
	return errors.Join(apart("--log-file", l.LogFile, args), apart("--timestamp-file", l.TimestampFile, args))
}

func apart(flag, log string, args []string) error {
	if log == "" {
		return nil
	}
	fi, missing := os.Stat(log)
	full, _ := filepath.Abs(log)
	times := 0
	for _, a := range args {
		for _, path := range []string{a, a[strings.Index(a, "=")+1:]} {
			other, err := os.Stat(path)
			same, _ := filepath.Abs(path)
			if missing == nil && err == nil && os.SameFile(fi, other) || same == full {
				times++
				break
			}
		}
	}
	if times > 1 {
		return fmt.Errorf("%s %s: the command line names this file for something else too; name another file", flag, log)
	}
	return nil
}

// exitNow unwinds out of kong, which would otherwise go on after --help and --version.
type exitNow struct{}

func parse(parser *kong.Kong, args []string) (k *kong.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exitNow); !ok {
				panic(r)
			}
		}
	}()
	return parser.Parse(args)
}

func newParser(c *commandLine, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c, append(c.Edit.inOrder(),
		kong.Name("imagecustomizer"),
		kong.Description(Description()),
		kong.Vars{"version": "imagecustomizer " + app.Version, "formats": strings.Join(diskformat.Names(), ", "), "convertible": strings.Join(diskformat.Convertible(), ", "), "readable": diskformat.Readable()},
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
	)...)
}

// Parser returns the parser itself, for making the reference page.
func Parser() (*kong.Kong, error) {
	return newParser(&commandLine{Edit: newEditCmd()}, io.Discard, io.Discard)
}

// Description is the text above the list of flags.
func Description() string {
	var b strings.Builder
	b.WriteString("Changes an existing Linux disk image offline, without booting it, as one config file says.\n\nExit status:\n")
	for _, e := range failure.Codes {
		fmt.Fprintf(&b, "\n    %3d: %s", e.Code, e.Meaning)
	}
	return b.String()
}

// finish prints a failure and returns the exit status.
func finish(err error, screen *ui.UI) int {
	if err == nil {
		return failure.OK
	}
	f := failure.Of(err)
	if !f.Shown {
		screen.Failure(f.Err, f.Step, f.Hint)
	}
	return f.Code
}
