package output

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/sandbox"
)

// Checksum makes the output PATH.sha256, which "sha256sum -c" reads, for a finished p. Hand it to
// Publish *before* p: whoever sees the new p then finds its checksum there. progress, which may be
// nil, gets bytes of the file.
func Checksum(ctx context.Context, p *Pending, progress func(done, total int64)) (*Pending, error) {
	sum, err := sha256File(ctx, p, diskformat.Paced(progress))
	if err != nil {
		return nil, fmt.Errorf("cannot compute the SHA-256 of the output %q: %w", p.path, err)
	}
	c, err := Create(p.path+".sha256", p.keep)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c.file, checksumLine(sum, filepath.Base(p.path))); err != nil {
		c.Discard()
		return nil, fmt.Errorf("cannot write the checksum file %q: %w", c.path, explain(err, sandbox.Path(c.dir)))
	}
	return c, nil
}

// checksumLine is a line of sha256sum: a name with a backslash or a line break is escaped, and the
// line then begins with a backslash (GNU coreutils manual, "md5sum invocation").
func checksumLine(sum, name string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
	mark := ""
	if escaped != name {
		mark = `\`
	}
	return mark + sum + "  " + escaped + "\n"
}

// sha256File hashes the file; its holes are hashed without being read.
func sha256File(ctx context.Context, p *Pending, progress func(done, total int64)) (string, error) {
	fi, err := p.file.Stat()
	if err != nil {
		return "", err
	}
	h, buffer := sha256.New(), make([]byte, mib)
	for at := int64(0); at < fi.Size(); at += mib {
		piece := buffer[:min(mib, fi.Size()-at)]
		found, err := extent.Read(p.File(), piece, at)
		if err != nil {
			return "", err
		}
		if !found {
			clear(piece)
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		h.Write(piece)
		progress(at+int64(len(piece)), fi.Size())
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
