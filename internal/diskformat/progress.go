package diskformat

import "time"

// pace is the least time between two reports: a copy of 100 GiB would make thousands.
const pace = 100 * time.Millisecond

// Paced passes on the first report, the last one, where done is total, and those in between that do
// not follow one another too fast. It turns nil into a function too.
func Paced(progress func(done, total int64)) func(done, total int64) {
	if progress == nil {
		return func(int64, int64) {}
	}
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); done == total || now.Sub(last) >= pace {
			last = now
			progress(done, total)
		}
	}
}
