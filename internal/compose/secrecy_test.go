package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/legacy"
	"imagecustomizer/internal/step"
)

// theSecret is part of no other text of these tests.
const theSecret = "zq7-Hunter"

// secretField is the way to a field that the schema says is secret.
type secretField struct {
	keys   []string // "[]" for an item of a list
	legacy bool
}

// secretFields are those of both schemas, found in their types.
func secretFields(t *testing.T) (list []secretField) {
	t.Helper()
	var visit func(typ reflect.Type, keys []string, legacy bool)
	visit = func(typ reflect.Type, keys []string, old bool) {
		switch typ.Kind() {
		case reflect.Pointer:
			visit(typ.Elem(), keys, old)
		case reflect.Slice:
			visit(typ.Elem(), append(keys, "[]"), old)
		case reflect.Struct:
			for _, f := range config.Fields(typ) {
				way := append(append([]string{}, keys...), f.Key)
				if f.Secret == "true" {
					list = append(list, secretField{way, old})
				}
				visit(f.Type, way, old)
			}
		}
	}
	visit(step.Root, nil, false)
	visit(reflect.TypeFor[legacy.Config](), nil, true)
	if len(list) < 2 {
		t.Fatalf("found %v", list)
	}
	return list
}

// around writes a value at the way to a field, all on one line, so that each mistake shows all of it. beside is written
// before each key of a section.
func (f secretField) around(value, beside string) string {
	text := value
	for i := len(f.keys) - 1; i >= 0; i-- {
		if f.keys[i] == "[]" {
			text = "[" + text + "]"
		} else {
			text = "{" + beside + f.keys[i] + ": " + text + "}"
		}
	}
	return text
}

// misspelt are ways that have a typing error in one of their keys, or one key less.
func (f secretField) misspelt() (list []secretField) {
	with := func(i int, keys ...string) {
		way := append(append(append([]string{}, f.keys[:i]...), keys...), f.keys[i+1:]...)
		list = append(list, secretField{way, f.legacy})
	}
	for i, k := range f.keys {
		if k == "[]" || i == 0 && f.legacy {
			continue
		}
		with(i, k[:len(k)-1])
		with(i, k[:1]+k[2:])
		with(i, "x"+k)
		with(i, strings.ToUpper(k))
		if i == len(f.keys)-1 || i == len(f.keys)-2 {
			with(i)
		}
	}
	return list
}

// documents are configs with the secret in and near a field, each with a mistake on the same line, or near it.
func (f secretField) documents() (list []string) {
	one := f.around(theSecret, "")
	for _, wrong := range []string{"{x: 1, " + one[1:], one[:len(one)-1] + ", nonesuch: {y: z}}", f.around(theSecret, "nam: alice, "), f.around(theSecret, "type: nonesuch, ")} {
		list = append(list, wrong)
	}
	for _, value := range []string{"[" + theSecret + "]", "{a: {b: " + theSecret + "}}", "{value: " + theSecret + "}", "!!binary enE3LUh1bnRlcg==", "!!binary 'zq7-Hunter'"} {
		list = append(list, f.around(value, ""))
	}
	for _, value := range []string{"'" + theSecret + "'", `"` + theSecret + `"`, "&a " + theSecret, "!!str " + theSecret, `"zq7\x2dHunter"`} {
		list = append(list, f.around(value, "x: 1, "))
	}
	last := f.keys[len(f.keys)-1]
	list = append(list, f.around(fmt.Sprintf("1, %s: %s", last, theSecret), ""), f.around(theSecret, "")+"]", f.around("'"+theSecret, ""), f.around(`"`+theSecret, ""),
		f.around("|\n  "+theSecret, ""), one+"\n---\nx: "+one, "x: &a "+theSecret+"\ny: "+f.around("*a", ""))
	for _, m := range f.misspelt() {
		list = append(list, m.around(theSecret, ""), m.around("["+theSecret+"]", ""))
	}
	for i := range f.keys { // a value that was meant for a key further in
		if i > len(f.keys)-3 {
			list = append(list, secretField{f.keys[:i+1], f.legacy}.around(theSecret, ""))
		}
	}
	return append(list, f.blocks()...)
}

// blocks are the same in the form that people write, over several lines.
func (f secretField) blocks() (list []string) {
	var b strings.Builder
	indent, item := 0, ""
	for i, k := range f.keys {
		if k == "[]" {
			item = "- "
			continue
		}
		b.WriteString(strings.Repeat(" ", indent) + item + k + ":")
		if i < len(f.keys)-1 {
			b.WriteString("\n")
		}
		indent, item = indent+2+len(item), ""
	}
	head, pad := b.String(), "\n"+strings.Repeat(" ", indent+2)
	for _, value := range []string{
		" |" + pad + theSecret, " >-" + pad + "x" + pad + theSecret, " 'a" + pad + theSecret + "'", " \"a" + pad + theSecret + "\"", " a" + pad + theSecret,
		pad + "- " + theSecret, " " + theSecret, "\n" + strings.Repeat(" ", indent) + "- " + theSecret,
	} {
		for _, wrong := range []string{"\nnonesuch: x\n", "\n\tx\n", ": x\n", "\n  ]\n", ""} {
			list = append(list, head+value+wrong)
		}
	}
	return list
}

// TestNoSecretIsShown: whatever is wrong with a config, and wherever the secret stands, no message shows it.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	shown, wrong := 0, 0
	for _, f := range secretFields(t) {
		for _, doc := range f.documents() {
			for _, files := range contexts(doc, f.legacy) {
				report := reported(t, files, Options{})
				if strings.Contains(report, theSecret) || strings.Contains(report, "enE3LUh1bnRlcg") || strings.Contains(report, "zq7") {
					t.Errorf("of %v is shown:\n%s", files, report)
					shown++
				}
				if strings.Contains(report, "error: ") {
					wrong++
				}
				if shown > 5 {
					t.Fatal("and more")
				}
			}
		}
	}
	if wrong < 500 {
		t.Errorf("only %d configs were refused: the test shows nothing", wrong)
	}
}

// contexts are sets of files in which a document plays another role each.
func contexts(doc string, old bool) (list []set) {
	list = append(list, set{"top.yaml": doc})
	if old {
		return append(list, set{"top.yaml": "baseConfigs: [{path: a.yaml}]", "a.yaml": doc})
	}
	list = append(list,
		set{"top.yaml": "include: [a.yaml]\nnonesuch: x", "a.yaml": doc}, set{"top.yaml": "baseConfigs: [{path: a.yaml}]\nnonesuch: x", "a.yaml": doc},
		set{"top.yaml": "include: [a.yaml, b.yaml]", "a.yaml": doc, "b.yaml": "os: {users: [{name: u, nonesuch: 1}]}"})
	if strings.HasPrefix(doc, "{") && strings.HasSuffix(doc, "}") {
		in := doc[1 : len(doc)-1]
		for _, top := range []string{
			"{profiles: {p: {%s}}}", "{profiles: {\"no name\": {%s}}}", "{profiles: {p: {include: [x], %s}}}", "{include: [{config: {%s}}]}", "{include: [{config: {baseConfigs: [x], %s}}]}",
			"{include: [gone.yaml], %s}", "{variables: {v: {type: nonesuch}}, %s}", "{SystemConfig: {}, %s}", "{baseConfigs: [{path: gone.yaml}], %s}",
			"{include: [{when: {distro: debian}, config: {%s}}]}", "{include: [{when: \"distro ==\", config: {%s}}]}", "{variables: {v: {type: string}}, profiles: {p: {when: w, %s}}}",
		} {
			list = append(list, set{"top.yaml": fmt.Sprintf(top, in)})
		}
	}
	return list
}

// reported is what is reported of files, in every way that there is.
func reported(t *testing.T, files set, o Options) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Load(filepath.Join(dir, "top.yaml"), &Files{Dir: dir}, o)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	r.Report.Render(&b, false)
	fmt.Fprint(&b, r.Report.Err(), r.Report.Problems())
	return b.String()
}

// TestNoSecretIsWritten: a valid config with each secret is rendered, compared and recorded without it.
func TestNoSecretIsWritten(t *testing.T) {
	t.Parallel()
	for _, f := range secretFields(t) {
		if f.legacy {
			continue // it is not rendered
		}
		value := theSecret + ", type: plain-text"
		text, other := f.around(value, ""), f.around("other-"+value, "")
		if f.keys[len(f.keys)-1] != "value" {
			t.Fatalf("%v is a new secret: write a valid config with it", f)
		}
		dir := tree(t, set{"a.yaml": text, "b.yaml": other, "c.yaml": "baseConfigs: [{path: a.yaml}]\nos: {hostname: h}", "d.yaml": "baseConfigs: [{path: b.yaml}]\nos: {hostname: h}"})
		a, b, c, d := load(t, dir, "a.yaml"), load(t, dir, "b.yaml"), load(t, dir, "c.yaml"), load(t, dir, "d.yaml")
		var all []string
		for _, r := range []*Result{a, c} {
			for _, o := range []Rendering{{Dir: dir}, {Dir: dir, Origins: true}, {Dir: dir, JSON: true, Origins: true}} {
				out, _, err := r.Render(o)
				if err != nil {
					t.Fatal(err, r.Report.Err())
				}
				all = append(all, string(out))
			}
		}
		if d := Diff(a, b); len(d) == 0 {
			t.Errorf("%v: two secrets are equal", f)
		} else {
			all = append(all, d...)
		}
		record := func(r *Result) string {
			described, err := step.DescribeConfig(r.Config)
			text, err2 := json.Marshal(described)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			return strings.ReplaceAll(string(text), "b.yaml", "a.yaml")
		}
		if all = append(all, record(c)); record(c) != record(d) {
			t.Errorf("%v: what is recorded depends on the secret:\n%s\n%s", f, record(c), record(d))
		}
		for _, text := range all {
			if strings.Contains(text, theSecret) {
				t.Errorf("%v is in\n%s", f, text)
			}
		}
		if out, _, err := a.Render(Rendering{Dir: dir, Secrets: true}); err != nil || !strings.Contains(string(out), theSecret) {
			t.Errorf("%v: it cannot be written at all: %v\n%s", f, err, out)
		}
	}
}

// TestNoHashOfWhatMayBeSecret: the hash of a base config is that of what it says, but for passwords and environments.
func TestNoHashOfWhatMayBeSecret(t *testing.T) {
	t.Parallel()
	hash := func(base string) string {
		c := valid(t, set{"a.yaml": base, "top.yaml": "baseConfigs: [{path: a.yaml}]"})
		return c.Layers[0].Layer.Hash
	}
	const base = "scripts: {postCustomization: [{content: x, environmentVariables: {A: %s}}]}\nos: {hostname: %s}"
	one, same, other := hash(fmt.Sprintf(base, "one", "h")), hash("# "+theSecret+"\n"+fmt.Sprintf(base, "two", "h")), hash(fmt.Sprintf(base, "one", "i"))
	if one != same || one == other {
		t.Errorf("the hashes are %s, %s and %s", one, same, other)
	}
}

// TestNoFlowingSecretIsShown: what a variable brings into a secret field is hidden wherever it comes from, whatever is wrong.
func TestNoFlowingSecretIsShown(t *testing.T) {
	t.Setenv("COMPOSE_TEST_SECRET", theSecret)
	for _, f := range secretFields(t) {
		if f.legacy {
			continue
		}
		for _, field := range []string{f.around("\"${{ v }}\"", ""), f.around("\"a${{ v }}b\"", ""), f.around("\"${{ env.COMPOSE_TEST_SECRET }}${{ v }}\"", "")} {
			for name, c := range map[string]struct {
				declared string
				files    set
				o        Options
			}{
				"default":              {"type: string, default: " + theSecret, nil, Options{}},
				"default, misfit":      {"type: string, pattern: x, default: " + theSecret, nil, Options{}},
				"default of a list":    {"type: list, default: [" + theSecret + "]", nil, Options{}},
				"--set":                {"type: string", nil, Options{Set: []string{"v=" + theSecret}}},
				"--set, misfit":        {"type: string, pattern: x", nil, Options{Set: []string{"v=" + theSecret}}},
				"--set-file":           {"type: string, pattern: x", set{"f": theSecret}, Options{SetFiles: []string{"v=DIR/f"}}},
				"--vars":               {"type: string", set{"f": "{v: " + theSecret + ", nonesuch: 1}"}, Options{Vars: []string{"f"}}},
				"--vars, misfit":       {"type: string, pattern: x", set{"f": "{v: " + theSecret + "}"}, Options{Vars: []string{"f"}}},
				"the environment":      {"type: string, public: true, from: {env: COMPOSE_TEST_SECRET}", nil, Options{}},
				"environment, misfit":  {"type: string, pattern: x, public: true, from: {env: COMPOSE_TEST_SECRET}", nil, Options{}},
				"environment, a list":  {"type: list, public: true, from: {env: COMPOSE_TEST_SECRET}", nil, Options{}},
				"environment, private": {"type: string, from: {env: COMPOSE_TEST_SECRET}", nil, Options{}},
			} {
				for _, wrong := range []string{"", "nonesuch: 1, ", "os: 1, "} {
					files := set{"top.yaml": "{" + wrong + "variables: {v: {" + c.declared + "}}, include: [a.yaml], " + field[1:], "a.yaml": "{nonesuch: 1, os: {hostname: \"${{ v }}\"}}"}
					for n, text := range c.files {
						files[n] = text
					}
					dir := tree(t, files)
					o := c.o
					for i, s := range o.SetFiles {
						o.SetFiles[i] = strings.ReplaceAll(s, "DIR", dir)
					}
					r, err := Load(filepath.Join(dir, "top.yaml"), &Files{Dir: dir}, o)
					if err != nil {
						t.Fatal(err)
					}
					var b strings.Builder
					r.Report.Render(&b, false)
					if strings.Contains(b.String(), theSecret) || !r.Report.Failed() {
						t.Errorf("%s: %s is shown as\n%s", name, files["top.yaml"], b.String())
					}
				}
			}
		}
	}
}

// TestOnlySecretsAreHidden: what a typing error is about can be read, and so can what stands beside a secret.
func TestOnlySecretsAreHidden(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"os: {users: [{nam: alice}]}": "os: {users: [{nam: alice}]}",
		"os: {users: [{name: alice, uidd: 5, password: {type: plain-text, value: abcdef}}]}":                 "os: {users: [{name: alice, uidd: 5, password: {type: plain-text, value: ******}}]}",
		"os: {users: [{name: alice, pasword: {type: plain-text, value: abcdef}}]}":                           "os: {users: [{name: alice, pasword: {type: plain-text, value: ******}}]}",
		"os: {users: [{name: alice, name: bob}]}":                                                            "os: {users: [{name: alice, name: bob}]}",
		"os: {user: [{name: alice, password: {type: plain-text, value: abcdef}}]}":                           "os: {user: [{name: alice, password: {type: plain-text, value: ******}}]}",
		"os: {users: [{name: alice, password: {typ: plain-text, value: abcdef}}]}":                           "os: {users: [{name: alice, password: {typ: plain-text, value: ******}}]}",
		"os: {users: [{name: alice, sshPublicKey: abc}]}":                                                    "os: {users: [{name: alice, sshPublicKey: abc}]}",
		"os: {users: [{nam: alice, password: {type: plain-text-file, value: /nonesuch}}]}":                   "os: {users: [{nam: alice, password: {type: plain-text-file, value: /nonesuch}}]}",
		"os: {users: [{nam: alice, password: {type: locked, value: \"\"}}]}":                                 "os: {users: [{nam: alice, password: {type: locked, value: \"\"}}]}",
		"os: {hostnam: abc, keymap: {nonesuch: abc}}":                                                        "os: {hostnam: abc, keymap: {nonesuch: abc}}",
		"{nonesuch: 1, profiles: {p: {os: {users: [{name: al, password: {type: hashed, value: abcdef}}]}}}}": "{nonesuch: 1, profiles: {p: {os: {users: [{name: al, password: {type: hashed, value: ******}}]}}}}",
	} {
		if report := reported(t, set{"top.yaml": text}, Options{}); !strings.Contains(report, "1 | "+want+"\n") {
			t.Errorf("%s: want %s in\n%s", text, want, report)
		}
	}
}
