package extent

import "os"

// Extent is a byte range of a file, of data or of nothing but a hole.
type Extent struct {
	At, Size int64
	Hole     bool
}

// List cuts a range of a file at its holes of at least some size; smaller ones go with the data. A range that is
// all hole is one extent.
func List(f *os.File, at, size, leastHole int64) (list []Extent, err error) {
	end := at + size
	for pos := at; pos < end; {
		data, hole, err := Next(int(f.Fd()), pos, end)
		if err != nil {
			return nil, err
		}
		if data-pos >= leastHole || data == end {
			list = append(list, Extent{pos, data - pos, true})
			pos = data
		}
		for hole > pos && hole < end { // take small holes along
			next, after, err := Next(int(f.Fd()), hole, end)
			if err != nil {
				return nil, err
			}
			if next-hole >= leastHole || next == end {
				break
			}
			hole = after
		}
		if hole > pos {
			list = append(list, Extent{pos, hole - pos, false})
		}
		pos = max(hole, data)
	}
	return list, nil
}
