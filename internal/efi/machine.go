package efi

// machines are architectures, as uname -m calls them: what the names of their programs end in (UEFI specification,
// "Removable media boot behavior"), and their number in PE headers, 0 where nothing here reads programs for them.
var machines = map[string]struct {
	suffix string
	number uint16
}{
	"x86_64":      {"x64", 0x8664},
	"aarch64":     {"aa64", 0xaa64},
	"i686":        {"ia32", 0},
	"riscv64":     {"riscv64", 0},
	"loongarch64": {"loongarch64", 0},
}

// Suffix is what the names of EFI programs for an architecture end in before .efi, such as x64; empty where it is not known.
func Suffix(arch string) string { return machines[arch].suffix }

// Machine is the number of an architecture in the header of its programs; 0 where it is not known.
func Machine(arch string) uint16 { return machines[arch].number }
