package diskformat

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// Identity is what a disk file says of itself besides its content: when it was made, and the identifiers by which
// hypervisors tell disks apart. The zero Identity is that of a file made now, unlike any other.
type Identity struct {
	At   time.Time
	UUID func(what string) string // draws the identifier of that name
}

func (i Identity) id(what string) uuid.UUID {
	if i.UUID != nil {
		if id, err := uuid.Parse(i.UUID("output " + what)); err == nil {
			return id
		}
	}
	return uuid.New()
}

func (i Identity) time() time.Time {
	if i.At.IsZero() {
		return time.Now().UTC()
	}
	return i.At
}

// As is the format as files with this identity are written.
func (f Format) As(id Identity) Format {
	if draw := id.UUID; f.kept != nil && len(f.kept.IDs) > 0 {
		id.UUID = func(what string) string {
			if old := f.kept.IDs[strings.TrimPrefix(what, "output ")]; old != "" || draw == nil {
				return old
			}
			return draw(what)
		}
	}
	f.identity = id
	return f
}
