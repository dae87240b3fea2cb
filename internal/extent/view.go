package extent

import "os"

// View is a file whose bytes may lie in other files, where reading them takes less.
type View struct {
	*os.File
	// Where, if it is not nil, is the file that has the bytes from an offset on, at the same offset, up to
	// stop, which is at most end; nil where they are zeros.
	Where func(at, end int64) (f *os.File, stop int64)
}

// In is the file to read from an offset on, up to stop, which is at most end; nil where there are zeros.
func (v View) In(at, end int64) (f *os.File, stop int64) {
	if v.Where == nil {
		return v.File, end
	}
	return v.Where(at, end)
}
