package apt

import (
	"io/fs"
	"path"
	"strings"
	"syscall"

	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

const (
	policyRCD  = "/usr/sbin/policy-rc.d"
	policyText = "#!/bin/sh\nexit 101\n"
)

// blockServices keeps packages from starting services, by the interface that invoke-rc.d(8) and
// deb-systemd-invoke(1) ask. One that the image has is put back.
func blockServices(s *pkgmgr.Session) error {
	root := s.Machine.Root
	const aside = policyRCD + ".imagecustomizer"
	_, err := root.Lstat(policyRCD)
	had := err == nil
	if had {
		if err := root.Rename(policyRCD, aside); err != nil {
			return err
		}
	}
	if err := root.WriteFile(policyRCD, []byte(policyText), 0o755); err != nil {
		return err
	}
	fi, err := root.Lstat(policyRCD)
	if err != nil {
		return err
	}
	s.Undo(func() error {
		ours := findPolicy(s.Machine.Root, inode(fi))
		switch {
		case had && ours != "":
			return root.Rename(aside, ours)
		case had:
			return root.Remove(aside)
		case ours != "":
			return root.Remove(ours)
		}
		return nil
	})
	return nil
}

// findPolicy finds our file, which a diversion may have moved. One that a package or script has put in
// its place, or that it has changed or removed, is theirs.
func findPolicy(root *rootfs.Root, ours uint64) string {
	entries, _ := root.ReadDir(path.Dir(policyRCD))
	for _, e := range entries {
		name := path.Join(path.Dir(policyRCD), e.Name())
		if !strings.HasPrefix(name, policyRCD) {
			continue
		}
		fi, err := e.Info()
		if err != nil || inode(fi) != ours {
			continue
		}
		if text, err := root.ReadFile(name); err == nil && string(text) == policyText {
			return name
		}
	}
	return ""
}

func inode(fi fs.FileInfo) uint64 {
	if st, is := fi.Sys().(*syscall.Stat_t); is {
		return st.Ino
	}
	return 0
}
