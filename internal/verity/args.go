package verity

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Device is a verity device as kernel arguments describe it to systemd-veritysetup-generator(8).
type Device struct {
	Name       string // root or usr
	RootHash   string // in hexadecimal
	Data, Hash string // partitions, as fstab names them, such as PARTUUID=...
	Options    []string
}

// Names are the devices that systemd knows by name, each with where it is mounted.
var Names = map[string]string{"root": "/", "usr": "/usr"}

// Node is the path of a device's node in the running system.
func Node(name string) string { return "/dev/mapper/" + name }

const initrdSwitch = "rd.systemd.verity"

// Args are the kernel arguments that set the devices up.
func Args(devices []Device) []string {
	args := []string{initrdSwitch + "=1"}
	for _, d := range devices {
		args = append(args, d.Name+"hash="+d.RootHash, d.key("data")+"="+d.Data, d.key("hash")+"="+d.Hash)
		if len(d.Options) > 0 {
			args = append(args, d.key("options")+"="+strings.Join(d.Options, ","))
		}
	}
	return args
}

// ArgNames are the names of all kernel arguments that Args may give for a device.
func ArgNames(name string) []string {
	d := Device{Name: name}
	return []string{initrdSwitch, name + "hash", d.key("data"), d.key("hash"), d.key("options")}
}

func (d Device) key(what string) string { return "systemd.verity_" + d.Name + "_" + what }

// Parse finds the devices that kernel arguments describe, root first. A later argument beats an
// earlier one of its name.
func Parse(args []string) (devices []Device, err error) {
	values := map[string]string{}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		values[key] = value
	}
	for _, name := range []string{"root", "usr"} {
		d := Device{Name: name, RootHash: values[name+"hash"]}
		if d.RootHash == "" {
			continue
		}
		d.Data, d.Hash = values[d.key("data")], values[d.key("hash")]
		if o := values[d.key("options")]; o != "" {
			d.Options = strings.Split(o, ",")
		}
		if _, err := hex.DecodeString(d.RootHash); err != nil || d.Data == "" || d.Hash == "" {
			return nil, fmt.Errorf("the kernel arguments %shash, %s and %s do not describe a verity device completely", name, d.key("data"), d.key("hash"))
		}
		devices = append(devices, d)
	}
	return devices, nil
}

const hashOffset = "hash-offset="

// HashOffset is where the superblock lies on the hash partition, in bytes.
func (d Device) HashOffset() (int64, error) {
	for _, o := range d.Options {
		if n, ok := strings.CutPrefix(o, hashOffset); ok {
			return strconv.ParseInt(n, 10, 64)
		}
	}
	return 0, nil
}

// WithHashOffset returns the device with this offset among its options.
func (d Device) WithHashOffset(n int64) Device {
	d.Options = slices.DeleteFunc(slices.Clone(d.Options), func(o string) bool { return strings.HasPrefix(o, hashOffset) })
	if n > 0 {
		d.Options = append(d.Options, hashOffset+strconv.FormatInt(n, 10))
	}
	return d
}

const signature = "root-hash-signature="

// Signed tells whether the kernel demands a signature of the root hash.
func (d Device) Signed() bool { return d.SignaturePath() != "" }

// SignaturePath is the file with a signature of the root hash; empty where there is none.
func (d Device) SignaturePath() string {
	for _, o := range d.Options {
		if file, ok := strings.CutPrefix(o, signature); ok {
			return file
		}
	}
	return ""
}

// BootArg is the kernel argument that has our dracut module mount the filesystem of that UUID at
// /boot in the initramfs, where signatures lie.
func BootArg(uuid string) string { return "pre.verity.mount=" + uuid }
