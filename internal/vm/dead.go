package vm

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// dead are the ends at which a boot stops for good, and what each means. Each is printed by the program it names,
// on the serial console.
var dead = []struct {
	text  string // regular expression
	means string
}{
	{`You are in (?:emergency|rescue) mode|Give root password for maintenance|Press Enter for maintenance|Cannot open access to console, the root account is locked`,
		"systemd stopped in emergency mode: a mount or a unit that the boot needs failed"},
	{`(?m)^(?:\(initramfs\) |dracut:/# |:/# $)|Entering emergency mode\. Exit the shell to continue|ALERT! .{0,200} does not exist`,
		"the initramfs stopped at its prompt: it did not find the root filesystem"},
	{`Kernel panic - not syncing`, "the kernel panicked"},
	{`(?m)^(?:grub|grub rescue)> `, "GRUB stopped at its prompt: it found no menu, or what the menu needs"},
	{`BdsDxe: No bootable option or device was found|Shell> |No bootable device|Boot failed: not a bootable disk`, "the firmware found nothing to boot"},
	{`Security Violation|Access Denied.{0,80}(?:Secure Boot|Image)`, "the firmware refused the boot loader: Secure Boot does not know its signature"},
}

// loginOrDead matches the prompt for a user name as group 1, or the n-th of dead as group n+2.
var loginOrDead = func() *regexp.Regexp {
	parts := []string{"(" + loginPrompt.String() + ")"}
	for _, d := range dead {
		parts = append(parts, "("+d.text+")")
	}
	return regexp.MustCompile(strings.Join(parts, "|"))
}()

// WaitLogin waits until the guest asks for a user name. A boot that has stopped for good ends it with the reason.
func (c *Serial) WaitLogin(ctx context.Context) error {
	_, groups, err := c.expectNamed(ctx, loginOrDead, "a login prompt")
	if err != nil || groups[1] != "" {
		return err
	}
	for i, d := range dead {
		if groups[i+2] != "" {
			return c.failed("boot to a login prompt", fmt.Errorf("%s", d.means))
		}
	}
	return nil
}
