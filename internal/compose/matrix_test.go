package compose

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// matrixOf are the entries of a matrix, or what is wrong with it.
func matrixOf(t *testing.T, text string, selections ...string) (entries []string, problems string) {
	t.Helper()
	dir := tree(t, map[string]string{"top.yaml": text})
	m, report, err := LoadMatrix(filepath.Join(dir, "top.yaml"), &Files{Dir: dir}, selections)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	report.Render(&b, false)
	if m != nil && !report.Failed() {
		for _, e := range m.Entries {
			entries = append(entries, e.Label(m.Names))
		}
	}
	return entries, strings.ReplaceAll(b.String(), dir+"/", "")
}

// TestMatrixEntries: which runs a matrix comes to. The cases of include are those that GitHub documents, and those that
// other readers of such matrices were reported to get wrong.
func TestMatrixEntries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		matrix  string
		choices []string
		want    []string
	}{
		"all with all, the last changes fastest": {"{a: [1, 2], b: [x, y]}", nil, []string{"a=1, b=x", "a=1, b=y", "a=2, b=x", "a=2, b=y"}},
		"exclude takes out what has all its values": {
			"{a: [1, 2], b: [x, y], c: [p, q], exclude: [{a: 1, c: p}, {b: y}]}", nil,
			[]string{"a=1, b=x, c=q", "a=2, b=x, c=p", "a=2, b=x, c=q"},
		},
		"fruits and animals": {
			"{fruit: [apple, pear], animal: [cat, dog], include: [{color: green}, {color: pink, animal: cat}, {fruit: apple, shape: circle}, {fruit: banana}, {fruit: banana, animal: cat}]}", nil,
			[]string{
				"fruit=apple, animal=cat, color=pink, shape=circle", "fruit=apple, animal=dog, color=green, shape=circle",
				"fruit=pear, animal=cat, color=pink", "fruit=pear, animal=dog, color=green",
				"fruit=banana", "fruit=banana, animal=cat",
			},
		},
		"only include":                                {"{include: [{site: a, dc: x}, {site: b, dc: y}]}", nil, []string{"site=a, dc=x", "site=b, dc=y"}},
		"include changes no value of an axis":         {"{a: [1, 2], soft: [no], include: [{a: 1, soft: yes}]}", nil, []string{"a=1, soft=no", "a=2, soft=no", "a=1, soft=yes"}},
		"include brings back what was excluded":       {"{a: [1, 2], exclude: [{a: 1}], include: [{a: 1}]}", nil, []string{"a=2", "a=1"}},
		"everything is excluded, one thing is not":    {"{a: [1, 2], exclude: [{a: 1}, {a: 2}], include: [{a: 3, b: 4}]}", nil, []string{"a=3, b=4"}},
		"an entry that include added is not added to": {"{a: [1], include: [{a: 2}, {a: 2, b: x}]}", nil, []string{"a=1", "a=2", "a=2, b=x"}},
		"a number and its text are one value":         {"{a: ['1', 2], include: [{a: 1, b: x}]}", nil, []string{"a=1, b=x", "a=2"}},
		"digits stay as they are written":             {"{release: [3.10, 007, 1e3]}", nil, []string{"release=3.10", "release=007", "release=1e3"}},
		"one value":                                   {"{a: [1, 2], b: [x, y]}", []string{"b=x"}, []string{"a=1, b=x", "a=2, b=x"}},
		"values of two names":                         {"{a: [1, 2], b: [x, y]}", []string{"a=2,b=x"}, []string{"a=2, b=x"}},
		"alternatives":                                {"{a: [1, 2, 3]}", []string{"a=1,a=3"}, []string{"a=1", "a=3"}},
		"two selections":                              {"{a: [1, 2], b: [x, y]}", []string{"a=1,b=y", "a=2,b=x"}, []string{"a=1, b=y", "a=2, b=x"}},
		"what include adds":                           {"{a: [1, 2], include: [{a: 2, z: w}]}", []string{"z=w"}, []string{"a=2, z=w"}},
		"a value with an equals sign":                 {"{a: ['x=1', 'x=2']}", []string{"a=x=2"}, []string{"a=x=2"}},
	} {
		got, problems := matrixOf(t, "matrix: "+c.matrix+"\n", c.choices...)
		if diff := cmp.Diff(c.want, got); diff != "" || problems != "" {
			t.Errorf("%s (-want +got):\n%s%s", name, diff, problems)
		}
	}
}

// TestMatrixMistakes: each mistake has its place, and says what to write instead.
func TestMatrixMistakes(t *testing.T) {
	t.Parallel()
	many := "{a: [1,2,3,4,5,6,7,8,9,10], b: [1,2,3,4,5,6,7,8,9,10], c: [1,2,3,4,5,6,7,8,9,10], d: [1,2,3,4,5,6,7,8,9,10]}"
	for name, c := range map[string]struct {
		matrix  string
		choices []string
		want    string
	}{
		"no mapping":                   {"[a, b]", nil, "top.yaml:1:1: error: matrix: expected a mapping"},
		"no list":                      {"{a: x}", nil, "top.yaml:1:13: error: a: expected a list of values\n    1 | matrix: {a: x}\n                    ^\n        hint: write \"a: [x]\""},
		"no values":                    {"{a: [1], b: []}", nil, "top.yaml:1:18: error: b has no values"},
		"nothing":                      {"{}", nil, ""},
		"a list as value":              {"{a: [[1]]}", nil, "top.yaml:1:14: error: a: a value in a matrix is a text, a number, true or false"},
		"an empty value":               {"{a: ['']}", nil, "top.yaml:1:14: error: a: a value in a matrix is a text"},
		"null":                         {"{a: [1, null]}", nil, "top.yaml:1:17: error: a: a value in a matrix is a text"},
		"an expression":                {"{a: ['${{ x }}']}", nil, "top.yaml:1:14: error: a: a value in a matrix cannot be an expression"},
		"the same value twice":         {"{a: [1, '1']}", nil, "top.yaml:1:17: error: a has the value \"1\" twice"},
		"arch":                         {"{arch: [amd64, arm64]}", nil, "top.yaml:1:10: error: arch cannot be in a matrix"},
		"arch by include":              {"{a: [1], include: [{arch: arm64}]}", nil, "top.yaml:1:29: error: arch cannot be in a matrix"},
		"a name with a dot":            {"{a.b: [1]}", nil, "top.yaml:1:10: error: \"a.b\" cannot be a name in a matrix"},
		"exclude of no axis":           {"{profile: [x], exclude: [{profil: x}]}", nil, "top.yaml:1:35: error: exclude: profil is no axis of the matrix\n    1 | matrix: {profile: [x], exclude: [{profil: x}]}\n                                          ^^^^^^\n        hint: did you mean \"profile\"?"},
		"exclude of what include adds": {"{include: [{s: 1, build: false}], exclude: [{build: false}]}", nil, "top.yaml:1:54: error: exclude: build is no axis of the matrix"},
		"exclude of no value":          {"{a: [azure, aws], exclude: [{a: azur}]}", nil, "top.yaml:1:41: error: exclude: a is never \"azur\"\n    1 | matrix: {a: [azure, aws], exclude: [{a: azur}]}\n                                                ^^^^\n        hint: did you mean \"azure\"?"},
		"all excluded":                 {"{a: [1, 2], exclude: [{a: 1}, {a: 2}]}", nil, "top.yaml:1:1: error: the matrix has no entries: everything is excluded"},
		"include twice":                {"{a: [1], include: [{a: 2}, {a: 2}]}", nil, "top.yaml:1:36: error: the matrix has the entry a=2 already"},
		"include of a text":            {"{a: [1], include: [x]}", nil, "top.yaml:1:28: error: include: expected a mapping"},
		"include no list":              {"{a: [1], include: {a: 2}}", nil, "top.yaml:1:18: error: include: expected a list of mappings"},
		"10000 entries":                {many, nil, "top.yaml:1:1: error: the matrix has 10000 entries, of which one command runs 256 at most"},
		"10000 and a selection":        {many, []string{"a=1,b=2"}, ""},
		"too many to count":            {many[:len(many)-1] + ", e: [1, 2, 3]}", nil, "error: the axes of the matrix have more than 20000 combinations"},
		"selection of no name":         {"{profile: [x]}", []string{"profil=x"}, "--matrix-select profil=x: error: the matrix has no profil\n        hint: did you mean \"profile\"?"},
		"selection of no value":        {"{a: [xen, aws]}", []string{"a=zzzzz"}, "--matrix-select a=zzzzz: error: a is never \"zzzzz\" in the matrix\n        hint: it is one of xen, aws"},
		"no selection":                 {"{a: [x, y]}", []string{"a"}, "--matrix-select a: error: \"a\" selects nothing"},
		"an excluded selection":        {"{a: [1, 2], b: [x, y], exclude: [{a: 1, b: y}]}", []string{"a=1,b=y"}, "--matrix-select a=1,b=y: error: no entry of the matrix is that"},
	} {
		got, problems := matrixOf(t, "matrix: "+c.matrix+"\n", c.choices...)
		if !strings.Contains(problems, c.want) || (c.want == "") != (problems == "") {
			t.Errorf("%s: %d entries, problems:\n%s\nwant: %s", name, len(got), problems, c.want)
		}
	}
	if _, problems := matrixOf(t, "os: {hostname: x}\n", "a=1"); !strings.Contains(problems, "this one has none") {
		t.Errorf("a selection without a matrix: %s", problems)
	}
}

// each loads the config of each entry: the rendered texts by label, or what is wrong.
func each(t *testing.T, files map[string]string, o Options) (texts map[string]string, problems string) {
	t.Helper()
	dir := tree(t, files)
	top, read := filepath.Join(dir, "top.yaml"), &Files{Dir: dir}
	m, report, err := LoadMatrix(top, read, nil)
	if err != nil || report.Failed() {
		t.Fatal(err, report.Err())
	}
	results, report, err := m.LoadEntries(top, read, o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	report.Render(&b, false)
	problems = strings.ReplaceAll(b.String(), dir+"/", "")
	if report.Failed() {
		return nil, problems
	}
	texts = map[string]string{}
	for i, r := range results {
		text, _, err := r.Render(Rendering{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		texts[m.Entries[i].Label(m.Telling())] = string(text)
	}
	return texts, problems
}

// TestMatrixValues: what the values of an entry are good for.
func TestMatrixValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		o     Options
		want  map[string]string
	}{
		"in texts": {
			map[string]string{"top.yaml": "matrix: {site: [a, b]}\nos: {hostname: \"web-${{ matrix.site }}\"}"}, Options{},
			map[string]string{"site=a": "os:\n  hostname: web-a\n", "site=b": "os:\n  hostname: web-b\n"},
		},
		"the profile of that name, before those of flags": {
			map[string]string{"top.yaml": "matrix: {profile: [p, q]}\nprofiles:\n  p: {os: {hostname: p, packages: {install: [p]}}}\n  q:\n  r: {os: {packages: {install: [r]}}}"}, Options{Profiles: []string{"r", "p"}},
			map[string]string{"profile=p": "os:\n  hostname: p\n  packages:\n    install:\n    - p\n    - r\n", "profile=q": "os:\n  packages:\n    install:\n    - r\n    - p\n  hostname: p\n"},
		},
		"variables of that name, with their type": {
			map[string]string{"top.yaml": "variables: {n: {type: size, default: 1G}, on: {type: bool, default: false}}\nmatrix: {n: [2G, 3G], include: [{n: 3G, on: true}]}\nstorage: {resizeDisk: {size: \"${{ n }}\"}}\nscripts: {postCustomization: [{content: x, when: on}]}"}, Options{},
			map[string]string{"n=2G": "storage:\n  resizeDisk:\n    size: 2G\n", "n=3G, on=true": "storage:\n  resizeDisk:\n    size: 3G\nscripts:\n  postCustomization:\n  - content: x\n"},
		},
		"true and false are conditions, numbers are compared": {
			map[string]string{"top.yaml": "matrix: {soft: [true, false], n: [9, 10]}\nos:\n  hostname: h\n  users:\n  - {name: soft, when: matrix.soft}\n  - {name: ten, when: {matrix.n: 10}}\n  - {name: more, when: matrix.n > 9}"}, Options{},
			map[string]string{
				"soft=true, n=9": "os:\n  hostname: h\n  users:\n  - name: soft\n", "soft=true, n=10": "os:\n  hostname: h\n  users:\n  - name: soft\n  - name: ten\n  - name: more\n",
				"soft=false, n=9": "os:\n  hostname: h\n", "soft=false, n=10": "os:\n  hostname: h\n  users:\n  - name: ten\n  - name: more\n",
			},
		},
		"which files are included": {
			map[string]string{
				"top.yaml": "variables: {x: {type: string, default: x1}}\nmatrix: {role: [a, b]}\ninclude: [\"${{ matrix.role }}.yaml\"]\n",
				"a.yaml":   "os: {hostname: \"${{ x }}\"}", "b.yaml": "os: {hostname: b}",
			}, Options{},
			map[string]string{"role=a": "os:\n  hostname: x1\n", "role=b": "os:\n  hostname: b\n"},
		},
		"in included files and profiles": {
			map[string]string{"top.yaml": "matrix: {s: [a]}\ninclude: [i.yaml]\nprofiles: {p: {os: {packages: {install: [\"${{ matrix.s }}\"]}}}}", "i.yaml": "os: {hostname: \"${{ matrix.s }}\"}"},
			Options{Profiles: []string{"p"}}, map[string]string{"": "os:\n  hostname: a\n  packages:\n    install:\n    - a\n"},
		},
		"the digits of a text": {
			map[string]string{"top.yaml": "matrix: {v: [3.10, '3.9']}\nos: {hostname: \"h${{ matrix.v }}\"}"}, Options{},
			map[string]string{"v=3.10": "os:\n  hostname: h3.10\n", "v=3.9": "os:\n  hostname: h3.9\n"},
		},
		"what depends on the base image too": {
			map[string]string{"top.yaml": "matrix: {s: [a, b]}\nos: {hostname: h, users: [{name: u, when: \"matrix.s == 'a' && distro == 'debian'\"}]}"}, Options{},
			map[string]string{"s=a": "include:\n- config:\n    os:\n      hostname: h\n      users:\n      - name: u\n        when: distro == \"debian\"\n", "s=b": "os:\n  hostname: h\n"},
		},
	} {
		got, problems := each(t, c.files, c.o)
		if diff := cmp.Diff(c.want, got); diff != "" || problems != "" {
			t.Errorf("%s (-want +got):\n%s%s", name, diff, problems)
		}
	}
}

// TestMatrixValueMistakes: what is wrong with entries is said once, where it stands, with the entry that it is of.
func TestMatrixValueMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		o     Options
		want  []string
	}{
		"a profile that is not there": {
			map[string]string{"top.yaml": "matrix: {profile: [azur, aws]}\nprofiles:\n  azure: {os: {hostname: x}}\n  aws: {os: {hostname: y}}"}, Options{},
			[]string{"top.yaml:1:20: error: there is no profile azur: did you mean \"azure\"? (profile=azur)\n"},
		},
		"a value that the variable's type does not have": {
			map[string]string{"top.yaml": "variables: {role: {type: enum, values: [web, db]}}\nmatrix: {role: [web, dbs]}\nos: {hostname: \"${{ role }}\"}"}, Options{},
			[]string{"top.yaml:2:22: error: \"dbs\" is no value of role: did you mean \"db\"? (role=dbs)\n"},
		},
		"a value that some entries lack": {
			map[string]string{"top.yaml": "matrix: {a: [x, y], include: [{a: x, b: z}]}\nos: {hostname: \"${{ matrix.a }}${{ matrix.b }}\"}"}, Options{},
			[]string{"top.yaml:2:16: error: the entry a=y of the matrix has no b: give it one, or declare a variable b with a default"},
		},
		"a name that the matrix has not": {
			map[string]string{"top.yaml": "matrix: {profile: [p]}\nos: {hostname: \"${{ matrix.profil }}\"}\nprofiles: {p: }"}, Options{},
			[]string{"top.yaml:2:16: error: the matrix has no profil: did you mean \"profile\"?\n"},
		},
		"a comparison that is never true": {
			map[string]string{"top.yaml": "matrix: {a: [web, db]}\nos: {hostname: h, users: [{name: u, when: \"matrix.a == 'wbe'\"}]}"}, Options{},
			[]string{"matrix.a is never \"wbe\": did you mean \"web\"?\n"},
		},
		"an axis that nobody uses": {
			map[string]string{"top.yaml": "matrix: {a: [x, y], b: [z]}\nos: {hostname: \"${{ matrix.b }}\"}"}, Options{},
			[]string{"top.yaml:1:10: error: a of the matrix is not used\n"},
		},
		"a variable that is set twice": {
			map[string]string{"top.yaml": "variables: {a: {type: string}}\nmatrix: {a: [x]}\nos: {hostname: \"${{ a }}\"}", "v.yaml": "a: y"}, Options{Set: []string{"a=z"}, Vars: []string{"v.yaml"}},
			[]string{"--set a: error: a is in the matrix, which gives it its values\n        hint: choose entries with --matrix-select a=VALUE", "v.yaml:1:4: warning: a is in the matrix"},
		},
		"a secret variable": {
			map[string]string{"top.yaml": "variables: {a: {type: secret}}\nmatrix: {a: [hunter2hunter2]}\nos: {hostname: h}"}, Options{},
			[]string{"top.yaml:2:14: error: a is a secret, which cannot be in a matrix"},
		},
		"a value in a password": {
			map[string]string{"top.yaml": "matrix: {a: [hunter2hunter2]}\nos: {hostname: h, users: [{name: u, password: {type: plain-text, value: \"${{ matrix.a }}\"}}]}"}, Options{},
			[]string{"error: a is in the matrix, whose values are shown: it cannot be in a secret"},
		},
		"a variable of the matrix in a password": {
			map[string]string{"top.yaml": "variables: {a: {type: string}}\nmatrix: {a: [hunter2hunter2]}\nos: {hostname: h, users: [{name: u, password: {type: plain-text, value: \"${{ a }}\"}}]}"}, Options{},
			[]string{"error: a is in the matrix, whose values are shown: it cannot be in a secret"},
		},
		"a matrix in an included file": {
			map[string]string{"top.yaml": "matrix: {a: [x]}\ninclude: [i.yaml]\nos: {hostname: \"${{ matrix.a }}\"}", "i.yaml": "matrix: {b: [y]}"}, Options{},
			[]string{"i.yaml:1:1: error: only the file that the command line names can have a matrix"},
		},
		"a matrix in a profile": {
			map[string]string{"top.yaml": "matrix: {a: [x]}\nos: {hostname: \"${{ matrix.a }}\"}\nprofiles: {p: {matrix: {b: [y]}}}"}, Options{},
			[]string{"top.yaml:3:16: error: a profile cannot have matrix"},
		},
		"a variable called matrix": {
			map[string]string{"top.yaml": "variables: {matrix: {type: string}}\nmatrix: {a: [x]}\nos: {hostname: \"${{ matrix.a }}\"}"}, Options{},
			[]string{"top.yaml:1:13: error: \"matrix\" cannot be the name of a variable"},
		},
		"what all entries have is said once": {
			map[string]string{"top.yaml": "matrix: {a: [x, y, z]}\nos: {hostnam: \"${{ matrix.a }}\"}"}, Options{},
			[]string{"top.yaml:2:6: error: unknown key \"hostnam\"\n"},
		},
		"a variable that only a file names which no entry includes": {
			map[string]string{"top.yaml": "variables: {v: {type: string, default: x}}\nmatrix: {a: [x, y]}\ninclude: [\"${{ matrix.a }}.yaml\"]", "x.yaml": "os: {hostname: x}", "y.yaml": "os: {hostname: y}"}, Options{},
			[]string{"top.yaml:1:13: warning: the variable v is not used\n"},
		},
	} {
		_, problems := each(t, c.files, c.o)
		for _, want := range c.want {
			if strings.Count(problems, want) != 1 {
				t.Errorf("%s: not once:\n%s\nin:\n%s", name, want, problems)
			}
		}
		if strings.Contains(problems, "hunter2") {
			t.Errorf("%s: the secret is shown:\n%s", name, problems)
		}
		if n := strings.Count(problems, "error:") + strings.Count(problems, "warning:"); n != len(c.want) {
			t.Errorf("%s: %d problems, want %d:\n%s", name, n, len(c.want), problems)
		}
	}
}

// TestMatrixWithoutAChoice: whoever loads one config of a matrix has to say which.
func TestMatrixWithoutAChoice(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"top.yaml": "matrix: {a: [x, y]}\nos: {hostname: \"${{ matrix.a }}\"}", "base.yaml": "matrix: {b: [y]}", "chain.yaml": "baseConfigs: [{path: base.yaml}]"})
	for file, want := range map[string]string{"top.yaml": "choose an entry with --matrix-select", "chain.yaml": "a base config cannot have matrix"} {
		r, err := Load(filepath.Join(dir, file), &Files{Dir: dir}, Options{})
		if err != nil || !strings.Contains(r.Report.Err().Error(), want) {
			t.Errorf("%s: %v, %v", file, err, r.Report.Err())
		}
	}
}

// TestSameBut tells which entries can share one customization.
func TestSameBut(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"top.yaml": `
matrix: {format: [qcow2, vhdx], host: [a, b]}
os: {hostname: "${{ matrix.host }}", users: [{name: u, when: "distro == 'debian' || matrix.host == 'a'"}]}
output: {image: {path: "x.${{ matrix.format }}", format: "${{ matrix.format }}"}}
`, "cond.yaml": `
matrix: {format: [qcow2, vhdx]}
os: {hostname: h, users: [{name: u, when: "distro == 'debian' && matrix.format == 'vhdx'"}]}
output: {image: {path: "x.${{ matrix.format }}", format: "${{ matrix.format }}"}}
`})
	for file, want := range map[string]string{"top.yaml": "0123 0-2 1-3", "cond.yaml": "01"} {
		top, files := filepath.Join(dir, file), &Files{Dir: dir}
		m, _, err := LoadMatrix(top, files, nil)
		if err != nil {
			t.Fatal(err)
		}
		results, report, err := m.LoadEntries(top, files, Options{})
		if err != nil || report.Failed() {
			t.Fatal(err, report.Err())
		}
		got := ""
		for i := range results {
			got += string(rune('0' + i))
		}
		for i := range results {
			for j := i + 1; j < len(results); j++ {
				if SameBut(results[i], results[j], "output.image") {
					got += " " + string(rune('0'+i)) + "-" + string(rune('0'+j))
				}
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}
