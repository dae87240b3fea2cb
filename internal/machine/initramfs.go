package machine

import "time"

// Initramfs is what an initramfs image was found to be.
type Initramfs struct {
	Size    int64
	Time    time.Time         // when it was made
	Format  string            // of its compression
	Plain   int64             // its size without, in bytes
	Builder string            // program that made it, as far as that can be told
	Drivers map[string]string // path below its folder of modules, by name; nil where it cannot be read
}
