package feature

// WithTables is what has to be added so that that much is free: inode tables take some 2 % of an ext4.
func WithTables(missing int64) int64 { return WholeMiB(missing + missing/32 + 1<<20) }

func WholeMiB(n int64) int64 { return (n + 1<<20 - 1) >> 20 << 20 }

// GrowTries bounds how often a filesystem is grown again because its own tables took a part of what was
// added.
const GrowTries = 4
