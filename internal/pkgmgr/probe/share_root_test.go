//go:build root

package probe

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/pkgmgr"
)

// victim is a package of which a hostile image has a version of its own, of the same size.
func victim(says string) pkg {
	return pkg{control: "victim", files: map[string]string{"usr/share/victim": says}}
}

// TestNothingOfAnImageIsTrustedByALaterRun has images whose programs put a package of their own where
// downloads are taken from, each in another way. None gets into a later run of a good image; and nothing
// of it stays in the cache, but where a downright index of its own names it.
func TestNothingOfAnImageIsTrustedByALaterRun(t *testing.T) {
	lower := debian(t)
	evil, _ := victim("EVIL").build()
	good, _ := victim("GOOD").build()
	repo := serve(t, victim("GOOD"))
	real := "/usr/bin/apt-get.real"
	for name, script := range map[string]string{
		"written":          "cp /evil.deb $A/victim_1.0_all.deb",
		"among downloads":  real + ` "$@"; cp /evil.deb $A/victim_1.0_all.deb; echo more >> $A/victim_1.0_all.deb; cp /evil.deb $A/victim_1.0_all.deb`,
		"link":             "ln -s /evil.deb $A/victim_1.0_all.deb",
		"hard link":        "cp /evil.deb $A/x; ln $A/x $A/victim_1.0_all.deb",
		"index rewritten":  real + ` "$@"; for f in $L/*Packages; do s=$(sha256sum </evil.deb); sed -i "s/^SHA256:.*/SHA256: ${s%% *}/" $f; done; cp /evil.deb $A/victim_1.0_all.deb`,
		"release as well":  real + ` "$@"; s=$(sha256sum </evil.deb); for f in $L/*; do [ -f $f ] && sed -i "s/^SHA256: .*/SHA256: ${s%% *}/; s/^Date: .*/Date: Fri, 01 Jan 2100 00:00:00 UTC/" $f; done; cp /evil.deb $A/victim_1.0_all.deb`,
		"keeps on writing": `cp /evil.deb $A/victim_1.0_all.deb; setsid sh -c 'while :; do cp /evil.deb '$A'/victim_1.0_all.deb; ln -sf /evil.deb '$A'/x.deb; done' >/dev/null 2>&1 </dev/null &`,
		"pipe":             "mkfifo $A/victim_1.0_all.deb",
		"folder swapped":   "rm -rf $A/partial; ln -s /root $A/partial; mkdir -p $A/a/b; cp /evil.deb $A/a/b/victim_1.0_all.deb",
		"parsed index":     real + ` "$@"; cp /evil.deb $A/victim_1.0_all.deb; echo junk > ` + pkgmgr.Work + `/parsed/pkgcache.bin`,
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			sources := map[string]string{signingKey: key(t), "/etc/apt/sources.list": repo.source()}
			hostile := map[string]string{
				"/evil.deb": string(evil), "/usr/bin/dpkg-query": "#!/bin/sh\nprintf installed\n",
				"/usr/bin/apt-get": "#!/bin/sh\nA=" + pkgmgr.Work + "/archives L=" + pkgmgr.Work + "/lists\n" + script + "\nexit 0\n",
			}
			text, err := os.ReadFile(lower + "/usr/bin/apt-get")
			must(t, err)
			hostile[real] = string(text)
			for n, s := range sources {
				hostile[n] = s
			}
			bad := over(t, lower, cache, hostile)
			_ = session(t.Context(), bad, pkgmgr.Options{}, install(t.Context(), "victim")) // may fail or not
			for _, f := range cached(t, cache) {
				if text, _ := os.ReadFile(f); string(text) == string(evil) {
					t.Error("the hostile package is in the cache")
				}
			}
			m := over(t, lower, cache, sources)
			must(t, session(t.Context(), m, pkgmgr.Options{}, install(t.Context(), "victim")))
			if got, err := m.Root.ReadFile("/usr/share/victim"); err != nil || string(got) != "GOOD" {
				t.Errorf("installed: %q %v", got, err)
			}
			found := false
			for _, f := range cached(t, cache) {
				text, _ := os.ReadFile(f)
				found = found || string(text) == string(good)
			}
			if !found {
				t.Error("the good package was not kept")
			}
		})
	}
}

// TestUnchangedIsNotFetchedTwice counts what the archive sends to a second run, and to one after the
// archive has changed.
func TestUnchangedIsNotFetchedTwice(t *testing.T) {
	lower, cache := debian(t), t.TempDir()
	repo := serve(t, victim("GOOD"))
	files := map[string]string{signingKey: key(t), "/etc/apt/sources.list": repo.source()}
	run := func(want, packages, debs string) {
		t.Helper()
		m := over(t, lower, cache, files)
		must(t, session(t.Context(), m, pkgmgr.Options{}, install(t.Context(), "victim")))
		if got, _ := m.Root.ReadFile("/usr/share/victim"); string(got) != want {
			t.Errorf("installed: %q", got)
		}
		if got := fmt.Sprint(repo.got("Packages"), repo.got(".deb")); got != packages+" "+debs {
			t.Errorf("indexes and packages sent: %s", got)
		}
	}
	run("GOOD", "1", "1")
	run("GOOD", "1", "1")
	repo.set(victim("NEWER"))
	run("NEWER", "1", "1")
	for _, f := range cached(t, cache) { // what is damaged is fetched again, once
		must(t, os.WriteFile(f, []byte("damaged"), 0o644))
	}
	run("NEWER", "2", "2")
	run("NEWER", "2", "2")
}

// TestSilentServer ends where a server takes connections and says nothing: apt would try for minutes.
func TestSilentServer(t *testing.T) {
	end := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer silent.Close()
	defer close(end)
	oldUnheard, oldSilence := pkgmgr.Unheard, pkgmgr.Silence
	pkgmgr.Unheard, pkgmgr.Silence = 2*time.Second, time.Second // but not Stall, which is longer
	defer func() { pkgmgr.Unheard, pkgmgr.Silence = oldUnheard, oldSilence }()
	m := over(t, debian(t), t.TempDir(), map[string]string{"/etc/apt/sources.list": "deb [trusted=yes] " + silent.URL + " stable main\n"})
	if got := faults(Of(m.Facts).Check(t.Context(), m, pkgmgr.Options{}, []string{"victim"}, nil, nil)); got != "" {
		t.Errorf("that an index cannot be read is no fault of a name: %s", got)
	}
	start := time.Now()
	err := session(t.Context(), m, pkgmgr.Options{}, install(t.Context(), "victim"))
	if err == nil || !strings.Contains(err.Error(), "no server of packages has sent anything for 2s") || time.Since(start) > time.Minute {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}

func cached(t *testing.T, dir string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
			if strings.HasSuffix(name, ".bin") || strings.HasSuffix(name, ".gpg") {
				t.Errorf("%s is in the cache", name)
			}
		}
		return err
	}))
	return files
}
