package apt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// aptIndex is what the package indexes of a run say, fetched by ourselves: programs of the image have no
// hand in it. The image's apt checks who signed the release; that the indexes are those of the release
// has been checked here.
type aptIndex struct {
	store    *pkgmgr.Store
	client   *http.Client
	releases []*release
	complete bool // every source was read, so that a name that is nowhere does not exist
}

// release is the signed list of the indexes of one suite.
type release struct {
	base     string // address of the folder that its names are relative to
	inline   bool   // signed in one file, InRelease
	text     []byte
	modified time.Time
	files    map[string]listed
	suites   []string
	byHash   bool
	noAll    bool // packages for all architectures are in the index of each
	indexes  []packagesFile
}

// listed is a file that a release names.
type listed struct {
	sum  pkgmgr.Digest
	size int64
}

// packagesFile is an index of packages that the store has.
type packagesFile struct {
	name string // below the release's folder
	listed
}

// Limits on what a server may make of us, in bytes.
const (
	maxRelease  = 16 << 20
	maxPackages = 4 << 30
)

// fetchApt reads the indexes of all entries. Sources that it cannot read are apt's to read.
func fetchApt(ctx context.Context, st *pkgmgr.Store, entries []aptEntry, archs []string) *aptIndex {
	x := &aptIndex{store: st, client: pkgmgr.NewClient(), complete: true}
	defer x.client.CloseIdleConnections()
	var wg sync.WaitGroup
	var lock sync.Mutex
	for _, part := range parts(entries, archs) {
		wg.Go(func() {
			r, err := part.fetch(ctx, x.client, st)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				slog.Debug("an index is left to apt", "source", pkgmgr.ShownURL(part.base), "error", err)
				x.complete = false
			}
			if r != nil {
				x.releases = append(x.releases, r)
			}
		})
	}
	wg.Wait()
	return x
}

// with is the same with a store that is open.
func (x *aptIndex) with(st *pkgmgr.Store) *aptIndex {
	y := *x
	y.store = st
	return &y
}

// hasSuite tells whether a release goes by that name.
func (x *aptIndex) hasSuite(name string) bool {
	return slices.ContainsFunc(x.releases, func(r *release) bool { return slices.Contains(r.suites, name) })
}

// releasePart is what entries want of one suite.
type releasePart struct {
	base  string
	names []string
}

// parts collects the indexes that the entries want, by suite.
func parts(entries []aptEntry, archs []string) (list []*releasePart) {
	for _, e := range entries {
		if !e.binary {
			continue
		}
		mine := append(slices.Clone(e.archs), "all")
		if len(e.archs) == 0 {
			mine = append(slices.Clone(archs), "all")
		}
		for _, uri := range e.uris {
			for _, suite := range e.suites {
				base := strings.TrimSuffix(uri, "/") + "/" + suiteDir(native(suite, archs))
				i := slices.IndexFunc(list, func(p *releasePart) bool { return p.base == base })
				if i < 0 {
					i = len(list)
					list = append(list, &releasePart{base: base})
				}
				list[i].want(suite, e.components, mine, archs)
			}
		}
	}
	return list
}

func native(text string, archs []string) string { return strings.ReplaceAll(text, "$(ARCH)", archs[0]) }

func (p *releasePart) want(suite string, components, mine, archs []string) {
	names := []string{"Packages"}
	if !strings.HasSuffix(suite, "/") {
		names = nil
		for _, c := range components {
			for _, a := range mine {
				names = append(names, native(c, archs)+"/binary-"+a+"/Packages")
			}
		}
	}
	for _, n := range names {
		if !slices.Contains(p.names, n) {
			p.names = append(p.names, n)
		}
	}
}

// fetch reads the release and those of its indexes that the store lacks.
func (p *releasePart) fetch(ctx context.Context, c *http.Client, st *pkgmgr.Store) (*release, error) {
	r, err := fetchRelease(ctx, c, p.base)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range p.names {
		plain, is := r.files[name]
		if (!is || r.noAll) && strings.HasSuffix(name, "-all/Packages") {
			continue
		}
		if !is {
			errs = append(errs, fmt.Errorf("the release does not name %s", name))
			continue
		}
		if !st.Has(plain.sum) {
			if err := r.fetchIndex(ctx, c, st, name, plain); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		r.indexes = append(r.indexes, packagesFile{name, plain})
	}
	return r, errors.Join(errs...)
}

func fetchRelease(ctx context.Context, c *http.Client, base string) (*release, error) {
	r := &release{base: base, inline: true}
	err := r.get(ctx, c, base+"InRelease")
	if status, is := errors.AsType[pkgmgr.HTTPStatus](err); is && status == http.StatusNotFound {
		r.inline = false
		err = r.get(ctx, c, base+"Release")
	}
	if err != nil {
		return nil, err
	}
	return r, r.parse()
}

func (r *release) get(ctx context.Context, c *http.Client, url string) error {
	body, header, err := pkgmgr.Get(ctx, c, url)
	if err != nil {
		return err
	}
	defer body.Close()
	if r.text, err = io.ReadAll(io.LimitReader(body, maxRelease+1)); err != nil || len(r.text) > maxRelease {
		return errors.Join(err, fmt.Errorf("%s cannot be read, or has more than %d MiB", url, maxRelease>>20))
	}
	if r.modified, err = http.ParseTime(header.Get("Last-Modified")); err != nil {
		r.modified = time.Now()
	}
	return nil
}

// parse reads the SHA-256 sums. Of a file signed inline only what the signature covers counts.
func (r *release) parse() error {
	r.files = map[string]listed{}
	lines := bufio.NewScanner(strings.NewReader(string(r.text)))
	lines.Buffer(nil, 64<<10)
	signed, field := !r.inline, ""
	for lines.Scan() {
		line := lines.Text()
		switch {
		case r.inline && strings.HasPrefix(line, "-----BEGIN PGP SIGNED"):
			signed = true
		case r.inline && strings.HasPrefix(line, "-----"):
			signed = false
		case !signed:
		case strings.HasPrefix(line, " "):
			if words := strings.Fields(line); field == "SHA256" && len(words) == 3 {
				sum, ok := pkgmgr.ParseDigest(words[0])
				size, err := strconv.ParseInt(words[1], 10, 64)
				if ok && err == nil && size >= 0 {
					r.files[words[2]] = listed{sum, size}
				}
			}
		default:
			var value string
			field, value, _ = strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			if field == "Suite" || field == "Codename" || field == "Version" {
				r.suites = append(r.suites, value)
			}
			r.byHash = r.byHash || field == "Acquire-By-Hash" && value == "yes"
			r.noAll = r.noAll || field == "Architectures" && !slices.Contains(strings.Fields(value), "all") || field == "No-Support-for-Architecture-all" && value == "Packages"
		}
	}
	return lines.Err()
}

// fetchIndex downloads an index into the store, in the first form that the server has.
func (r *release) fetchIndex(ctx context.Context, c *http.Client, st *pkgmgr.Store, name string, plain listed) error {
	if plain.size > maxPackages {
		return fmt.Errorf("%s claims to have %d GiB", name, plain.size>>30)
	}
	var errs []error
	for _, form := range pkgmgr.Compressions {
		file, is := r.files[name+form.Suffix]
		if !is {
			continue
		}
		urls := []string{r.base + name + form.Suffix}
		if r.byHash {
			urls = append([]string{r.base + path.Dir(name) + "/by-hash/SHA256/" + file.sum.String()}, urls...)
		}
		for _, url := range urls {
			err := fetchInto(ctx, c, st, url, plain, form.Open)
			if err == nil || ctx.Err() != nil {
				return ctx.Err()
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, fmt.Errorf("no form of %s could be fetched", name))...)
}

func fetchInto(ctx context.Context, c *http.Client, st *pkgmgr.Store, url string, plain listed, open func(io.Reader) (io.Reader, error)) error {
	body, _, err := pkgmgr.Get(ctx, c, url)
	if err != nil {
		return err
	}
	defer body.Close()
	unpacked, err := open(body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if err := st.Add(plain.sum, io.LimitReader(unpacked, plain.size+1)); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// put shows the indexes to apt: as those that it has fetched the last time.
func (x *aptIndex) put(ctx context.Context, lists *rootfs.Root) error {
	for _, r := range x.releases {
		if !r.inline {
			continue
		}
		for _, f := range r.indexes {
			name := aptListName(r.base + f.name)
			err := x.store.CopyTo(f.sum, lists, name)
			if errors.Is(err, pkgmgr.ErrDamaged) {
				if err = r.fetchIndex(ctx, x.client, x.store, f.name, f.listed); err == nil {
					err = x.store.CopyTo(f.sum, lists, name)
				}
			}
			if err != nil {
				return err
			}
		}
		if err := r.put(lists); err != nil {
			return err
		}
	}
	return nil
}

// put writes the release as a server would date it, so that apt asks whether there is a newer one.
func (r *release) put(lists *rootfs.Root) error {
	f, err := lists.Create(aptListName(r.base+"InRelease"), 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(r.text)
	at := unix.NsecToTimeval(r.modified.UnixNano())
	return errors.Join(err, unix.Futimes(int(f.Fd()), []unix.Timeval{at, at}), f.Close())
}

// each calls use for every package that the indexes name.
func (x *aptIndex) each(use func(*stanza)) error {
	var errs []error
	for _, r := range x.releases {
		for _, f := range r.indexes {
			errs = append(errs, x.store.Read(f.sum, func(in io.Reader) error { return eachStanza(in, use) }))
		}
	}
	return errors.Join(errs...)
}

// aptListName is the file of apt's lists that an address is kept in.
func aptListName(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if host, tail, is := strings.Cut(rest, "/"); is {
		rest = host[strings.LastIndex(host, "@")+1:] + "/" + tail
	}
	var b strings.Builder
	for _, c := range []byte(rest) {
		switch {
		case c == '/':
			b.WriteByte('_')
		case c <= ' ' || c >= 0x7f || strings.IndexByte(`\|{}[]<>"^~_=!@#$%&*`, c) >= 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
