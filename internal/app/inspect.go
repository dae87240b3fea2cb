package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/ui"
	"imagecustomizer/internal/verify"
)

// InspectOptions are the flags of the inspect command.
type InspectOptions struct {
	LookOptions
	Format string // of what is printed: text or json
}

// Inspect prints what an image holds that is of the machine on which it was made. It works on a copy.
func Inspect(ctx context.Context, o InspectOptions, screen *ui.UI, stdout io.Writer) error {
	format, err := probeImage(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	if format.Name == "iso" {
		return &failure.Failure{Code: failure.Usage, Err: errors.New("the identity in an ISO image cannot be looked at"), Hint: "name the disk image that it was made of"}
	}
	res, err := o.look(ctx, job.Inspect, format, screen)
	if err != nil {
		return err
	}
	if o.Format == "json" {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"identity": append([]identity.Trace{}, res.Identity...)})
	}
	return printIdentity(res.Identity, stdout)
}

// printIdentity says what clones would share, what the machine left, and what takes that out.
func printIdentity(traces []identity.Trace, stdout io.Writer) error {
	if len(traces) == 0 {
		_, err := fmt.Fprintln(stdout, "The image holds nothing of the machine on which it was made.")
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, part := range []struct {
		title  string
		shared bool
	}{{"Clones would share:", true}, {"Left by the machine on which it was made:", false}} {
		for i, t := range slices.DeleteFunc(slices.Clone(traces), func(t identity.Trace) bool { return t.Shared != part.shared }) {
			if i == 0 {
				fmt.Fprintln(w, part.title)
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", t.Row, t.Level, t.What, some(t))
		}
	}
	fmt.Fprintf(w, "\"os: {generalize: {level: golden}}\" takes out what is marked minimal and golden; what is marked add, only where it is named.\n")
	return w.Flush()
}

// some are the first of many files.
func some(t identity.Trace) string {
	if t.Count > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(t.Files[:2], ", "), t.Count-2)
	}
	return strings.Join(t.Files, ", ")
}

// inspectImage is the worker's part of the inspect command.
func (w *worker) inspectImage(ctx context.Context) (found []identity.Trace, err error) {
	defer func() { err = errors.Join(err, w.leave()) }()
	if err := w.load(ctx, w.job.Working(), w.copyDisk, image.Open); err != nil {
		return nil, err
	}
	w.result.Facts = factsOf(w.machine.Facts)
	looked := w.machine.Opened().LookAtESP(ctx, func(mounts []image.Mounted) {
		i := w.checked()
		i.Mounts = mounts
		found, err = verify.Identity(i).Traces()
	})
	return found, errors.Join(looked, err)
}
