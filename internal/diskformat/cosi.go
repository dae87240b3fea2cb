package diskformat

import "io"

// What is made of partitions is written by the package output.
var (
	cosi = Format{
		Name: "cosi", Extensions: []string{".cosi"}, About: "Composable OS Image: compressed partitions, filesystems shrunk, and a description",
		Parts: true, compressed: true, check: checkMagic(cosiMarker),
	}
	baremetal = Format{
		Name: "baremetal-image", Shares: ".vhd", About: "COSI at the highest compression, with the footer of a fixed VHD",
		Parts: true, compressed: true, check: checkBaremetal,
	}
)

// cosiMarker is the first name in the archive.
const cosiMarker = "cosi-marker"

// checkBaremetal checks a COSI that is the content of a fixed VHD.
func checkBaremetal(r io.ReaderAt, s sizes) error {
	if err := checkMagic(cosiMarker)(r, s); err != nil {
		return err
	}
	return checkFixedVHD(r, sizes{file: s.file, disk: s.file - footerSize})
}
