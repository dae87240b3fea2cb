package rpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// transact does a transaction that downloads packages: what other runs have downloaded is put where the
// package manager looks for it, and what tdnf downloads is compared before it installs it, which the old
// one does not do itself.
func (r *transactions) transact(ctx context.Context, args ...string) (*rpmOutput, error) {
	if err := r.offer(ctx, args); err != nil {
		return nil, err
	}
	if r.compare {
		out, err := r.run(ctx, reposDir, append([]string{"--downloadonly"}, args...)...)
		if wrong := r.damaged(); wrong != nil {
			return out, wrong
		}
		if err != nil {
			return out, err
		}
	}
	return r.run(ctx, reposDir, args...)
}

// isPackage tells whether a file of the downloads is a package.
func isPackage(name string) bool { return strings.HasSuffix(name, ".rpm") }

// damaged are the downloads that are not what the indexes name.
func (r *transactions) damaged() error {
	root, err := rootfs.New(r.s.Downloads())
	if err != nil {
		return err
	}
	defer root.Close()
	unknown := map[string][]string{} // by the file's name
	err = pkgmgr.EachFile(root, "/", downloadLevels, func(name string, _ *os.File) error {
		if isPackage(name) {
			unknown[path.Base(name)] = append(unknown[path.Base(name)], name)
		}
		return nil
	})
	if err != nil || len(unknown) == 0 {
		return err
	}
	err = r.eachIndexed(root, func(_, file string) bool { return unknown[file] != nil }, func(_ rpmIndex, p indexed) error {
		file := path.Base(p.Location.Href)
		unknown[file] = slices.DeleteFunc(unknown[file], func(name string) bool { return holds(root, name, p.Sum) })
		return nil
	})
	var wrong []string
	for _, file := range slices.Sorted(maps.Keys(unknown)) {
		for _, name := range unknown[file] {
			wrong = append(wrong, file)
			err = errors.Join(err, root.Remove(name))
		}
	}
	if len(wrong) > 0 {
		err = errors.Join(fmt.Errorf("what was downloaded is not what the index of its repository says: %s", strings.Join(wrong, ", ")), err)
	}
	return err
}

// downloadLevels is how deep below the downloads a repository's folders go.
const downloadLevels = 6

func holds(root *rootfs.Root, name string, sum checksum) bool {
	f, err := root.Open(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	same, err := sum.of(f)
	return same && err == nil
}

func (r *transactions) eachIndexed(root *rootfs.Root, want func(name, file string) bool, use func(rpmIndex, indexed) error) error {
	indexes, err := rpmIndexes(root)
	errs := []error{err}
	for _, x := range indexes {
		errs = append(errs, x.each(root, want, func(p indexed) error { return use(x, p) }))
	}
	return errors.Join(errs...)
}

// offer asks the package manager what it would do, and puts what the store has of that where it looks.
func (r *transactions) offer(ctx context.Context, args []string) error {
	if r.s.Store == nil || r.s.Store.Empty() {
		return nil
	}
	told := map[string][]string{} // lines by their first word
	options := slices.DeleteFunc(r.commandOptions(reposDir), func(o string) bool { return o == "--assumeyes" })
	ask := hostcmd.New(r.program, slices.Concat(options, []string{"--assumeno"}, args)...)
	ask.Label = r.program + " --assumeno " + strings.Join(args, " ")
	_ = r.s.Watch(ctx, ask, func(line string) { // it ends with an error, having been told no
		if f := strings.Fields(line); len(f) > 2 {
			told[f[0]] = f
		}
	})
	root, err := rootfs.New(r.s.Downloads())
	if err != nil {
		return err
	}
	defer root.Close()
	err = r.eachIndexed(root, func(name, _ string) bool { return told[name] != nil }, func(x rpmIndex, p indexed) error {
		version := p.Version.Version + "-" + p.Version.Release
		if !slices.Contains(told[p.Name], version) && !slices.Contains(told[p.Name], p.Version.Epoch+":"+version) {
			return nil
		}
		d, is := pkgmgr.ParseDigest(p.Sum.Value)
		if is && p.Sum.Type == "sha256" {
			return r.s.Offer(d, r.placeOf(x, p))
		}
		return nil
	})
	if err != nil {
		r.s.Machine.Log.Debug("packages of other runs are not used", "error", err)
	}
	return context.Cause(ctx)
}

// placeOf is where the package manager looks for a download.
func (r *transactions) placeOf(x rpmIndex, p indexed) string {
	file := path.Clean("/" + p.Location.Href)[1:]
	if r.ownConf {
		return path.Join(r.sectionOf(x), "rpms", file)
	}
	return path.Join(x.dir, "packages", path.Base(file))
}

// sectionOf is the name of the repository whose index lies in that folder: it begins with it.
func (r *transactions) sectionOf(x rpmIndex) (id string) {
	for _, s := range r.repos.enabled() {
		if strings.HasPrefix(x.dir, s.id) && len(s.id) > len(id) {
			id = s.id
		}
	}
	return id
}

// Named looks for the files in the indexes that prove to be the servers': what the image's programs have
// stored is compared with what we are given ourselves.
func (r *transactions) Named(files map[pkgmgr.Digest]string, use func(pkgmgr.Digest) error) error {
	root, err := rootfs.New(r.s.Downloads())
	if err != nil {
		return err
	}
	defer root.Close()
	names := map[string]bool{}
	for _, name := range files {
		names[path.Base(name)] = true
	}
	indexes, err := rpmIndexes(root)
	errs := []error{err}
	for _, x := range indexes {
		if !r.genuine(root, x) {
			continue
		}
		errs = append(errs, x.each(root, func(_, file string) bool { return names[file] }, func(p indexed) error {
			d, is := pkgmgr.ParseDigest(p.Sum.Value)
			if !is || p.Sum.Type != "sha256" || files[d] == "" {
				return nil
			}
			err := use(d)
			delete(files, d)
			return err
		}))
	}
	return errors.Join(errs...)
}

// genuine tells whether a server gives us the same index.
func (r *transactions) genuine(root *rootfs.Root, x rpmIndex) bool {
	f, err := x.open(root)
	if err != nil {
		return false
	}
	defer f.Close()
	if same, err := x.sum.of(f); err != nil || !same || x.sum.Type != "sha256" {
		return false
	}
	id := r.sectionOf(x)
	for _, s := range r.repos.enabled() {
		for _, base := range words(s.get("baseurl")) {
			if s.id != id || !strings.HasPrefix(base, "http") {
				continue
			}
			for _, address := range r.repos.vars.expand(strings.TrimSuffix(base, "/") + "/repodata/repomd.xml") {
				if text, err := fetch(address); err == nil && bytes.Equal(text, x.repomd) {
					return true
				}
			}
		}
	}
	return false
}

func fetch(address string) ([]byte, error) {
	body, _, err := pkgmgr.Get(context.Background(), pkgmgr.NewClient(), address)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxRepomd))
}

// received is where the session's downloads lie in the worker.
func (r *transactions) received(elements ...string) string {
	return filepath.Join(append([]string{r.s.Downloads()}, elements...)...)
}
