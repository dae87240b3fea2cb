package cli

import (
	"time"

	"imagecustomizer/internal/app"
	"imagecustomizer/internal/boottest"
)

// recordFlags name files that a boot test writes.
type recordFlags struct {
	JUnit      string `name:"junit" help:"Write what came of the boot tests to this file, in JUnit's XML." placeholder:"FILE"`
	ConsoleLog string `help:"Write all that the booted systems print to this file." placeholder:"FILE"`
	Screenshot string `help:"Write a picture of the display to this file, as PNG, if a boot fails." placeholder:"FILE"`
}

func (f recordFlags) records() app.Records {
	return app.Records{JUnit: f.JUnit, Console: f.ConsoleLog, Picture: f.Screenshot}
}

type testCmd struct {
	Image            string        `arg:"" help:"Image to boot: ${readable}. It is never written." placeholder:"IMAGE"`
	ConfigFile       string        `help:"Config file whose section test says what to check. The flags below add to it." placeholder:"FILE"`
	Target           string        `help:"Unit that must become active. Default: what the image boots to." placeholder:"UNIT"`
	AllowFailed      []string      `sep:"none" help:"Unit that may fail; repeatable." placeholder:"UNIT"`
	Command          []string      `sep:"none" help:"Shell command to run in the system as root, which must succeed; repeatable." placeholder:"COMMAND"`
	File             []string      `sep:"none" help:"File that must be there; repeatable." placeholder:"PATH"`
	Port             []int         `help:"TCP port that a program must listen on; repeatable." placeholder:"PORT"`
	Boots            int           `help:"How often to boot, each time with what the boots before left. Default: 1." placeholder:"N"`
	PowerCut         bool          `help:"Cut the power during a first boot, and check the boots after it."`
	SecureBoot       bool          `help:"Boot with Secure Boot enforced."`
	Timeout          time.Duration `help:"How long one boot may take, with its checks. Default: 10m." placeholder:"DURATION"`
	Memory           int           `help:"Memory of the machine in MiB. Default: 1024." placeholder:"MIB"`
	CPUs             int           `name:"cpus" help:"Processors of the machine. Default: 2." placeholder:"N"`
	Firmware         string        `default:"auto" enum:"auto,uefi,bios" help:"What starts the boot loader: ${enum}; auto is what the partition table asks for."`
	BuildDir         string        `help:"Directory for a copy of the image, which systems older than systemd 256 need. Default: TMPDIR, or /var/tmp." placeholder:"DIR"`
	AllowBackingFile bool          `help:"Accept an image that refers to further files."`

	recordFlags
	composeFlags
	rootFlags
}

// Run tests an image.
func (c *testCmd) Run(s *session) error {
	more := boottest.Spec{
		Target: boottest.Unit(c.Target), Boots: c.Boots, PowerCut: c.PowerCut, SecureBoot: c.SecureBoot,
		Timeout: int(c.Timeout.Seconds()), Memory: c.Memory, CPUs: c.CPUs,
	}
	for _, u := range c.AllowFailed {
		more.AllowFailedUnits = append(more.AllowFailedUnits, boottest.Unit(u))
	}
	for _, command := range c.Command {
		more.Commands = append(more.Commands, boottest.Command{Command: command})
	}
	for _, path := range c.File {
		more.Files = append(more.Files, boottest.File{Path: path})
	}
	for _, p := range c.Port {
		more.Ports = append(more.Ports, boottest.Port(p))
	}
	o := app.TestOptions{
		ImageFile: c.Image, ConfigFile: c.ConfigFile, Compose: c.options(), More: more, BuildDir: c.BuildDir,
		AllowBackingFile: c.AllowBackingFile, Root: c.choice(), Records: c.records(),
	}
	if c.Firmware != "auto" {
		o.Firmware = c.Firmware
	}
	return app.Test(s.ctx, o, s.ui, s.stdout)
}
