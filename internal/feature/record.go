package feature

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path/filepath"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostfs"
)

// RecordIf is a record, where a section is used.
func RecordIf(used bool, v any) (any, error) {
	if !used {
		return nil, nil
	}
	return v, nil
}

// RecordEach lists a record for every item.
func RecordEach[T any](items []T, record func(T) (map[string]any, error)) (any, error) {
	var list []any
	for _, i := range items {
		r, err := record(i)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return RecordIf(len(list) > 0, list)
}

// RecordText records the hash of a text, and under key the file that it is read from, if it is not in the config.
func RecordText(d map[string]any, key string, file config.Path, text *string) (err error) {
	if file.Text == "" {
		d["sha256hash"] = hashText(*text)
		return nil
	}
	d[key] = file.Text
	d["sha256hash"], err = hashFile(file.Resolved)
	return err
}

// HashTree hashes the files below a directory of the build host.
func HashTree(dir string) (map[string]string, error) {
	hashes := map[string]string{}
	return hashes, hostfs.Walk(dir, func(name string, isDir bool) error {
		if isDir {
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err == nil {
			hashes[rel], err = hashFile(name)
		}
		return err
	})
}

func hashText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func hashFile(name string) (string, error) {
	f, _, err := hostfs.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
