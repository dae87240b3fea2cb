// Package bootmedium rewrites the boot menu of an image for a boot medium, and back.
package bootmedium

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

// Medium is a boot medium that an image's boot entries are rewritten for. It holds the kernels, and
// GRUB's folder under the path that it has in the image.
type Medium struct {
	Label   string        // by which GRUB finds the medium; without it and UUID its root is the medium already
	UUID    string        // of its filesystem, instead of Label
	Drop    []string      // names of arguments that are about the disk
	Omit    []string      // further arguments that are dropped where they stand just so
	Args    []string      // added to every entry
	Kernels []boot.Kernel // Image and Initramfs are paths on the medium; the default kernel first
}

// Rewrite returns the image's grub.cfg for the medium. Its own arguments, entries and settings stay;
// what refers to the disk is replaced.
func (m Medium) Rewrite(files boot.Files, s boot.Scheme) (string, error) {
	if s.Config == "" {
		return "", fmt.Errorf("the image is not booted by GRUB (%s)", s)
	}
	data, err := files.ReadFile(s.Config)
	if err != nil {
		return "", err
	}
	script, err := grub.Parse(string(data))
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Config, err)
	}
	r := rewriter{Medium: m, variables: boot.Variables(files, s.Config, script)}
	for _, c := range script.Commands {
		if err := r.command(c); err != nil {
			return "", fmt.Errorf("%s:%d: %w", s.Config, c.Line, err)
		}
	}
	if s.Kind == boot.BLS {
		if err := r.entries(files, s, script); err != nil {
			return "", err
		}
	}
	return grub.Apply(script.Text, r.changes), nil
}

type rewriter struct {
	Medium
	variables map[string]string
	changes   []grub.Edit
	kernel    boot.Kernel // of the linux command seen last
}

// replace replaces the words of a command from the n-th on.
func (r *rewriter) replace(c *grub.Command, n int, text string) {
	r.changes = append(r.changes, grub.Edit{Start: c.Words[n].Start, End: c.Words[len(c.Words)-1].End, Text: text})
}

func (r *rewriter) command(c *grub.Command) error {
	switch name := c.Name(); name {
	case "search", "search.fs_uuid", "search.fs_label", "search.file":
		r.replace(c, 0, r.search(searchVariable(c)))
	case "set":
		r.set(c)
	case "linux", "linuxefi", "linux16":
		return r.linux(c)
	case "initrd", "initrdefi", "initrd16":
		r.replace(c, 0, "initrd "+r.kernel.Initramfs)
	}
	return nil
}

func (r *rewriter) search(variable string) string {
	if r.UUID != "" {
		return "search --no-floppy --fs-uuid --set=" + variable + " " + r.UUID
	}
	if r.Label == "" {
		return "set " + variable + "=$" + variable // nothing to look for, and a body must not be empty
	}
	return "search --no-floppy --set=" + variable + " --label " + r.Label
}

// searchVariable is what a search command sets.
func searchVariable(c *grub.Command) string {
	for i, w := range c.Words {
		v := w.Value()
		name, found := strings.CutPrefix(v, "--set=")
		next := v == "--set" || v == "-s"
		switch {
		case found:
			return name
		case next && i+1 < len(c.Words) && !strings.HasPrefix(c.Words[i+1].Value(), "-"):
			return c.Words[i+1].Value()
		}
	}
	if strings.HasPrefix(c.Name(), "search.") && len(c.Words) > 2 {
		return c.Words[2].Value()
	}
	return "root"
}

// set keeps a script from naming the disk as GRUB's root, and says where the kernels are.
func (r *rewriter) set(c *grub.Command) {
	for i, w := range c.Words[1:] {
		switch name, _, _ := strings.Cut(w.Value(), "="); name {
		case "root":
			r.replace(c, i+1, "root=$root")
		case "bootprefix":
			r.replace(c, i+1, "bootprefix=/boot")
		}
	}
}

// linux rewrites the command that loads a kernel. A kernel that is not on the medium, such as a
// rescue copy, is replaced by the default one.
func (r *rewriter) linux(c *grub.Command) error {
	if len(c.Words) < 2 || strings.Contains(c.Words[1].Value(), "memtest") {
		return nil
	}
	r.kernel = r.Kernels[0]
	base := path.Base(c.Words[1].Expand(r.variables))
	for _, k := range r.Kernels {
		if path.Base(k.Image) == base {
			r.kernel = k
		}
	}
	own := c.Args()
	r.changes = append(r.changes, grub.Edit{Start: c.Words[0].Start, End: c.Words[1].End, Text: "linux " + r.kernel.Image})
	for _, w := range own {
		if r.drops(w.Value()) {
			r.changes = append(r.changes, grub.Edit{Start: w.Start, End: w.End, Text: ""})
		}
	}
	more, err := kargs.GRUBScript.Join(r.missing(own))
	end := c.Words[len(c.Words)-1].End
	r.changes = append(r.changes, grub.Edit{Start: end, End: end, Text: strings.TrimRight(" "+more, " ")})
	return err
}

// missing are the medium's arguments that an entry lacks, given those it keeps.
func (r *rewriter) missing(own []grub.Word) []string {
	var kept kargs.Cmdline
	for _, a := range kargs.Literal(own) {
		if !r.drops(a) {
			kept = append(kept, a)
		}
	}
	return kept.Missing(r.Args)
}

func (r *rewriter) drops(arg string) bool {
	return slices.Contains(r.Omit, arg) || kargs.Cmdline(r.Drop).Has(kargs.Name(arg))
}

// entries writes the boot loader entries into the script: GRUB finds their files neither on every
// medium nor over the network. The newest comes first, as with blscfg.
func (r *rewriter) entries(files boot.Files, s boot.Scheme, script *grub.Script) error {
	found, err := boot.Normal(files, s)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range slices.Backward(found) {
		text, err := r.entry(e)
		if err != nil {
			return err
		}
		b.WriteString(text)
	}
	for _, c := range script.Find("blscfg") {
		r.replace(c, 0, "set default=0\n"+b.String())
	}
	return nil
}

func (r *rewriter) entry(e boot.Entry) (string, error) {
	words, err := grub.Words(e.Text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", e.File, err)
	}
	var args kargs.Cmdline
	for _, w := range words {
		more, err := kargs.Split(w.Expand(r.variables))
		if err != nil {
			return "", fmt.Errorf("%s: %w", e.File, err)
		}
		args = append(args, more...)
	}
	args = slices.DeleteFunc(args, r.drops).Add(r.Args...)
	kernel := r.Kernels[0]
	for _, k := range r.Kernels {
		if name := e.Kernel.Place.Path; name == "/"+path.Base(k.Image) || name == k.Image {
			kernel = k
		}
	}
	return MenuEntry(e.Title, kernel, args)
}

// MenuEntry is a GRUB menu entry for a kernel.
func MenuEntry(title string, k boot.Kernel, args []string) (string, error) {
	line, err := kargs.GRUBScript.Join(args)
	if err != nil {
		return "", err
	}
	title = strings.ReplaceAll(title, "'", "")
	return fmt.Sprintf("menuentry '%s' {\n\tlinux %s %s\n\tinitrd %s\n}\n", title, k.Image, line, k.Initramfs), nil
}

// LiveArgs are the arguments that an image's normal entry has on the medium.
func (m Medium) LiveArgs(files boot.Files, s boot.Scheme) ([]string, error) {
	args, err := boot.Args(files, s)
	return slices.DeleteFunc(kargs.Cmdline(args), (&rewriter{Medium: m}).drops).Add(m.Args...), err
}
